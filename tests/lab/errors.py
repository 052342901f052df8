"""The one error of the lab."""

from __future__ import annotations


class LabError(Exception):
    """Something that a person must put right; the text is one line that says what to do."""

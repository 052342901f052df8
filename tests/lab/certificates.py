"""Certificate authorities in PEM files."""

from __future__ import annotations

import re

BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)


def split(pem: str) -> dict[str, str]:
    """Give the certificates of a PEM file, each as a file of its own, by their content without white space."""
    return {"".join(match[1].split()): f"{match[0]}\n" for match in BLOCK.finditer(pem)}


def beyond(trusted: str, known: str) -> list[str]:
    """Give the certificates of the first PEM file that the second one does not have."""
    there = split(known)
    return [text for content, text in split(trusted).items() if content not in there]

"""Titles to names that fit into a URL."""

import re


def slug(title: str) -> str:
    """Give a title in lower case with single hyphens between its words."""
    return "-".join(re.findall(r"[a-z0-9]+", title.lower()))

"""JSON as it is spelt: the members of an object, each value as the text that stands there."""

from __future__ import annotations

import json
import re

_BLANK = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


def members(text: str) -> dict[str, str]:
    """Give an object's members in their order, the values as they are written."""
    found: dict[str, str] = {}
    at = _skip(text, 0)
    assert text[at] == "{", text
    at = _skip(text, at + 1)
    while text[at] != "}":
        key, at = _DECODER.raw_decode(text, at)
        start = _skip(text, _skip(text, at) + 1)
        _, at = _DECODER.raw_decode(text, start)
        assert key not in found, f"{key!r} is there twice: {text}"
        found[key] = text[start:at]
        at = _skip(text, at)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


def items(text: str) -> list[str]:
    """Give an array's items as they are written."""
    found: list[str] = []
    at = _skip(text, _skip(text, 0) + 1)
    while text[at] != "]":
        start = at
        _, at = _DECODER.raw_decode(text, start)
        found.append(text[start:at])
        at = _skip(text, at)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


def _skip(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    assert found is not None
    return found.end()

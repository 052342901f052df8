"""Does a version of Python satisfy ``requires-python``? The part of PEP 440 that is used there."""

from __future__ import annotations

import re
from itertools import zip_longest

_CLAUSE = re.compile(r"\s*(~=|===?|!=|<=?|>=?|\^|~)?\s*v?(\d+(?:\.\d+)*)(\.\*)?\s*\Z")


def satisfied(specifier: str, version: str) -> bool:
    """Tell whether ``version`` (digits and dots) fits. What cannot be read does not stand in the way."""
    actual = _numbers(version)
    return all(_fits(clause, actual) for clause in specifier.split(",") if clause.strip())


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def _compare(left: tuple[int, ...], right: tuple[int, ...]) -> int:
    for one, other in zip_longest(left, right, fillvalue=0):
        if one != other:
            return -1 if one < other else 1
    return 0


def _fits(clause: str, actual: tuple[int, ...]) -> bool:
    match = _CLAUSE.match(clause)
    if not match:
        return True
    operator, wanted, prefix = match[1] or "==", _numbers(match[2]), match[3]
    order = _compare(actual, wanted)
    same = actual[: len(wanted)] == wanted if prefix else order == 0
    if operator in ("~=", "~"):
        return order >= 0 and actual[: max(1, len(wanted) - 1)] == wanted[: max(1, len(wanted) - 1)]
    if operator == "^":  # poetry's
        return order >= 0 and actual[0] == wanted[0]
    verdicts = {
        "==": same,
        "===": same,
        "!=": not same,
        "<": order < 0,
        "<=": order <= 0,
        ">": order > 0,
        ">=": order >= 0,
    }
    return verdicts[operator]

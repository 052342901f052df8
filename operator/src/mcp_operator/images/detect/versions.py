"""Does a version satisfy what a project asks for? The parts of PEP 440 and of npm's ranges that are used there."""

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


_NODE_CLAUSE = re.compile(r"(~|\^|<=?|>=?|=)?v?(\d+(?:\.\d+)*)?(?:\.?[xX*])*(?:\.[xX*])*(?:-[\w.-]+)?\Z")


def node_satisfied(wanted: str, version: str) -> bool:
    """Tell whether ``version`` (digits and dots) fits ``engines.node``; what cannot be read is no obstacle."""
    actual = _numbers(version)
    return any(_fits_range(part, actual) for part in wanted.split("||"))


def _fits_range(text: str, actual: tuple[int, ...]) -> bool:
    low, dash, high = text.partition(" - ")
    clauses = (f">={low.strip()}", f"<={high.strip()}") if dash else re.sub(r"([~^<>=])\s+", r"\1", text).split()
    return all(_fits_node(clause, actual) for clause in clauses)


def _fits_node(clause: str, actual: tuple[int, ...]) -> bool:
    match = _NODE_CLAUSE.match(clause)
    if not match or not match[2]:
        return True
    operator, wanted = match[1] or "=", _numbers(match[2])
    order = _compare(actual, wanted)
    # What is left out stands for anything: 20 is all of 20, and <=20 ends with the last of it.
    same = actual[: len(wanted)] == wanted
    verdicts = {
        "=": same,
        "~": order >= 0 and actual[: min(2, len(wanted))] == wanted[:2],
        "^": order >= 0 and actual[0] == wanted[0],
        "<": order < 0,
        "<=": order < 0 or same,
        ">": order > 0 and not same,
        ">=": order >= 0,
    }
    return verdicts[operator]

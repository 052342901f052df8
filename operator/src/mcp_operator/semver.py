"""Semantic versions: which tag of a repository is the highest in a range. Pure; https://semver.org, npm's ranges.

Tags may begin with ``v``. Trials (``1.2.0-rc.1``) count only where the range itself names one of the same version, as
npm has it: nobody who asks for ``>=1.0`` wants to be surprised by them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_VERSION: Final = re.compile(
    r"v?(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?"
)
_NUMBER = r"(\d{1,9}|[xX*])"
_PARTIAL: Final = re.compile(rf"v?{_NUMBER}(?:\.{_NUMBER})?(?:\.{_NUMBER})?(?:-([0-9A-Za-z.-]+))?(?:\+\S+)?")
_TERM: Final = re.compile(r"\s*(\^|~>?|>=|<=|>|<|=)?\s*(\S+)")
_HYPHEN: Final = re.compile(r"(\S+)\s+-\s+(\S+)")


@dataclass(frozen=True, order=True)
class Version:
    """One version, in its order."""

    numbers: tuple[int, int, int]
    rank: tuple[tuple[int, int, str], ...] = ()

    @property
    def trial(self) -> bool:
        """Whether it comes before the version of its numbers."""
        return self.rank != _RELEASE


_RELEASE: Final = ((1, 0, ""),)
"""Rank of what is no trial."""


class RangeError(ValueError):
    """Not a range of versions; the text says what of it is not understood."""


def parse(text: str) -> Version | None:
    """Read a version, with or without ``v``; None if it is none."""
    match = _VERSION.fullmatch(text)
    if match is None:
        return None
    numbers = (int(match[1]), int(match[2]), int(match[3]))
    return Version(numbers, _rank(match[4]))


def highest(wanted: str, tags: Iterable[str]) -> str | None:
    """Give the tag of the highest version in a range; None if there is none.

    Raises:
        RangeError: It is no range.
    """
    alternatives = [_parsed(part) for part in wanted.split("||")]
    fitting = [
        (version, tag)
        for tag in tags
        if (version := parse(tag)) is not None and any(each.holds(version) for each in alternatives)
    ]
    return max(fitting)[1] if fitting else None


@dataclass(frozen=True)
class _Range:
    """Comparisons that must all hold; versions whose trials count, since the range names one."""

    tests: tuple[Callable[[Version], bool], ...]
    trials: frozenset[tuple[int, int, int]]

    def holds(self, version: Version) -> bool:
        if version.trial and version.numbers not in self.trials:
            return False
        return all(test(version) for test in self.tests)


def _parsed(text: str) -> _Range:
    text = text.replace(",", " ").strip()
    tests: list[Callable[[Version], bool]] = []
    trials = set()
    between = _HYPHEN.fullmatch(text)
    terms = [(">=", between[1]), ("<=", between[2])] if between else _TERM.findall(text)
    for operator, given in terms:
        match = _PARTIAL.fullmatch(given)
        if match is None:
            raise RangeError(f"{given[:40]!r} is not a version")
        parts = [None if part is None or part in "xX*" else int(part) for part in match.groups()[:3]]
        if match[4]:
            trials.add((parts[0] or 0, parts[1] or 0, parts[2] or 0))
        tests += _tests(operator, parts, match[4])
    return _Range(tuple(tests), frozenset(trials))


def _tests(operator: str, parts: list[int | None], trial: str | None) -> list[Callable[[Version], bool]]:
    """Give the comparisons that a term stands for: from a lowest version on, up to the first that is too high."""
    low = Version((parts[0] or 0, parts[1] or 0, parts[2] or 0), _rank(trial))
    whole = None not in parts
    after = _next(parts)  # the first version that a partial one does not stand for
    if operator in _OPEN:
        return [_OPEN[operator](low, None if whole else after)]
    if operator == "^":
        after = _caret(*parts)
    elif operator in ("~", "~>"):
        after = _next([*parts[:2], None])
    elif whole:
        return [lambda each: each == low]
    return [lambda each: each >= low, lambda each: each < after]


_OPEN: Final[Mapping[str, Callable[[Version, Version | None], Callable[[Version], bool]]]] = {
    ">": lambda low, after: lambda each: each >= after if after else each > low,
    ">=": lambda low, _: lambda each: each >= low,
    "<": lambda low, _: lambda each: each < low,
    "<=": lambda low, after: lambda each: each < after if after else each <= low,
}
"""Comparisons with one end, from the version that is named and, of a partial one, the first that it does not mean."""


def _caret(major: int | None, minor: int | None, patch: int | None) -> Version:
    """What ``^`` does not let through: the first number that is not zero may not change."""
    if major or minor is None:
        return _next([major, None, None])
    if minor or patch is None:
        return _next([major, minor, None])
    return _next([major, minor, patch])


def _next(parts: list[int | None]) -> Version:
    """Give the lowest version, trials included, above all that begin with these numbers."""
    known = [part for part in parts if part is not None]
    if not known:
        return Version((10**10, 0, 0))
    raised = [*known[:-1], known[-1] + 1, 0, 0]
    return Version((raised[0], raised[1], raised[2]))


def _rank(trial: str | None) -> tuple[tuple[int, int, str], ...]:
    """Give what orders trials: numbers before words, fewer parts before more, and all before the version itself."""
    if trial is None:
        return _RELEASE
    return tuple((-1, int(part), "") if part.isdigit() else (0, 0, part) for part in trial.split("."))

"""How much servers have to log: clients say what they want, a server that they share is told the most verbose. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from toolman.protocol.legacy import LEVELS

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from toolman.core.subscriptions import Home

_RANKS = {level: rank for rank, level in enumerate(LEVELS)}


def admits(wanted: str | None, level: str) -> bool:
    """Tell whether somebody who wants messages from a level on gets another; an unknown level goes to all."""
    return wanted is not None and _RANKS.get(level, len(LEVELS)) >= _RANKS.get(wanted, 0)


class LogLevels:
    """What is wanted of each running server.

    Args:
        want: Called with the most verbose level when that has changed.
    """

    def __init__(self, want: Callable[[Home, str | None], None]) -> None:
        self._want = want
        self._counts: dict[Home, Counter[str]] = {}
        self._of: dict[Hashable, dict[Home, str]] = {}
        self._at: dict[Home, dict[Hashable, str]] = {}

    def choose(self, who: Hashable, homes: Iterable[Home], level: str) -> None:
        """Have somebody want messages of some servers from a level on."""
        for home in homes:
            self._move(home, self._of.setdefault(who, {}).get(home), level)
            self._of[who][home] = level
            self._at.setdefault(home, {})[who] = level

    def drop(self, who: Hashable) -> None:
        """Forget somebody."""
        for home, level in self._of.pop(who, {}).items():
            self._move(home, level, None)
            del self._at[home][who]
            if not self._at[home]:
                del self._at[home]

    def level(self, home: Home) -> str | None:
        """Give the most verbose level that is wanted of a server, None if nobody has said."""
        return min(self._counts.get(home, ()), key=_RANKS.__getitem__, default=None)

    def admitting(self, home: Home, level: str) -> list[Hashable]:
        """Give who wants a message of some level from a server."""
        return [who for who, wanted in self._at.get(home, {}).items() if admits(wanted, level)]

    def _move(self, home: Home, before: str | None, after: str | None) -> None:
        was = self.level(home)
        counts = self._counts.setdefault(home, Counter())
        if after is not None:
            counts[after] += 1
        if before is not None:
            counts[before] -= 1
            if not counts[before]:
                del counts[before]
        if not counts:
            del self._counts[home]
        if self.level(home) != was:
            self._want(home, self.level(home))

"""Who follows which resource, counted: a server is asked once for what many follow. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

Who = TypeVar("Who", bound="Hashable")

Home = tuple[str, "Hashable"]
"""One running server: its name, and the owner of the session whose own it is; None if it is shared."""


class Subscriptions(Generic[Who]):
    """All of them.

    Args:
        want: Called with all URIs that are followed at a server when these have changed.
    """

    def __init__(self, want: Callable[[Home, frozenset[str]], None]) -> None:
        self._want = want
        self._homes: dict[Home, dict[str, set[Who]]] = {}
        self._of: dict[Who, set[tuple[Home, str]]] = {}

    def add(self, home: Home, uri: str, who: Who) -> None:
        """Have somebody follow a resource; twice is once."""
        followers = self._homes.setdefault(home, {}).setdefault(uri, set())
        is_new = not followers
        followers.add(who)
        self._of.setdefault(who, set()).add((home, uri))
        if is_new:
            self._want(home, self.uris(home))

    def remove(self, home: Home, uri: str, who: Who) -> None:
        """Have somebody follow it no more."""
        followers = self._homes.get(home, {}).get(uri, set())
        if who not in followers:
            return
        followers.remove(who)
        self._of[who].remove((home, uri))
        if not self._of[who]:
            del self._of[who]
        if not followers:
            del self._homes[home][uri]
            if not self._homes[home]:
                del self._homes[home]
            self._want(home, self.uris(home))

    def drop(self, who: Who) -> None:
        """Forget somebody."""
        for home, uri in tuple(self._of.get(who, ())):
            self.remove(home, uri, who)

    def count(self, who: Who) -> int:
        """Tell how many resources somebody follows."""
        return len(self._of.get(who, ()))

    def uris(self, home: Home) -> frozenset[str]:
        """Give what is followed at a server."""
        return frozenset(self._homes.get(home, ()))

    def followers(self, home: Home, uri: str) -> set[Who]:
        """Give who follows a resource or one that it is a part of: servers may name the part that has changed."""
        followed = self._homes.get(home)
        if followed is None:
            return set()
        found = set(followed.get(uri, ()))
        end = uri.rfind("/")
        while end > 0:
            found |= followed.get(uri[:end], set()) | followed.get(uri[: end + 1], set())
            end = uri.rfind("/", 0, end)
        return found

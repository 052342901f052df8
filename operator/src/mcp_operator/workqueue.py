"""A queue of keys for many workers: no key twice, none with two workers, delays, backing off, and kinds that go first.

It holds keys rather than events: a worker looks at the whole state of what a key names, so ten events for an object
while it is being worked on are one more look, and an event that was missed is made up for by the next.
"""

from __future__ import annotations

import contextlib
import contextvars
import heapq
import itertools
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

BACKOFF_FIRST = 0.5
"""Seconds after the first failure of a key."""
BACKOFF_CAP = 120.0
"""Seconds at most: long enough to leave a broken API server alone, short enough to wait for beside it."""


_uncalled: contextvars.ContextVar[bool] = contextvars.ContextVar("uncalled", default=False)


def is_uncalled() -> bool:
    """Tell whether the key in hand was only due: nothing has told of a change since it was looked at last."""
    return _uncalled.get()


class Key(NamedTuple):
    """An object by kind, namespace (empty for cluster-scoped kinds) and name."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return "/".join(part for part in self if part)


class _Ripe(NamedTuple):
    """A key that is due, in the order of turns."""

    waits: bool
    due: float
    order: int
    key: Key


class WorkQueue:
    """Keys that are due, the urgent ones first, and otherwise in the order in which they became due.

    Args:
        clock: Seconds, monotonic.
        tolerance: Seconds by which what was read may be older for who comes again without any event.
        urgent: Kinds that go before all others that are due.
        share: Keys of one namespace, but for urgent ones, that workers may have at a time; None for any number.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        tolerance: float = 0.0,
        urgent: Collection[str] = (),
        share: int | None = None,
    ) -> None:
        self._clock = clock
        self._tolerance = tolerance
        self._urgent = frozenset(urgent)
        self._share = share
        self._busy: Counter[str] = Counter()
        self._held: dict[str, list[_Ripe]] = {}
        """By namespace, what waits for another key of it to be done."""
        self._changed = threading.Condition()
        self._heap: list[tuple[float, int, Key]] = []
        self._ripe: list[_Ripe] = []
        self._order = itertools.count()
        self._due: dict[Key, float] = {}
        self._asked: dict[Key, float] = {}
        self._woken: dict[Key, float] = {}
        self._active: set[Key] = set()
        self._uncalled: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._closed = False

    def add(self, key: Key, delay: float = 0.0) -> None:
        """Let a key be worked on, ``delay`` seconds from now. An earlier appointment stays; a later one is moved up."""
        with self._changed:
            due = self._clock() + delay
            if not delay:
                self._asked[key] = due
            if key in self._due and self._due[key] <= due:
                return
            self._due[key] = due
            self._push(key)

    def get(self) -> Key | None:
        """Wait for a key that is due and that no other worker has; None when the queue is closed.

        The caller must call :meth:`done` with it.
        """
        with self._changed:
            while not self._closed:
                key, wait = self._take()
                if key is not None:
                    return key
                self._changed.wait(wait)
            return None

    def woken(self, key: Key) -> float:
        """Give when the latest event came for which a worker has this key: what was read after that is new enough."""
        with self._changed:
            return self._woken.get(key, self._clock())

    @contextlib.contextmanager
    def in_hand(self, key: Key) -> Iterator[None]:
        """Let :func:`is_uncalled` tell in the block how a key came that a worker has."""
        with self._changed:
            token = _uncalled.set(key in self._uncalled)
        try:
            yield
        finally:
            _uncalled.reset(token)

    def done(self, key: Key) -> None:
        """Give a key back; if it was added in the meantime, it is due again."""
        with self._changed:
            if key in self._active:
                self._active.discard(key)
                self._release(key)
            self._woken.pop(key, None)
            self._uncalled.discard(key)
            if key in self._due:
                self._push(key)

    def retry(self, key: Key, least: float = 0.0) -> float:
        """Add a key after a failure, each time later, not before ``least`` seconds. Gives the delay in seconds."""
        with self._changed:
            failures = self._failures.get(key, 0)
            self._failures[key] = failures + 1
            self._asked.setdefault(key, self._woken.get(key, 0.0))  # the event is not dealt with yet
        delay = max(least, backoff(failures, BACKOFF_FIRST, BACKOFF_CAP))
        self.add(key, delay)
        return delay

    def succeeded(self, key: Key) -> None:
        """Forget a key's failures."""
        with self._changed:
            self._failures.pop(key, None)

    def waiting(self) -> tuple[int, float]:
        """Give how many keys are due that no worker has, and for how many seconds the first of them has been."""
        with self._changed:
            now = self._clock()
            late = [now - due for key, due in self._due.items() if due <= now and key not in self._active]
        return len(late), max(late, default=0.0)

    @property
    def closed(self) -> bool:
        """Whether the workers were sent home."""
        return self._closed

    def close(self) -> None:
        """Send all workers home; keys that are left are not worked on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _push(self, key: Key) -> None:
        heapq.heappush(self._heap, (self._due[key], next(self._order), key))
        self._changed.notify()

    def _take(self) -> tuple[Key | None, float | None]:
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            due, order, key = heapq.heappop(self._heap)
            heapq.heappush(self._ripe, _Ripe(key.kind not in self._urgent, due, order, key))
        while self._ripe:
            entry = heapq.heappop(self._ripe)
            if not self._is_valid(entry):
                continue
            if self._is_shared(entry.key) and self._busy[entry.key.namespace] == self._share:
                heapq.heappush(self._held.setdefault(entry.key.namespace, []), entry)
                continue
            return self._taken(entry.key, entry.due), None
        return None, self._heap[0][0] - now if self._heap else None

    def _is_valid(self, entry: _Ripe) -> bool:
        """Tell whether it has not been moved up since, and whether done() will not put it back."""
        return self._due.get(entry.key) == entry.due and entry.key not in self._active

    def _is_shared(self, key: Key) -> bool:
        return self._share is not None and bool(key.namespace) and key.kind not in self._urgent

    def _release(self, key: Key) -> None:
        """Let the next key of a namespace that waits for its share have its turn."""
        if not self._is_shared(key):
            return
        self._busy[key.namespace] -= 1
        held = self._held.get(key.namespace, [])
        while held:
            entry = heapq.heappop(held)
            if self._is_valid(entry):
                heapq.heappush(self._ripe, entry)
                self._changed.notify()
                break
        if not held:
            self._held.pop(key.namespace, None)
        if not self._busy[key.namespace]:
            del self._busy[key.namespace]

    def _taken(self, key: Key, due: float) -> Key:
        del self._due[key]
        (self._uncalled.discard if key in self._asked else self._uncalled.add)(key)
        self._woken[key] = max(due, self._asked.pop(key)) if key in self._asked else due - self._tolerance
        self._active.add(key)
        if self._is_shared(key):
            self._busy[key.namespace] += 1
        return key


class Lanes:
    """Queues by kind, so that objects of one kind, which may wait for slow hosts, never delay those of another.

    Args:
        default: For kinds without one of their own.
        special: By kind.
    """

    def __init__(self, default: WorkQueue, special: Mapping[str, WorkQueue]) -> None:
        self._default = default
        self._special = dict(special)

    def add(self, key: Key, delay: float = 0.0) -> None:
        """Let a key be worked on, ``delay`` seconds from now."""
        self._special.get(key.kind, self._default).add(key, delay)

    def waiting(self) -> tuple[int, float]:
        """Give how many keys are due that no worker has, and for how many seconds the first of them has been."""
        counted = [queue.waiting() for queue in (self._default, *self._special.values())]
        return sum(count for count, _ in counted), max(age for _, age in counted)


def backoff(failures: int, first: float, cap: float) -> float:
    """Give the seconds to wait after ``failures`` earlier failures: ``first``, doubling, at most ``cap``."""
    return min(cap, first * 2.0 ** min(failures, 30))

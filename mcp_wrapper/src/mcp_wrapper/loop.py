"""One thread, one poll, a few timers. asyncio would cost ten megabytes and a tenth of a second."""

from __future__ import annotations

import heapq
import itertools
import math
import select
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Callback = Callable[[], None]

READ, WRITE = select.POLLIN, select.POLLOUT
MAX_WAIT = 3600.0
"""Seconds. No system takes any number of them."""


class Timer:
    """Something that happens later, unless it is cancelled."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callback) -> None:
        self._callback: Callback | None = callback

    @property
    def pending(self) -> bool:
        """Tell whether it neither happened nor was cancelled."""
        return self._callback is not None

    def cancel(self) -> None:
        """Let it not happen."""
        self._callback = None

    def fire(self) -> None:
        """Let it happen now."""
        callback, self._callback = self._callback, None
        if callback:
            callback()


class Loop:
    """Calls back when a file can be read or written, or when a time has come.

    Attributes:
        before_waiting: Called once at the end of each round, when everything that was ready has been handled.
    """

    def __init__(self) -> None:
        self.before_waiting: Callback = _nothing
        self._poll = select.poll()
        self._watched: dict[int, tuple[Callback, Callback, int]] = {}
        self._round = 0
        self._timers: list[tuple[float, int, Timer]] = []
        self._sequence = itertools.count()
        self._running = False

    def watch(self, fd: int, on_read: Callback, on_write: Callback | None = None) -> None:
        """Call ``on_read`` whenever the file can be read, and ``on_write`` when it can be written; replaces both."""
        self._watch(fd, READ if on_write is None else READ | WRITE, on_read, on_write or _nothing)

    def watch_writable(self, fd: int, on_write: Callback) -> None:
        """Call ``on_write`` whenever the file can be written. For files that are only written."""
        self._watch(fd, WRITE, _nothing, on_write)

    def watch_end(self, fd: int, on_end: Callback) -> None:
        """Call ``on_end`` when nobody is at the other end any more."""
        self._watch(fd, 0, on_end, _nothing)

    def forget(self, fd: int) -> None:
        """Stop watching a file. Must be called before it is closed."""
        if self._watched.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def after(self, seconds: float, callback: Callback) -> Timer:
        """Call back once, after a time."""
        timer = Timer(callback)
        heapq.heappush(self._timers, (monotonic() + seconds, next(self._sequence), timer))
        return timer

    def stop(self) -> None:
        """Make :meth:`run` return after this round."""
        self._running = False

    def run(self) -> None:
        """Handle events until :meth:`stop` is called."""
        self._running = True
        while self._running:
            self.before_waiting()
            if not self._running:
                break
            ready = self._poll.poll(self._until_next_timer())
            self._round += 1
            for fd, events in ready:
                watched = self._watched.get(fd)
                if watched is None or watched[2] == self._round:
                    continue  # forgotten; or another file by now, with the number of one that was closed in this round
                if events & ~WRITE:
                    watched[0]()
                if events & ~READ and self._watched.get(fd) is watched:
                    watched[1]()
            self._fire_timers()
        self.before_waiting()

    def _watch(self, fd: int, events: int, on_read: Callback, on_write: Callback) -> None:
        self._watched[fd] = on_read, on_write, self._round
        self._poll.register(fd, events)

    def _until_next_timer(self) -> int | None:
        """Give milliseconds; None is for ever."""
        while self._timers and not self._timers[0][2].pending:
            heapq.heappop(self._timers)
        if not self._timers:
            return None
        return math.ceil(min(max(0.0, self._timers[0][0] - monotonic()), MAX_WAIT) * 1000)

    def _fire_timers(self) -> None:
        if not self._timers:
            return
        now = monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2].fire()


def _nothing() -> None:
    """Stand in where nobody listens."""

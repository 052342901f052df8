"""One thread, one selector, a few timers. asyncio would cost ten megabytes and a tenth of a second."""

from __future__ import annotations

import heapq
import itertools
import selectors
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Callback = Callable[[], None]

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE


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
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Timer]] = []
        self._sequence = itertools.count()
        self._always_ready: dict[int, Callback] = {}
        self._running = False

    def watch(self, fd: int, on_read: Callback, on_write: Callback | None = None) -> None:
        """Call ``on_read`` whenever the file can be read, and ``on_write`` when it can be written; replaces both."""
        events = READ if on_write is None else READ | WRITE
        data = (on_read, on_write)
        try:
            self._selector.modify(fd, events, data)
        except KeyError:
            try:
                self._selector.register(fd, events, data)
            except PermissionError:
                # Regular files and /dev/null cannot be waited for: they are always ready.
                self._always_ready[fd] = on_read

    def watch_writable(self, fd: int, on_write: Callback) -> None:
        """Call ``on_write`` whenever the file can be written. For files that are only written."""
        self._selector.register(fd, WRITE, (_nothing, on_write))

    def forget(self, fd: int) -> None:
        """Stop watching a file. Must be called before it is closed."""
        self._always_ready.pop(fd, None)
        try:
            self._selector.unregister(fd)
        except KeyError:
            return

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
            for key, mask in self._selector.select(self._until_next_timer()):
                on_read, on_write = key.data
                if mask & READ:
                    on_read()
                if mask & WRITE and on_write:
                    on_write()
            for on_read in list(self._always_ready.values()):
                on_read()
            self._fire_timers()
        self.before_waiting()

    def close(self) -> None:
        """Give the selector's own file back."""
        self._selector.close()

    def _until_next_timer(self) -> float | None:
        if self._always_ready:
            return 0
        while self._timers and not self._timers[0][2].pending:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0][0] - monotonic()) if self._timers else None

    def _fire_timers(self) -> None:
        if not self._timers:
            return
        now = monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2].fire()


def _nothing() -> None:
    """Stand in where nobody listens."""

"""Connections to toolman: reused, bounded, and patient while toolman is away."""

from __future__ import annotations

from time import monotonic

from mcp_wrapper.connection import Connection
from mcp_wrapper.lean import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mcp_wrapper.connection import Call
    from mcp_wrapper.dial import Preparation
    from mcp_wrapper.endpoint import Endpoint
    from mcp_wrapper.log import Log
    from mcp_wrapper.loop import Loop, Timer

IDLE_SECONDS = 3.0
"""Since a connection's last request: then it is not used again. Common servers close idle ones after five seconds, and
those of streams when they end themselves; a request that meets the closing half-way could not be told from one that was
lost while it ran."""
FIRST_DELAY = 0.05
MAX_DELAY = 1.0
"""Between tries to reach a toolman that is away. It is on the same machine: a try costs nothing."""
URGENT_CONNECTIONS = 8
"""Beyond the limit, for what the calls that reach it may be waiting for: the agent's answers to questions."""


class Waiting:
    """A call that waits for toolman to come back, until its deadline (None: for ever)."""

    __slots__ = ("call", "deadline", "reason")

    def __init__(self, call: Call, deadline: float | None, reason: str) -> None:
        self.call = call
        self.deadline = deadline
        self.reason = reason


class Pool:
    """Sends calls. Each has a connection to itself, so that none waits for another's answer.

    When toolman cannot be reached, calls wait; one at a time goes to see, and when it gets through all others follow.

    Args:
        limit: Connections at the same time; further calls wait for one to be free.
        patience: Seconds that a call waits for toolman before it fails.
        prepare: What to do with a connection before it is used.

    Attributes:
        is_full: Nothing is read from toolman, since the agent does not take it.
    """

    def __init__(
        self,
        loop: Loop,
        endpoint: Endpoint,
        log: Log,
        *,
        limit: int,
        patience: float,
        prepare: Preparation | None = None,
    ) -> None:
        self.is_full = False
        self._loop = loop
        self._endpoint = endpoint
        self._log = log
        self._limit = limit
        self._patience = patience
        self._prepare = prepare
        self._idle: list[Connection] = []
        self._sweep: Timer | None = None
        self._busy: dict[Connection, Call] = {}
        self._queue: deque[Call] = deque()
        self._away: deque[Waiting] = deque()
        self._deadlines: dict[Call, float] = {}
        self._probe: Timer | None = None
        self._delay = FIRST_DELAY

    def send(self, call: Call) -> None:
        """Send now, or as soon as it is possible."""
        if self._probe is not None:
            self._wait(call, "not reachable")
        else:
            self._start(call)

    def postpone(self, call: Call, reason: str) -> None:
        """Send again when toolman is back. It said that it is not ready, or could not be reached.

        Args:
            call: What to send.
            reason: What went wrong, for people.
        """
        self._wait(call, reason)
        if self._probe is None:
            self._log.trace(f"{self._endpoint.url}: {reason}; waiting for it")
            self._probe = self._loop.after(self._delay, self._try)
            self._delay = min(self._delay * 2, MAX_DELAY)

    def reached(self, call: Call) -> None:
        """Take note that toolman answered a call sensibly."""
        self._delay = FIRST_DELAY
        self._deadlines.pop(call, None)
        self._release()

    def cancel(self, call: Call) -> None:
        """Forget a call, wherever it is; its connection is closed, since its response may still come."""
        self._deadlines.pop(call, None)
        self._away = deque(waiting for waiting in self._away if waiting.call is not call)
        if call in self._queue:
            self._queue.remove(call)
        for connection, carried in self._busy.items():
            if carried is call:
                connection.close()
                return

    def press(self, *, is_full: bool) -> None:
        """Read nothing more until the agent has taken what there is, or go on reading."""
        self.is_full = is_full
        for connection in (*self._busy, *self._idle):
            connection.watch()

    def close(self) -> None:
        """Close every connection; nobody is told."""
        if self._probe is not None:
            self._probe.cancel()
        self._queue.clear()
        for connection in (*self._busy, *self._idle):
            connection.close()

    def connected(self, connection: Connection) -> None:
        """Send a connection's first call, and what waited for toolman to be reachable."""
        call = self._busy[connection]
        if call.is_settled:
            self.free(connection)
        else:
            connection.carry(call)
        self._release()

    def unreachable(self, connection: Connection, reason: str, *, for_good: bool) -> None:
        """Let a call wait that could not be sent, unless it would wait for nothing."""
        call = self._busy.pop(connection)
        if for_good:
            self._deadlines.pop(call, None)
            call.failed(reason, delivered=False)
        else:
            self.postpone(call, reason)
        self._next()

    def free(self, connection: Connection) -> None:
        """Keep a connection for the next call."""
        del self._busy[connection]
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = self._loop.after(IDLE_SECONDS, self._close_idle)
        self._next()

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        if self._busy.pop(connection, None) is None and connection in self._idle:
            self._idle.remove(connection)
        self._next()

    def lost(self, connection: Connection, call: Call, reason: str, *, delivered: bool) -> None:
        """Send a call again that did not leave; anything else is the call's own business."""
        del connection
        if delivered:
            self._deadlines.pop(call, None)
            call.failed(reason, delivered=True)
        else:
            self.postpone(call, reason)

    def _wait(self, call: Call, reason: str) -> None:
        if call.is_settled:
            return
        deadline = None if call.is_patient else self._deadlines.setdefault(call, monotonic() + self._patience)
        self._away.append(Waiting(call, deadline, reason))

    def _try(self) -> None:
        self._probe = None
        now = monotonic()
        expired = [waiting for waiting in self._away if waiting.deadline is not None and waiting.deadline <= now]
        self._away = deque(waiting for waiting in self._away if waiting not in expired)
        while self._away and self._away[0].call.is_settled:
            self._away.popleft()
        if self._away:
            self._start(self._away.popleft().call)
        for waiting in expired:
            self._deadlines.pop(waiting.call, None)
            waiting.call.failed(f"{waiting.reason}; gave up after {self._patience:g} s", delivered=False)

    def _start(self, call: Call) -> None:
        if call.is_settled:
            return
        while self._idle:
            connection = self._idle.pop()
            if monotonic() - connection.since < IDLE_SECONDS and connection.is_alive:
                self._carry(connection, call)
                self._release()
                return
            connection.close()
        if len(self._busy) >= self._limit + (URGENT_CONNECTIONS if call.is_urgent else 0):
            self._queue.append(call)
            return
        self._open(call)

    def _release(self) -> None:
        if self._probe is None and self._away:
            away, self._away = self._away, deque()
            for waiting in away:
                self._start(waiting.call)

    def _carry(self, connection: Connection, call: Call) -> None:
        self._busy[connection] = call
        connection.carry(call)

    def _open(self, call: Call) -> None:
        try:
            addresses = self._endpoint.addresses()
        except OSError as error:
            self.postpone(call, f"{self._endpoint.host}: {error.strerror or error}")
            return
        connection = Connection(self._loop, self, addresses, self._prepare)
        self._busy[connection] = call
        connection.connect()

    def _close_idle(self) -> None:
        self._sweep = None
        oldest = monotonic() - IDLE_SECONDS
        for connection in [idle for idle in self._idle if idle.since <= oldest]:
            connection.close()
        if self._idle:
            self._sweep = self._loop.after(IDLE_SECONDS, self._close_idle)

    def _next(self) -> None:
        if self._queue and len(self._busy) < self._limit:
            self._start(self._queue.popleft())

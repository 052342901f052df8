"""A session's event streams: numbered events, kept for a while within bounds, so that a client can come back for them.

Source: modelcontextprotocol.io/specification/2025-11-25/basic/transports, *Resumability and redelivery*. Pure: how
events reach a client is a :class:`Sink`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Literal, Protocol

from toolman import jsonrpc

MAX_KEPT = 1024 * 1024
"""Bytes of events that are kept of one session."""

MAX_KEPT_ALL = 16 * 1024 * 1024
"""Bytes of events that are kept of all sessions together; what nobody added to for longest goes first."""

MAX_UNSENT = 64 * 1024
"""Bytes of messages that wait for a session to open a GET stream; the newest stay."""

MAX_STREAMS = 64
"""Streams kept of one session, open ones first."""

MAX_LISTENING = 8
"""Open GET streams of one session: a client that reconnects before its old connection is seen to be gone has two."""

RETRY = 1_000
"""Milliseconds after which a client may come back for the rest of a stream."""

_OVERHEAD = 200  # what an event costs besides its bytes, so that empty ones are bounded, too

Kind = Literal["get", "post"]
"""For messages that belong to no request, or for those that belong to one."""

_TOO_BIG = jsonrpc.error(-32000, "the connection broke, and the result was too big to be kept: send the request again")


class Sink(Protocol):
    """A connection that carries a stream's events."""

    def send(self, message: bytes, identifier: bytes, *, is_last: bool = False) -> None:
        """Write an event."""

    def prime(self, identifier: bytes) -> None:
        """Write an event that only has an id, where the client's revision knows such."""

    def comment(self) -> None:
        """Write something that clients ignore."""

    def close(self) -> None:
        """End the response."""


class Budget:
    """How many bytes all streams keep. The streams are in the order in which they were last added to."""

    def __init__(self) -> None:
        self.kept = 0
        self._streams: OrderedDict[Stream, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._streams)

    def count(self, stream: Stream, size: int) -> None:
        """Count bytes that a stream keeps, or (below 0) keeps no more; others forget theirs if it gets too much."""
        self.kept += size
        if not stream.size:
            self._streams.pop(stream, None)
        elif size > 0:
            self._streams[stream] = None
            self._streams.move_to_end(stream)
            while self.kept > MAX_KEPT_ALL:
                next(iter(self._streams)).forget()


class Stream:
    """One stream: what was sent on it, and the connection that carries it, if there is one.

    Attributes:
        kind: What it is for.
        number: The session's.
        sink: Its connection, None while it has none.
        size: Bytes kept.
        is_finished: Whether nothing more will be sent on it.
    """

    __slots__ = ("_events", "_lost", "_next", "_owner", "is_finished", "kind", "number", "sink", "size")

    def __init__(self, kind: Kind, number: int, owner: Streams) -> None:
        self.kind = kind
        self.number = number
        self.sink: Sink | None = None
        self.size = 0
        self.is_finished = False
        self._owner = owner
        self._events: deque[tuple[int, bytes]] = deque()
        self._next = 1
        self._lost = 0  # the last event that is not kept any more

    def send(self, message: bytes, *, is_last: bool = False) -> None:
        """Add an event and write it, if there is a connection."""
        if self.is_finished:
            return
        number, self._next = self._next, self._next + 1
        self.is_finished = is_last
        if self.sink is not None:
            self.sink.send(message, self._identify(number), is_last=is_last)
        self._keep(number, message)
        if is_last and self.sink is not None:
            self.close()

    def finish(self, identifier: bytes, outcome: jsonrpc.Outcome) -> None:
        """Add the response to the request that the stream is for. It is the last event."""
        if self.sink is None and len(outcome[1]) > MAX_KEPT:
            outcome = _TOO_BIG
        self.send(jsonrpc.response(identifier, outcome), is_last=True)

    def attach(self, sink: Sink, after: int | None = None) -> None:
        """Carry it on a connection: what came after an event first, then what comes."""
        self.close()
        self.sink = sink
        if after is None:
            sink.prime(self._identify(0))
        for number, message in tuple(self._events):
            if after is not None and number > after:
                sink.send(message, self._identify(number))
        if self.is_finished:
            self.close()

    def detach(self, sink: Sink | None) -> None:
        """Learn that a connection has gone."""
        if self.sink is sink:
            self.sink = None

    def comment(self) -> None:
        """Show that there is life."""
        if self.sink is not None:
            self.sink.comment()

    def close(self) -> None:
        """End its connection; what comes later is kept."""
        sink, self.sink = self.sink, None
        if sink is not None:
            sink.close()

    def has_all(self, after: int) -> bool:
        """Tell whether everything after an event is still there."""
        return self._lost <= after < self._next

    def forget(self) -> None:
        """Keep nothing of what was sent so far."""
        self._lost = self._next - 1
        self._events.clear()
        self._release(self.size)

    def drop_oldest(self) -> None:
        """Keep the oldest event no more."""
        self._lost, message = self._events.popleft()
        self._release(len(message) + _OVERHEAD)

    def _keep(self, number: int, message: bytes) -> None:
        size = len(message) + _OVERHEAD
        if size > MAX_KEPT:
            self.forget()
            return
        self._events.append((number, message))
        self.size += size
        self._owner.kept(self, size)

    def _release(self, size: int) -> None:
        self.size -= size
        self._owner.kept(self, -size)

    def _identify(self, number: int) -> bytes:
        return b"%b-%d-%d" % (self.kind.encode(), self.number, number)


class Streams:
    """The streams of one session.

    Args:
        budget: Of all sessions.
    """

    __slots__ = ("_all", "_budget", "_count", "_kept", "_unsent", "_unsent_size")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._all: dict[int, Stream] = {}
        self._count = 0
        self._kept = 0
        self._unsent: list[bytes] = []  # a deque takes 600 bytes when it is empty
        self._unsent_size = 0

    @property
    def is_open(self) -> bool:
        """Whether one of them has a connection."""
        return any(stream.sink is not None for stream in self._all.values())

    def open(self, kind: Kind, sink: Sink) -> Stream:
        """Begin a stream on a connection."""
        self._count += 1
        stream = self._all[self._count] = Stream(kind, self._count, self)
        stream.attach(sink)
        self._make_room()
        if kind == "get":
            self._deliver(stream)
        return stream

    def can_resume(self, last: bytes) -> bool:
        """Tell whether a client that has seen an event can have all that came after it.

        Messages that belong to no request go on with any stream, so for one of these that is forgotten there is a new
        one.
        """
        kind, number, after = _read(last)
        stream = self._all.get(number)
        return kind == "get" or (stream is not None and stream.kind == kind and stream.has_all(after))

    def resume(self, last: bytes, sink: Sink) -> Stream:
        """Go on with the stream of which a client has seen an event, or with a new one."""
        kind, number, after = _read(last)
        stream = self._all.get(number)
        if stream is None or stream.kind != kind or not stream.has_all(after):
            return self.open("get", sink)
        stream.attach(sink, after)
        if kind == "get":
            self._deliver(stream)
        return stream

    def push(self, message: bytes) -> None:
        """Send a message that belongs to no request: on exactly one stream, or on the next one that is opened."""
        for stream in reversed(self._all.values()):
            if stream.kind == "get" and stream.sink is not None:
                stream.send(message)
                return
        if message in self._unsent:
            return  # such as that the tools changed: once is enough
        self._unsent.append(message)
        self._unsent_size += len(message) + _OVERHEAD
        while self._unsent_size > MAX_UNSENT:
            self._unsent_size -= len(self._unsent.pop(0)) + _OVERHEAD

    def kept(self, stream: Stream, size: int) -> None:
        """Count bytes that one of them keeps, or (below 0) keeps no more; the oldest go if it gets too much."""
        self._kept += size
        self._budget.count(stream, size)
        if size > 0 and self._kept > MAX_KEPT:
            self._bound()

    def end(self) -> None:
        """End all of them and keep nothing."""
        self.close()
        for stream in self._all.values():
            stream.forget()
        self._all.clear()
        self._unsent.clear()
        self._unsent_size = 0

    def close(self, *, is_listening_only: bool = False) -> None:
        """End their connections, or those that wait for no outcome."""
        for stream in tuple(self._all.values()):
            if stream.kind == "get" or not is_listening_only:
                stream.close()

    def _deliver(self, stream: Stream) -> None:
        while self._unsent and stream.sink is not None:
            message = self._unsent.pop(0)
            self._unsent_size -= len(message) + _OVERHEAD
            stream.send(message)

    def _bound(self) -> None:
        for stream in self._all.values():
            while self._kept > MAX_KEPT and stream.size:
                stream.drop_oldest()

    def _make_room(self) -> None:
        listening = [stream for stream in self._all.values() if stream.kind == "get" and stream.sink is not None]
        for stream in listening[:-MAX_LISTENING]:
            stream.close()
        while len(self._all) > MAX_STREAMS:
            streams = self._all.values()  # those on which nothing is waited for go first
            idle = (stream for stream in streams if stream.is_finished or stream.kind == "get")
            removed = next(idle, next(iter(streams)))
            removed.close()
            removed.forget()
            del self._all[removed.number]


def _read(identifier: bytes) -> tuple[bytes | str, int, int]:
    """Read an event's id; one that is not ours leads nowhere."""
    kind, _, rest = identifier.partition(b"-")
    number, _, after = rest.partition(b"-")
    is_ours = kind in {b"get", b"post"} and number.isdigit() and after.isdigit() and len(rest) < _MAX_ID
    return (kind.decode(), int(number), int(after)) if is_ours else ("get", 0, 0)


_MAX_ID = 40

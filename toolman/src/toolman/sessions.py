"""The sessions of clients: made by ``initialize``, ended by the client, by idleness or by need of room.

They are kept in memory. A :class:`Store` keeps what is needed to bring one back after a restart, or in another toolman.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import msgspec

from toolman import tokens
from toolman.streams import Budget, Streams

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping

    from msgspec import Raw

    from toolman.exchange import Era, Question
    from toolman.upstreams import ListKind

log = logging.getLogger(__name__)

MAX_SESSIONS = 1_000
"""More than agents of one Pod need. The one that was idle for the longest makes room."""

REFRESH = 0.25
"""Share of their life after which sessions that are in use are kept for longer in the store."""

CHECK = 5.0
"""Seconds after which a session that is in use is looked for in the store: it may have been ended elsewhere."""
_NOTHING: Mapping[str, bytes] = {}


class Stored(msgspec.Struct, frozen=True):
    """What is kept of a session: what the client said once and will not say again."""

    label: str
    version: str
    server: str | None = None
    capabilities: bytes = b"{}"
    client_info: bytes | None = None
    log_level: str | None = None
    subscriptions: tuple[tuple[str, str], ...] = ()


ENDED = b""
"""What a store gives of a session that was ended: other toolmans that know it are to learn that."""


class Store(Protocol):
    """Where sessions outlive toolman. What cannot be asked for or kept at the moment is not there: nothing raises."""

    async def load(self, identifier: str) -> bytes | None:
        """Give what is kept of a session, and keep it longer."""

    async def save(self, identifier: str, data: bytes) -> None:
        """Keep a session."""

    async def delete(self, identifier: str) -> None:
        """Keep no more of a session than that it was ended: :data:`ENDED`."""


class Session:
    """One client of the legacy era.

    Attributes:
        identifier: What the client shows with each request; whoever knows it is that client.
        label: Names the session in logs, where the identifier must not appear.
        version: The protocol version that was agreed on.
        server: The only server that it sees, None for all.
        capabilities: The client's, a raw JSON object.
        client_info: The client's name and version, a raw JSON object.
        log_level: From which level on it wants log messages, None for none.
        used: When it was last used, on the clock of its :class:`Sessions`.
        saved: When the store last heard of it, on the same clock.
        inflight: How to cancel what is on its way, by the value of the request's id. The dispatcher's.
        questions: What it was asked, by toolman's id. The dispatcher's.
        subscriptions: Servers and the URIs of their resources that it wants to hear of.
        listed: The generation that it has of each list.
        is_ended: Whether it is over.
    """

    era: ClassVar[Era] = "legacy"
    mirrored: ClassVar[Mapping[str, bytes]] = _NOTHING

    __slots__ = (
        "_budget",
        "_streams",
        "capabilities",
        "client_info",
        "identifier",
        "inflight",
        "is_ended",
        "label",
        "listed",
        "log_level",
        "questions",
        "saved",
        "server",
        "subscriptions",
        "used",
        "version",
    )

    def __init__(self, identifier: str, stored: Stored, budget: Budget, now: float) -> None:
        self.identifier = identifier
        self.label = stored.label
        self.version = stored.version
        self.server = stored.server
        self.capabilities = stored.capabilities
        self.client_info = stored.client_info
        self.log_level = stored.log_level
        self.subscriptions = set(stored.subscriptions)
        self.used = self.saved = now
        self.inflight: dict[int | str, Callable[[Raw | None], None]] = {}
        self.questions: dict[int, Question] = {}
        self.listed: dict[ListKind, int] = {}
        self.is_ended = False
        self._budget = budget
        self._streams: Streams | None = None

    @property
    def owner(self) -> str:
        """The session is the client."""
        return self.identifier

    @property
    def principal(self) -> str:
        """The session is the client."""
        return self.identifier

    @property
    def streams(self) -> Streams:
        """Its event streams; made when there is one, because many sessions are begun and never used."""
        if self._streams is None:
            self._streams = Streams(self._budget)
        return self._streams

    @property
    def is_busy(self) -> bool:
        """Whether something is on its way, or the client is listening."""
        return bool(self.inflight) or (self._streams is not None and self._streams.is_open)

    def push(self, message: bytes) -> None:
        """Send a message that belongs to no request; it waits, bounded, until the client listens."""
        self.streams.push(message)

    def stop_listening(self) -> None:
        """End the connections of the streams on which no outcome is waited for."""
        if self._streams is not None:
            self._streams.close(is_listening_only=True)

    def forget_streams(self) -> None:
        """End its streams and keep nothing of them."""
        if self._streams is not None:
            self._streams.end()

    def stored(self) -> Stored:
        """Give what is worth keeping."""
        subscriptions = tuple(sorted(self.subscriptions))
        return Stored(
            self.label, self.version, self.server, self.capabilities, self.client_info, self.log_level, subscriptions
        )


class Sessions:
    """All of them, the longest unused first.

    Args:
        clock: Seconds, monotonic.
        ttl: Seconds without a request or an open stream after which a session ends.
        store: Where they outlive toolman, None for nowhere.
        most: How many there may be; the one that was idle for the longest makes room.

    Attributes:
        arrived: Called with a session that was brought back from the store.
        left: Called with a session that has ended.
    """

    def __init__(
        self, clock: Callable[[], float], ttl: float, store: Store | None = None, most: int | None = None
    ) -> None:
        self.ttl = ttl
        self._most = most
        self.arrived: Callable[[Session], None] = _ignore
        self.left: Callable[[Session], None] = _ignore
        self._clock = clock
        self._store = store
        self._budget = Budget()
        self._all: OrderedDict[str, Session] = OrderedDict()
        self._loading: dict[str, asyncio.Task[bytes | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._all.values()))

    @property
    def has_store(self) -> bool:
        """Whether one that is not here may be brought back."""
        return self._store is not None

    def create(
        self, version: str, server: str | None = None, capabilities: bytes = b"{}", client_info: bytes | None = None
    ) -> Session:
        """Make a session; :meth:`save` has the store keep it."""
        stored = Stored(tokens.hexadecimal(4), version, server, capabilities, client_info)
        return self._add(tokens.urlsafe(24), stored)

    def get(self, identifier: str) -> Session | None:
        """Find a session and note its use; None if there is none here, or none any more."""
        session = self._all.get(identifier)
        if session is None:
            return None
        now = self._clock()
        if now - session.used > self.ttl and not session.is_busy:
            self._drop(session)
            return None
        session.used = now
        self._all.move_to_end(identifier)
        if self._store is not None and now - session.saved > min(self.ttl * REFRESH, CHECK):
            session.saved = now
            self._start(self._compare(session, self._store))
        return session

    async def restore(self, identifier: str) -> Session | None:
        """Find a session that is not here in the store; None if there is none."""
        if self._store is None or not 0 < len(identifier) <= _MAX_IDENTIFIER:
            return None
        loading = self._loading.get(identifier)
        if loading is None:
            loading = self._loading[identifier] = asyncio.create_task(self._store.load(identifier))
            loading.add_done_callback(lambda _: self._loading.pop(identifier, None))
        data = await asyncio.shield(loading)
        session = self.get(identifier)
        if session is not None or not data:
            return session
        try:
            stored = _decode(data)
        except msgspec.DecodeError:
            log.warning("a session in the store cannot be read: another version of toolman may use the same store")
            return None
        session = self._add(identifier, stored)
        self.arrived(session)
        return session

    def save(self, session: Session) -> None:
        """Have the store keep a session as it is now; without a store, or when it is away, it lives here alone."""
        if self._store is not None and not session.is_ended:
            session.saved = self._clock()
            self._start(self._store.save(session.identifier, _encode(session.stored())))

    def end(self, session: Session) -> None:
        """End a session, its streams and what is on its way, here and wherever else it is known."""
        if not session.is_ended:
            self._drop(session)
            if self._store is not None:
                self._start(self._store.delete(session.identifier))

    async def _compare(self, session: Session, store: Store) -> None:
        """End a session that was ended at another toolman; have the store keep it longer, or again if it lost it."""
        data = await store.load(session.identifier)
        if data == ENDED:
            self._drop(session)
        elif data is None:
            self.save(session)

    def _drop(self, session: Session) -> None:
        """End a session here. The store forgets it in its own time: another toolman may be using it."""
        if session.is_ended:
            return
        session.is_ended = True
        self._all.pop(session.identifier, None)
        for cancel in tuple(session.inflight.values()):
            cancel(None)
        session.forget_streams()
        self.left(session)

    def end_streams(self) -> None:
        """End the streams on which no outcome is waited for: toolman is shutting down."""
        for session in self:
            session.stop_listening()

    def expire(self) -> None:
        """End the sessions that nobody has used for too long."""
        limit = self._clock() - self.ttl
        for session in self:
            if session.used > limit:
                break
            if not session.is_busy:
                self._drop(session)

    async def settle(self) -> None:
        """Wait for what the store is still to be told."""
        await asyncio.gather(*self._tasks)

    def _add(self, identifier: str, stored: Stored) -> Session:
        if len(self._all) >= (self._most or MAX_SESSIONS):
            self._drop(next((session for session in self._all.values() if not session.is_busy), next(iter(self))))
        session = self._all[identifier] = Session(identifier, stored, self._budget, self._clock())
        return session

    def _start(self, telling: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(telling, name="session store")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


_MAX_IDENTIFIER = 128
_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(Stored).decode


def _ignore(session: Session) -> None:
    del session

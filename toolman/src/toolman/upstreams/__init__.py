"""How servers are reached: one module a kind, narrow interfaces between it and the rest.

A :class:`Connector` knows how to begin one life of a server, in whichever era the server speaks, and gives back a
:class:`Peer`. :mod:`toolman.upstreams.supervisor` keeps it alive. Kinds that carry lines (processes, pipes, sandboxes)
or single messages both ways (HTTP+SSE) have a :class:`Launcher` that gives a :class:`Link`, and share their peer.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from toolman.exchange import Era

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msgspec import Raw

    from toolman.exchange import Call, Question

ListKind = Literal["tools", "prompts", "resources"]
"""Of what servers say that it has changed. A change of resources is one of their templates, too."""

SESSION: ContextVar[str] = ContextVar("SESSION", default="-")
"""The label of the client's session that a life of a server is begun for; ``-`` for one that is shared."""


class Failure(Exception):  # noqa: N818 - reads as what it says
    """A server cannot be started or used; the text says what happened and can be shown to an agent.

    Attributes:
        detail: What else an operator may want to know, such as the end of its stderr. For the log, never for agents.
    """

    def __init__(self, text: str, detail: str = "") -> None:
        super().__init__(text)
        self.detail = detail


class Hello(msgspec.Struct, frozen=True):
    """What a server says of itself.

    Attributes:
        era: In which it is spoken with.
        version: The revision.
        capabilities: A raw JSON object.
        server_info: Its name and version, a raw JSON object.
        instructions: For the model, None if it gives none.
    """

    era: Era
    version: str
    capabilities: bytes = b"{}"
    server_info: bytes = b"{}"
    instructions: str | None = None


class Events(Protocol):
    """Who listens to a peer for what belongs to no call."""

    def changed(self, kind: ListKind) -> None:
        """Learn that a list of the server's has changed."""

    def updated(self, uri: str, params: Raw) -> None:
        """Learn that a resource that was subscribed to has changed; ``params`` is the server's own, raw."""

    def logged(self, params: Raw) -> None:
        """Take a log message that belongs to no call."""

    def notified(self, method: str, params: Raw | None) -> None:
        """Take any other notification."""

    def asked(self, question: Question) -> None:
        """Take a question that belongs to no call."""

    def ended(self, how: str) -> None:
        """Learn that this life of the server is over, and how, such as ``exit code 137``. Called once."""


class Peer(Protocol):
    """A server, after the handshake, for one life."""

    hello: Hello

    def send(self, call: Call) -> None:
        """Send a call; what comes back goes to it.

        Raises:
            Failure: The server does not read what it is sent, or is gone.
        """

    def cancel(self, call: Call, reason: Raw | None = None) -> None:
        """Forget a call and tell the server; nothing of it is called any more."""

    def notify(self, method: str, params: bytes | None = None) -> None:
        """Send a notification; what the server's era does not have is not sent."""

    async def request(self, method: str, params: Mapping[str, bytes | Raw], limit: float) -> bytes:
        """Send a request of toolman's own and give the raw result.

        Raises:
            Failure: An error came back, or nothing within ``limit`` seconds of silence.
        """

    async def watch(self, uris: frozenset[str]) -> None:
        """Be told of changes of the lists, and of exactly these resources from now on.

        Raises:
            Failure: The server refuses.
        """

    async def set_log_level(self, level: str) -> None:
        """Have the server send log messages from a level on, where its era has that as a request of its own."""

    async def close(self) -> None:
        """End this life within a bounded time; calls on their way are answered with an error first."""


class Connector(Protocol):
    """How one server is reached."""

    async def connect(self, events: Events, capabilities: bytes) -> Peer:
        """Begin a life of the server: start it or connect, find out its era, shake hands.

        The era found is remembered for the next time, and found out again when it does not work any more.

        Args:
            events: Gets what belongs to no call.
            capabilities: What clients can do, as far as the server may know it; a raw JSON object.

        Raises:
            Failure: It cannot be begun.
        """

    async def close(self) -> None:
        """Give back what outlives a single life, once no life needs it any more; a later one begins anew."""


class Receiver(Protocol):
    """Who listens to a link."""

    def line(self, data: bytes) -> None:
        """Take one line that the server wrote, without its end."""

    def ended(self, how: str, detail: str = "") -> None:
        """Learn that this life of the server is over. Called once.

        Args:
            how: Such as ``exit code 137``; agents can see it.
            detail: What else an operator may want to know, such as the end of its stderr.
        """


class Link(Protocol):
    """One life of a server that carries lines."""

    def write(self, line: bytes) -> bool:
        """Send one line, given without its end; False if the server has not read so much that it is refused."""

    async def close(self) -> None:
        """End the server and everything it started, politely first, within a bounded time."""


class Launcher(Protocol):
    """How a server that carries lines is started."""

    async def launch(self, receiver: Receiver) -> Link:
        """Start a life of the server.

        Raises:
            Failure: It cannot be started.
        """

    async def close(self) -> None:
        """Give back what outlives a single life, once no life needs it any more; a later start begins anew."""

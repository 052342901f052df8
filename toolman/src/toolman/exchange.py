"""What the front (HTTP), the core and the upstreams say to each other about one request. Pure: types and no I/O.

A client's request comes from a :class:`Caller` and is answered through a :class:`Reply`. What goes to a server is an
:class:`Outgoing`, wrapped in a :class:`Call` that takes everything that comes back. What a server asks meanwhile is a
:class:`Question`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec
from msgspec import Raw

from toolman import jsonrpc
from toolman.jsonrpc import Outcome

if TYPE_CHECKING:
    from collections.abc import Hashable

    from toolman.jsonrpc import Members

Era = Literal["legacy", "modern"]
"""Revisions with a handshake and sessions (up to 2025-11-25), or with everything in each request (2026-07-28)."""


class Reply(Protocol):
    """Where what a request gets goes: any number of notes, then one outcome. Never raises, whatever the client does."""

    def note(self, message: bytes) -> bool:
        """Send a whole JSON-RPC message ahead of the outcome; False if this client takes none on this request."""

    def finish(self, outcome: Outcome) -> None:
        """Give the outcome; only the first one counts."""


class Caller(Protocol):
    """Who asks: a session of the legacy era, or the metadata of one request of the modern era.

    Attributes:
        era: Of the protocol that it speaks.
        version: Revision of the protocol, such as ``2025-11-25``.
        label: Names it in logs, where a session's identifier must not appear.
        owner: What is surely one client: equal for its requests, never equal for two clients'.
        principal: Whose tasks and held calls are whose: the session, the token's label, or nothing for anybody.
        server: The only server that it sees, of an endpoint for one server; None for all.
        capabilities: The client's, a raw JSON object.
        client_info: The client's name and version, a raw JSON object, None if it gave none.
        log_level: From which level on it wants log messages, None for none.
        mirrored: Values of this request's ``Mcp-Param-*`` headers as they came, by what stands behind the prefix, in
            lower case; for :func:`toolman.protocol.mirror.mismatch`. Empty in the legacy era.
    """

    @property
    def era(self) -> Era: ...  # noqa: D102 - see the class
    @property
    def version(self) -> str: ...  # noqa: D102
    @property
    def label(self) -> str: ...  # noqa: D102
    @property
    def owner(self) -> Hashable: ...  # noqa: D102
    @property
    def principal(self) -> str: ...  # noqa: D102
    @property
    def server(self) -> str | None: ...  # noqa: D102
    @property
    def capabilities(self) -> bytes: ...  # noqa: D102
    @property
    def client_info(self) -> bytes | None: ...  # noqa: D102
    @property
    def log_level(self) -> str | None: ...  # noqa: D102
    @property
    def mirrored(self) -> Mapping[str, bytes]: ...  # noqa: D102


class Outgoing(msgspec.Struct):
    """A request to a server, before it is known in which era and under which number it goes.

    Attributes:
        method: Such as ``tools/call``.
        params: Members of ``params`` without ``_meta``, the deciding ones (``name``, ``uri``) rewritten already.
        meta: Members of the client's ``_meta`` without its progress token and without what the modern era's envelope
            keeps there; ``traceparent`` and whatever else it holds goes through.
        progress: Whether the client wants progress.
        capabilities: What the server may know of the client's capabilities, a raw JSON object.
        client_info: The client's, a raw JSON object.
        log_level: From which level on log messages are wanted, None for none.
        name: What ``Mcp-Name`` mirrors, None if the method has no such thing.
        mirrored: ``Mcp-Param-*`` headers and their values, not encoded yet.
    """

    method: str
    params: Mapping[str, bytes | Raw]
    meta: Mapping[str, bytes | Raw] = {}
    progress: bool = False
    capabilities: bytes = b"{}"
    client_info: bytes | None = None
    log_level: str | None = None
    name: str | None = None
    mirrored: tuple[tuple[str, str], ...] = ()


class Question(msgspec.Struct):
    """A request of a server's to its client: sampling, elicitation, roots, or whatever a revision brings.

    Attributes:
        method: Such as ``elicitation/create``.
        params: A raw JSON object, None if absent.
        answer: Called once with what the client said, or with the error that stands for it.
    """

    method: str
    params: Raw | None
    answer: Callable[[Outcome], None]


REFUSED = jsonrpc.error(jsonrpc.METHOD_NOT_FOUND, "Method not found")
"""How a question is answered that nobody may or can answer."""


class Call:
    """One request on its way to a server. The core overrides what it wants to hear; a peer calls it.

    Args:
        outgoing: What is sent.
        timeout: Seconds of silence after which it fails.
        owner: Of the caller. Messages of a legacy server that name no call are given to a call only if all calls on
            their way have one owner.

    Attributes:
        number: The peer's, 0 before it was sent.
        heard: When something of it was last heard, on the loop's clock.
    """

    __slots__ = ("heard", "number", "outgoing", "owner", "timeout")

    def __init__(self, outgoing: Outgoing, timeout: float, owner: Hashable) -> None:
        self.outgoing = outgoing
        self.timeout = timeout
        self.owner = owner
        self.number = 0
        self.heard = 0.0

    def is_waiting(self, now: float) -> bool:
        """Tell whether its server certainly waits for its client, and asks nothing; ``now`` is on the loop's clock."""
        del now
        return False

    def replied(self, outcome: Outcome) -> None:
        """Take the outcome. Called once, after everything else; never after the call was cancelled."""
        raise NotImplementedError

    def progressed(self, params: Members) -> None:
        """Take the params of a progress notification; the token in them is the peer's."""

    def logged(self, params: Raw) -> None:
        """Take the params of a log message."""

    def notified(self, method: str, params: Raw | None) -> None:
        """Take any other notification that came on this call's own stream."""

    def asked(self, question: Question) -> None:
        """Take a question that belongs to this call."""
        question.answer(REFUSED)

"""The door of a server that many Pods share: whose token a request shows, and which endpoint is that caller's.

A token is looked up by its hash; one that is not known yet is given to the Kubernetes API, which costs its first
request some milliseconds. Nothing fails open: while that API gives no answer nobody new is served, and those who are
known only for a bounded time, on the last answer about them. Without that an upgrade of a cluster's control plane would
stop every call, though nobody can be let in or put out meanwhile.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import math
from typing import TYPE_CHECKING, NamedTuple, Protocol
from weakref import WeakSet

import msgspec

from toolman.front.refusals import refuse
from toolman.protocol.headers import Refusal
from toolman.upstreams import Failure

if TYPE_CHECKING:
    from toolman import config
    from toolman.front.connection import Connection
    from toolman.front.connection import Endpoint as Served
    from toolman.front.remembered import Remembered
    from toolman.front.requests import Request
    from toolman.metrics import Counter

log = logging.getLogger(__name__)

MAX_TOKEN = 8 * 1024
"""Characters of a token; those of Kubernetes have some twelve hundred."""

MAX_REVIEWS = 16
"""Questions to the Kubernetes API at a time."""

MAX_CONNECTIONS = 128
"""Of one caller: it must not take the places of all others."""

_SCHEME = b"bearer "
_PARTS = 3
_CHALLENGE = b'WWW-Authenticate: Bearer realm="toolman"\r\n'
_MISSING = Refusal(401, "a token is needed: send Authorization: Bearer and a service account token", _CHALLENGE)
_WRONG = Refusal(
    401,
    "the token is not accepted: it must be a Pod's, in force, and meant for this server's audience",
    _CHALLENGE[:-2] + b', error="invalid_token"\r\n',
)
_STRANGER = Refusal(403, "the token's Pod may not call this server: only Pods of agents that name it may")
_RETRY = b"Retry-After: 1\r\n"
_BUSY = Refusal(503, "too many tokens are being looked at: try again in a moment", _RETRY)
_BLIND = Refusal(503, "the Kubernetes API does not say whose the token is: try again in a moment", _RETRY)
_CROWDED = Refusal(503, f"a Pod may have {MAX_CONNECTIONS} connections: close some", _RETRY)
_BUG = Refusal(500, "an error in toolman: see its log")


class Reviews(Protocol):
    """Who says whose a token is."""

    async def review(self, token: str) -> str:
        """Give the UID of its Pod, empty if it is not accepted; raises ``Failure`` without an answer."""


class Callers(Protocol):
    """Who may call."""

    def endpoint(self, pod: str) -> Served | None:
        """Give what serves a Pod, None if it may not call."""

    def is_caller(self, pod: str) -> bool:
        """Tell whether a Pod may call."""


class _Claims(msgspec.Struct):
    aud: str | list[str] = ""
    exp: float = math.inf
    kubernetes: _Kubernetes | None = msgspec.field(name="kubernetes.io", default=None)


class _Said(NamedTuple):
    """Of itself; the time at which it ends is Unix."""

    audiences: list[str]
    pod: str
    ends: float


class _Kubernetes(msgspec.Struct):
    pod: _Pod | None = None


class _Pod(msgspec.Struct):
    uid: str = ""


_claims = msgspec.json.Decoder(_Claims).decode


class Guard:
    """Serves all requests of the front; implements :class:`toolman.front.connection.Endpoint`.

    Args:
        settings: The guard's part of the configuration.
        outside: Knows what any request must be like.
        callers: Have endpoints of their own.
        reviews: Say whose tokens are.
        known: What they have said.
        refused: Counts refusals.
    """

    def __init__(
        self,
        settings: config.Guard,
        outside: Served,
        callers: Callers,
        reviews: Reviews,
        known: Remembered,
        refused: Counter,
    ) -> None:
        self.settings = settings
        self.is_leaving = False
        self._outside = outside
        self._callers = callers
        self._reviews = reviews
        self._refused = refused
        self._known = known
        self._reviewing: dict[bytes, asyncio.Task[str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections: dict[str, WeakSet[Connection]] = {}
        self._is_blind = False

    @property
    def max_connections(self) -> int:
        """How many connections may be open."""
        return self._outside.max_connections

    @property
    def is_finding_out(self) -> bool:
        """Whether requests wait until it is known whose they are."""
        return bool(self._tasks)

    def use(self, settings: config.Guard, reviews: Reviews) -> None:
        """Go on with other settings; what was found out under them counts no more."""
        self.settings, self._reviews = settings, reviews
        self._known.clear()
        self._reviewing.clear()

    def cut(self, pod: str) -> None:
        """End the connections of a Pod that may not call any more."""
        for connection in self._connections.pop(pod, ()):
            connection.abort()

    def admit(self, request: Request, address: str) -> Refusal | None:
        """Look at a request whose headers are there; nothing is said of what is here to who shows no token."""
        if self.is_leaving:
            request.is_last = True  # so that its client connects again, where it will be served for longer
        token = _token(request)
        if token is None:
            return self._no(_MISSING, "NoToken")
        known = self._known.look_up(_digest(token))
        if known is not None and not known.pod:
            return self._no(_WRONG, "Rejected")
        return self._outside.admit(request, address)

    def serve(self, request: Request, connection: Connection) -> None:
        """Answer a request, now or when it is known whose it is."""
        token = _token(request)
        if token is None or request.refusal is _WRONG:  # counted already
            refuse(connection, request.refusal or _MISSING, is_head=request.method == b"HEAD")
            return
        known = self._known.look_up(_digest(token))
        if known is None:
            self._find_out(token, request, connection)
        else:
            self._serve(known.pod, request, connection)

    def _serve(self, pod: str, request: Request, connection: Connection) -> None:
        endpoint = self._callers.endpoint(pod) if pod else None
        if endpoint is None:
            refusal = self._no(_STRANGER, "UnknownPod") if pod else self._no(_WRONG, "Rejected")
            refuse(connection, refusal, is_head=request.method == b"HEAD")
            return
        own = self._connections.setdefault(pod, WeakSet())
        if connection not in own:
            if sum(not each.is_gone for each in own) >= MAX_CONNECTIONS:
                refuse(connection, self._no(_CROWDED, "Crowded"), is_head=request.method == b"HEAD")
                return
            own.add(connection)
        endpoint.serve(request, connection)

    def _find_out(self, token: bytes, request: Request, connection: Connection) -> None:
        """Have a token looked at, unless what it says of itself, unproven as it is, speaks against it already."""
        said = _said(token)
        known = self._known.prolonged(_digest(token)) if self._is_blind else None
        is_full = len(self._reviewing) >= MAX_REVIEWS and _digest(token) not in self._reviewing
        refusal: Refusal | None = None
        if said is None or self.settings.audience not in said.audiences:
            refusal = self._no(_WRONG, "Rejected")
        elif not self._callers.is_caller(said.pod):
            refusal = self._no(_STRANGER, "UnknownPod")
        elif is_full and known is None:
            refusal = self._no(_BUSY, "Busy")
        if refusal is not None:
            refuse(connection, refusal, is_head=request.method == b"HEAD")
            return
        if known is not None:  # nobody's call waits for an API that may hang
            if not is_full:
                self._ask(token)
            self._serve(known.pod, request, connection)
            return
        task = asyncio.create_task(self._serve_later(token, request, connection), name="token review")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve_later(self, token: bytes, request: Request, connection: Connection) -> None:
        is_head = request.method == b"HEAD"
        try:
            pod = await asyncio.shield(self._ask(token))
        except Failure:
            known = self._known.prolonged(_digest(token))
            if known is None:
                refuse(connection, self._no(_BLIND, "Unavailable"), is_head=is_head)
                return
            pod = known.pod
        except Exception:  # whatever it is, the client must not wait for ever
            log.exception("a token could not be looked at")
            refuse(connection, _BUG, is_head=is_head)
            return
        if not connection.is_gone:
            self._serve(pod, request, connection)

    def _ask(self, token: bytes) -> asyncio.Task[str]:
        """Have the Pod of a token found out; one that several requests show is looked at once."""
        digest = _digest(token)
        task = self._reviewing.get(digest)
        if task is None:
            task = asyncio.create_task(self._reviews.review(token.decode("ascii")), name="token review")
            self._reviewing[digest] = task
            said = _said(token)
            ends = -math.inf if said is None else said.ends
            task.add_done_callback(lambda done: self._note(digest, ends, done))
        return task

    def _note(self, digest: bytes, ends: float, done: asyncio.Task[str]) -> None:
        if self._reviewing.get(digest) is not done:
            return  # asked under other settings
        del self._reviewing[digest]
        if done.cancelled():
            return
        problem = done.exception()
        if problem is None:
            self._known.learn(digest, done.result(), ends, self.settings)
        elif not self._is_blind:
            log.error("nobody new is served: the Kubernetes API: %s", problem)
        self._is_blind = problem is not None

    def _no(self, refusal: Refusal, reason: str) -> Refusal:
        self._refused.count(reason)
        return refusal


def _token(request: Request) -> bytes | None:
    shown = request.headers.get(b"authorization", b"")
    if shown[: len(_SCHEME)].lower() != _SCHEME:
        return None
    token = shown[len(_SCHEME) :].strip(b" ")
    return token if token and len(token) <= MAX_TOKEN and token.isascii() else None


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def _said(token: bytes) -> _Said | None:
    """Give what a token says of itself, without knowing that it is genuine; None if it names no Pod."""
    parts = token.split(b".")
    if len(parts) != _PARTS:
        return None
    try:
        claims = _claims(base64.urlsafe_b64decode(parts[1] + b"=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors, too
        return None
    if claims.kubernetes is None or claims.kubernetes.pod is None:
        return None
    audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
    return _Said(audiences, claims.kubernetes.pod.uid, claims.exp)

"""One request of a client's on its way to a server, and everything that comes back, whatever the eras of the two."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec

from toolman import jsonrpc
from toolman.core import asking, results
from toolman.core.context import CANCELLED, UNAVAILABLE, session_of
from toolman.core.input_required import MAX_ROUNDS, Parked, Round
from toolman.core.ledger import became
from toolman.core.loglevels import admits
from toolman.exchange import Call
from toolman.limits import FREE, LIMITED
from toolman.protocol import legacy, mirror, modern
from toolman.protocol.request_state import binding
from toolman.upstreams import Failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msgspec import Raw

    from toolman.audit import Outcome as Became
    from toolman.config import Server
    from toolman.core.context import Cancel, Context
    from toolman.core.input_required import Hold
    from toolman.core.ledger import Used
    from toolman.core.questions import Asked
    from toolman.exchange import Caller, Outgoing, Question, Reply
    from toolman.jsonrpc import Members, Message, Outcome
    from toolman.limits import Permit
    from toolman.protocol.mirror import Mirrored
    from toolman.protocol.translate import InputRequired
    from toolman.traces import Span
    from toolman.upstreams import Peer
    from toolman.upstreams.supervisor import Supervisor

QUIET = 1.0
"""Seconds of silence after which a call whose client is asked is taken to wait for that answer and not to ask again:
one client that never comes back must not keep all others from being asked."""

_PROGRESS = legacy.PROGRESS.encode()
_LOGGED = legacy.LOGGED.encode()
_LOST = jsonrpc.error(UNAVAILABLE, "the server asks for input again and again")

_NEVER_HERE = frozenset({legacy.CANCELLED, legacy.PROGRESS, legacy.LOGGED, modern.ACKNOWLEDGED})
"""Notifications that mean something between two neighbours alone, or come in ways of their own."""

_TASK = frozenset({"task"})
_NOT_LEGACY = results.MODERN_PARAMS | _TASK
"""What a modern client says that a legacy server would take for something else."""


class _Log(msgspec.Struct):
    level: str


_log = msgspec.json.Decoder(_Log).decode


class _Nobody:
    """Stands for the client after the outcome: the two would keep each other, and a big result, for long."""

    def note(self, _message: bytes) -> bool:
        """Take nothing."""
        return False

    def finish(self, _outcome: Outcome) -> None:
        """Take nothing."""


_NOBODY = _Nobody()


class ClientCall(Call):
    """Carries a request to the server under toolman's names and the answer back under the client's.

    Args:
        context: What all share.
        caller: Who asks.
        message: The request.
        reply: Gets what comes back.
        used: What is used, decided on already.
        outgoing: What is sent.
        token: The client's progress token, raw, None if it wants no progress.

    Attributes:
        reply: See above; another one once the client has come back with input.
        permit: Room that it has under the limits, given back at its end.
        asked_of_session: What a client of the legacy era is asked for it.
        hold: What keeps it while a client of the modern era is asked.
        lacking: The error that says which capability the client lacks that it was to be asked for.
        is_about_task: Whether its result may name a task.
        is_looked_at: Whether there is something to do to its outcome, whatever the server's era.
    """

    __slots__ = (
        "_decided_by",
        "_is_over",
        "_mirrored",
        "_peer",
        "_round",
        "_rounds",
        "_span",
        "_started",
        "_supervisor",
        "_token",
        "_waiting",
        "asked_of_session",
        "caller",
        "context",
        "hold",
        "is_about_task",
        "is_looked_at",
        "lacking",
        "message",
        "permit",
        "reply",
        "used",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - one of each; a struct around them would be made for this call alone
        self,
        context: Context,
        caller: Caller,
        message: Message,
        reply: Reply,
        used: Used,
        outgoing: Outgoing,
        token: Raw | None,
    ) -> None:
        self._supervisor: Supervisor = context.gateway.upstream(used.server, caller)
        super().__init__(outgoing, context.bounds(self._supervisor.server).timeout, caller.owner)
        self.context = context
        self.caller = caller
        self.message = message
        self.reply = reply
        self.used = used
        self.permit: Permit = FREE
        self._token = token
        self._mirrored: tuple[Mirrored, ...] = ()
        self._peer: Peer | None = None
        self._waiting: asyncio.Task[None] | None = None
        self.asked_of_session: list[Asked] | None = None
        self.hold: Hold | None = None
        self.lacking: Outcome | None = None
        self._round: Round | None = None
        self._rounds = 0
        self._span: Span | None = None
        self._is_over = False
        self._decided_by = context.gateway.config
        self._started = time.perf_counter()
        self.is_about_task = False
        self.is_looked_at = caller.era == "modern"

    def be_about_task(self) -> None:
        """Have the ids of tasks in its result looked at."""
        self.is_about_task = self.is_looked_at = True

    @property
    def supervisor(self) -> Supervisor:
        """Who keeps its server running."""
        return self._supervisor

    @property
    def server(self) -> Server:
        """The server that it goes to, as it is configured."""
        return self._supervisor.server

    def come_back(self, reply: Reply, token: Raw | None) -> None:
        """Go on with another request of the client's: its reply, its progress token."""
        self.reply = reply
        self._token = token

    @property
    def is_parked(self) -> bool:
        """Whether its client is asked and has not come back yet."""
        return isinstance(self.reply, Parked)

    def is_waiting(self, now: float) -> bool:
        """Tell whether its client was asked, and nothing was heard of it for a while."""
        return self.is_parked and now - self.heard > QUIET

    def trace(self) -> None:
        """Make this call a span of a trace, if traces are made."""
        traces = self.context.gateway.traces
        if traces is not None:
            self._span = traces.start(self.used.server, self.used.name, self.outgoing.meta)
            self.outgoing.meta = {**self.outgoing.meta, **self._span.meta}

    def mirror(self, mirrored: tuple[Mirrored, ...]) -> None:
        """Have a server that reads headers see these arguments there, too."""
        self._mirrored = mirrored

    def start(self) -> Cancel | None:
        """Send it, now or as soon as the server is there; None if it is over already."""
        refused = self.context.load.take(self, len(self.message.params or b""))
        if refused is not None:
            self._end(refused, "error")
            return None
        if self.caller.era == "legacy" and self.message.key is not None:
            session_of(self.caller).inflight[self.message.key] = self.cancel
        self._go()
        return None if self._is_over else self.cancel

    def cancel(self, reason: Raw | None) -> None:
        """End it because the client does not want it any more; ``reason`` is the client's own, raw."""
        if self._is_over:
            return
        if self._waiting is not None:
            self._waiting.cancel()
        if self._peer is not None:
            self._peer.cancel(self, reason)
        self._end(CANCELLED, "cancelled")

    def replied(self, outcome: Outcome) -> None:
        """Take the outcome; it may be that the server asks for input and the call goes on."""
        peer, self._peer = self._peer, None
        if peer is None or self._is_over:
            return
        bound = self.context.bounds(self.server).max_result
        if bound is not None and len(outcome[1]) > bound:
            self._end(self._too_big(len(outcome[1]), bound), "error")
            return
        looked = self._looked_at(outcome, peer) if self.is_looked_at or peer.hello.era == "modern" else outcome
        if isinstance(looked, tuple):
            self._end(looked, became(looked))
        else:
            self._ask_again(looked)

    def progressed(self, params: Members) -> None:
        """Pass progress on under the client's token."""
        if self._token is not None:
            members = jsonrpc.dump({**params, "progressToken": self._token})
            self.reply.note(jsonrpc.notification(_PROGRESS, members))

    def logged(self, params: Raw) -> None:
        """Pass a log message on if the client wants it."""
        caller = self.caller
        if caller.era == "modern" and caller.log_level is None:
            return
        try:
            level = _log(params).level
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if caller.log_level is None or admits(caller.log_level, level):  # a session that never said leaves it to them
            self.reply.note(jsonrpc.notification(_LOGGED, bytes(params)))

    def notified(self, method: str, params: Raw | None) -> None:
        """Pass on what a server of the client's own era says about this call besides."""
        if method == legacy.TASK_STATUS and params is not None:
            self.context.tasks.tell(self.used.server, params)
        elif self._peer is not None and self._peer.hello.era == self.caller.era and method not in _NEVER_HERE:
            body = b"" if params is None else b',"params":' + bytes(params)
            self.reply.note(b'{"jsonrpc":"2.0","method":%b%b}' % (jsonrpc.encode(method), body))

    def asked(self, question: Question) -> None:
        """Have the client asked what the server asks, if both may."""
        asking.put(self, question)

    async def settle(self) -> None:
        """Wait, bounded, until what the server has asked by now is here."""
        if self._peer is not None:
            await asking.settle(self._peer)

    def binding(self) -> bytes:
        """Digest what this is: whoever comes back for it must ask the same."""
        arguments = self.outgoing.params.get("arguments")
        return binding(self.caller.principal, self.outgoing.method, self.used.shown, arguments)

    def _go(self) -> None:
        peer = self._supervisor.peer
        if peer is None:
            self._waiting = asyncio.create_task(self._wait(), name=f"call of {self.used.server}")
        else:
            self._send(peer)

    async def _wait(self) -> None:
        """Wait, bounded, for a server that is starting."""
        try:
            peer = await self._supervisor.get()
        except Failure as problem:
            self._end(jsonrpc.error(UNAVAILABLE, str(problem)), "error")
            return
        self._waiting = None
        if self._is_still_allowed():
            self._send(peer)

    def _is_still_allowed(self) -> bool:
        """Decide once more about what waited; what a new configuration does not allow is over."""
        context = self.context
        if context.gateway.config is self._decided_by:
            return True
        withdrawn = context.permission.withdrawn(self.used, self.caller, self.outgoing.method)
        if withdrawn is not None:
            self._end(withdrawn, "refused")
        return withdrawn is None

    def _send(self, peer: Peer) -> None:
        if peer.hello.era == "modern":
            self._dress()
        elif self.caller.era == "modern":
            self.context.attribution.add(self._supervisor, self)
            if not _NOT_LEGACY.isdisjoint(self.outgoing.params):
                self.outgoing.params = _without(self.outgoing.params, _NOT_LEGACY)
        self._peer = peer
        try:
            peer.send(self)
        except Failure as problem:
            self._end(jsonrpc.error(UNAVAILABLE, str(problem)), "error")

    def _dress(self) -> None:
        """Add what every request to a modern server says of the client."""
        outgoing, caller = self.outgoing, self.caller
        outgoing.capabilities = self.context.permission.shown(caller, self.server)
        outgoing.client_info = caller.client_info
        if caller.era == "modern":
            outgoing.log_level = caller.log_level
        else:
            outgoing.log_level = caller.log_level or legacy.DEFAULT_LEVEL
            if "task" in outgoing.params:  # tasks of the two eras have nothing in common
                outgoing.params = _without(outgoing.params, _TASK)
        if self._mirrored:
            outgoing.mirrored = mirror.headers(self._mirrored, outgoing.params.get("arguments"))

    def _looked_at(self, outcome: Outcome, peer: Peer) -> Outcome | InputRequired:
        """Give what an outcome is for this client, or what the client is to be asked before the call goes on."""
        try:
            looked = results.look(self, outcome, peer.hello, self.context)
            if self.lacking is not None and isinstance(looked, tuple) and results.is_failure(looked):
                return self.lacking
        except jsonrpc.Malformed as problem:
            return jsonrpc.error(UNAVAILABLE, f"the server's result cannot be passed on: {problem.text}")
        return looked

    def _too_big(self, size: int, bound: int) -> Outcome:
        self.context.gateway.metrics.limited.count("maxResultBytes")
        text = f"limit maxResultBytes of {bound} is exceeded by a result of {size}: ask for less"
        return jsonrpc.error(LIMITED, text, {"limit": "maxResultBytes", "value": bound})

    def _ask_again(self, required: InputRequired) -> None:
        """Put to a legacy client what a modern server asks, and make the call again with the answers."""
        self._rounds += 1
        if self._rounds > MAX_ROUNDS:
            self._end(_LOST, "error")
            return
        self._round = Round(session_of(self.caller), required, self.reply.note, self._answered)

    def _answered(self, again: dict[str, bytes | Raw], problem: Outcome | None) -> None:
        if self._is_over:
            return
        if problem is not None:
            self._end(problem, "error")
            return
        self._round = None
        self.outgoing.params = {**_without(self.outgoing.params, results.MODERN_PARAMS), **again}
        if self._is_still_allowed():
            self._go()

    def _end(self, outcome: Outcome, how: Became) -> None:
        if self._is_over:
            return
        self._is_over = True
        caller, self._peer = self.caller, None
        if caller.era == "legacy" and self.message.key is not None:
            session_of(caller).inflight.pop(self.message.key, None)
        if caller.era == "modern":
            self.context.attribution.remove(self._supervisor, self)
        self.permit.release()
        self.context.load.give(self)
        for asked in self.asked_of_session or ():
            asked.withdraw()
        if self._round is not None:
            self._round.withdraw()
        if self._span is not None:
            self._span.end(how)
        ledger = self.context.ledger
        ledger.ended(caller, self.used, how, len(outcome[1]), self._started)
        ledger.answered(caller, self.message.method, how)
        reply, self.reply = self.reply, _NOBODY
        reply.finish(outcome)
        if self.hold is not None:
            self.hold.end()


def _without(params: Mapping[str, bytes | Raw], keys: frozenset[str]) -> dict[str, bytes | Raw]:
    return {key: value for key, value in params.items() if key not in keys}

"""A server behind streamable HTTP, for one life, in the era that it speaks.

A session that the server forgets and an era that changes with an upgrade do not end the life: the server is greeted
anew, and what surely did not run is sent once more. The life ends when the server cannot be reached for some seconds.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw

from toolman import jsonrpc
from toolman.protocol import legacy
from toolman.upstreams import Failure
from toolman.upstreams.abilities import KINDS, Abilities
from toolman.upstreams.asking import Asking
from toolman.upstreams.inflight import TIMED_OUT, UNAVAILABLE, InFlight
from toolman.upstreams.watching import LegacyWatch, ModernWatch
from toolman.upstreams.web import correction
from toolman.upstreams.web.carrier import Carrier
from toolman.upstreams.web.inbox import Inbox
from toolman.upstreams.web.posts import MAYBE
from toolman.upstreams.web.recovery import Recovery
from toolman.upstreams.web.standing import Standing

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from toolman.config import Server
    from toolman.exchange import Call
    from toolman.jsonrpc import Outcome
    from toolman.upstreams import Events, ListKind
    from toolman.upstreams.web.client import Client
    from toolman.upstreams.web.greeting import Greeter, Greeting
    from toolman.upstreams.web.posts import CallStream
    from toolman.upstreams.web.session import Session

log = logging.getLogger(__name__)

_SETTING = 30.0
"""Seconds for a server to take a setting or to answer a ping."""


class _Problem(msgspec.Struct):
    code: int
    message: str


class HttpPeer:
    """Implements :class:`toolman.upstreams.Peer`.

    Args:
        server: Its part of the configuration.
        client: Sends; closed with this.
        greeter: Greets the server when it has to be done again.
        greeting: What the first greeting found.
        events: Gets what belongs to no call.
        capabilities: Of clients, as far as the server may know them; a raw JSON object.

    Attributes:
        hello: What the server says of itself.
        name: The server's, for messages.
    """

    def __init__(
        self,
        server: Server,
        client: Client,
        greeter: Greeter,
        greeting: Greeting,
        events: Events,
        capabilities: bytes,
    ) -> None:
        self.name = server.name
        self._limit = server.max_message
        self._client = client
        self._greeter = greeter
        self._events = events
        self._capabilities = capabilities
        self._loop = asyncio.get_running_loop()
        self._calls = InFlight(self._silent, lambda: self._inbox.asking)
        self._carrier = Carrier(server.name, server.max_message, client, self._calls, self)
        self._inbox = self._carrier.inbox = Inbox(server.name, events, self._calls, self._carrier.tell)
        self._recovery = self._carrier.recovery = Recovery(self, self._carrier, greeter)
        self._tasks: set[asyncio.Task[None]] = set()
        self._standing: Standing | None = None
        self._log_level: str | None = None
        self._last = 0
        self._is_over = False
        self._enter(greeting)

    def send(self, call: Call) -> None:
        """Send a call.

        Raises:
            Failure: The server is gone, or has too much to do.
        """
        if self._is_over:
            raise Failure(f"server {self.name!r} is gone; try again later")
        self._last += 1
        call.number = self._last
        self._calls.add(call)
        try:
            self._carrier.post(call)
        except Failure as problem:
            self._calls.pop(call.number)
            raise Failure(f"server {self.name!r}: {problem}") from None

    def cancel(self, call: Call, reason: Raw | None = None) -> None:
        """Forget a call and tell the server: by a notification, or by closing the connection."""
        if not self._calls.give_up(call):
            return
        if self._carrier.drop(call) and self.hello.era == "legacy":
            params = {"requestId": Raw(b"%d" % call.number)} | ({} if reason is None else {"reason": reason})
            self.notify(legacy.CANCELLED, jsonrpc.dump(params))

    def notify(self, method: str, params: bytes | None = None) -> None:
        """Send a notification; the modern era has none from a client."""
        if self.hello.era == "legacy" and not self._is_over:
            body = b"" if params is None else b',"params":' + params
            self._carrier.tell(b'{"jsonrpc":"2.0","method":%b%b}' % (jsonrpc.encode(method), body))

    async def request(self, method: str, params: Mapping[str, bytes | Raw], limit: float) -> bytes:
        """Send a request of toolman's own and give the raw result.

        Raises:
            Failure: An error came back, or nothing within ``limit`` seconds of silence.
        """
        call = self.own(method, params, limit)
        self.send(call)
        try:
            kind, value = await call.reply
        except asyncio.CancelledError:
            self.cancel(call)
            raise
        if kind is not jsonrpc.RESULT:
            raise _failure(method, bytes(value))
        return bytes(value)

    def own(self, method: str, params: Mapping[str, bytes | Raw], limit: float) -> Asking:
        """Make a request of toolman's own."""
        return Asking(method, params, limit, self._capabilities)

    async def watch(self, uris: frozenset[str]) -> None:
        """Be told of changes of the lists, and of exactly these resources from now on.

        Raises:
            Failure: The server refuses.
        """
        await self._inbox.watch.change(uris)

    async def set_log_level(self, level: str) -> None:
        """Have a legacy server send log messages from a level on; a modern one hears it with each request.

        Raises:
            Failure: The server refuses.
        """
        self._log_level = level
        if self.hello.era == "legacy" and self._abilities.has("logging"):
            await self.request(legacy.SET_LEVEL, {"level": jsonrpc.encode(level)}, _SETTING)

    async def close(self) -> None:
        """End this life within a bounded time; calls on their way are answered with an error first."""
        was_over, self._is_over = self._is_over, True
        self._leave()
        self._calls.fail(f"server {self.name!r} was ended before answering; {MAYBE}")
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._carrier.session.has_identifier and not was_over:
            await self._greeter.farewell(self._carrier.session)
        await self._client.close()

    def changed(self, kind: ListKind) -> None:
        """Tell that a list may have changed unseen."""
        self._events.changed(kind)

    def correct(self, stream: CallStream, outcome: Outcome) -> None:
        """Send a call once more, with the headers that the server's newest list asks for."""
        self._events.changed("tools")
        self._start(self._correct(stream, outcome))

    def suspect(self) -> None:
        """Look whether the server is still there."""
        if not self._is_over:
            self._recovery.suspect()

    def take(self, data: bytes) -> None:
        """Take a message that came on the stream of news."""
        self._inbox.take(data)

    def missed(self) -> None:
        """Learn that changes may have gone unheard."""
        for kind in KINDS:
            if self._abilities.has(kind):
                self._events.changed(kind)

    def lost(self, session: Session) -> None:
        """Learn that the server has forgotten a session."""
        if session is self._carrier.session and not self._is_over and not self._recovery.renew():
            self.end("it forgets its sessions")

    def adopt(self, greeting: Greeting) -> None:
        """Go on with what a new greeting found."""
        wanted = self._inbox.watch.uris
        self._leave_session()
        self._enter(greeting)
        self._start(self._want(wanted))
        self.missed()

    async def check(self) -> None:
        """See whether the server is there.

        Raises:
            Failure: It is not.
        """
        if self.hello.era == "modern":
            greeting = await self._greeter.greet()
            if (greeting.session, greeting.hello) != (self._carrier.session, self.hello):
                self.adopt(greeting)
            return
        call = self.own(legacy.PING, {}, _SETTING)
        self.send(call)
        kind, value = await call.reply
        if kind is not jsonrpc.RESULT and jsonrpc.error_code(value) in {UNAVAILABLE, TIMED_OUT}:
            raise _failure(legacy.PING, bytes(value))

    def end(self, how: str) -> None:
        """Learn that this life is over."""
        if self._is_over:
            return
        self._is_over = True
        self._leave()
        self._calls.fail(f"server {self.name!r} is gone ({how}); {MAYBE}")
        self._events.ended(how)

    def _enter(self, greeting: Greeting) -> None:
        self._carrier.session = greeting.session
        self.hello = self._inbox.hello = greeting.hello
        self._abilities = Abilities(self.hello.capabilities)
        is_modern = self.hello.era == "modern"
        self._inbox.watch = (ModernWatch if is_modern else LegacyWatch)(self, self._abilities)
        if not is_modern:
            self._standing = Standing(self, self._client, greeting.session, self._limit)
            self._standing.open()

    def _leave_session(self) -> None:
        self._inbox.forget_questions()
        self._inbox.watch.close()
        for call in self._carrier.listening():
            self.cancel(call)
        if self._standing is not None:
            self._standing.close()
            self._standing = None

    def _leave(self) -> None:
        self._leave_session()
        self._recovery.close()
        self._carrier.close()

    async def _want(self, uris: frozenset[str]) -> None:
        """Ask a new session for what the old one was asked for."""
        try:
            await self.watch(uris)
            if self._log_level is not None:
                await self.set_log_level(self._log_level)
        except Failure as problem:
            log.warning("server %r: it will not tell of everything: %s", self.name, problem)

    async def _correct(self, stream: CallStream, outcome: Outcome) -> None:
        found = await correction.mirrored(self, stream.call.outgoing)
        if found is None or found == stream.call.outgoing.mirrored:
            self._carrier.finish(stream.call, outcome)
        elif self._carrier.is_waiting(stream.call):
            stream.call.outgoing.mirrored = found
            self._carrier.again(stream)

    def _silent(self, call: Call) -> None:
        self.cancel(call, Raw(b'"timed out"'))
        call.replied(jsonrpc.error(TIMED_OUT, f"server {self.name!r} did not answer within {call.timeout:g} s"))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _failure(method: str, value: bytes) -> Failure:
    """Make an error an exception."""
    try:
        problem = msgspec.json.decode(value, type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        problem = None
    if problem is not None and problem.code in {UNAVAILABLE, TIMED_OUT}:
        return Failure(problem.message)
    return Failure(f"it answered {method} with the error {value[:500].decode(errors='replace')}")

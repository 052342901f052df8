"""A server that carries lines, for one life: own ids, answers matched to calls, progress in order, silence noticed.

Everything that a server sends is hostile until it matches something that was asked. What a legacy server asks or logs
names no call: it is given to one only where all calls on their way are one client's, so that no client ever sees what
belongs to another.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from msgspec import UNSET, Raw

from toolman import jsonrpc
from toolman.exchange import REFUSED, Question
from toolman.protocol import legacy, modern, outgoing
from toolman.upstreams import Failure, Hello, incoming
from toolman.upstreams.abilities import Abilities
from toolman.upstreams.asking import Asking
from toolman.upstreams.ending import to_the_end
from toolman.upstreams.inflight import TIMED_OUT, UNAVAILABLE, InFlight
from toolman.upstreams.watching import LegacyWatch, ModernWatch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msgspec import UnsetType

    from toolman.exchange import Call, Era
    from toolman.jsonrpc import Outcome
    from toolman.upstreams import Events, Link, ListKind
    from toolman.upstreams.incoming import Incoming

log = logging.getLogger(__name__)

MAX_QUESTIONS = 64
"""A server's questions that wait for clients; real servers have one or two. More are refused."""

LIST_CHANGES: dict[str, ListKind] = {
    "notifications/tools/list_changed": "tools",
    "notifications/prompts/list_changed": "prompts",
    "notifications/resources/list_changed": "resources",
}
UPDATED = "notifications/resources/updated"

_LOOK = 0.1
"""Seconds between looks whose call a question belongs to."""

_SETTING = 30.0
"""Seconds for a server to take a setting."""


class LinePeer:
    """The other end of a link, and the link's receiver. Implements :class:`toolman.upstreams.Peer`.

    Args:
        name: The server's, for messages.
        events: Gets what belongs to no call.
        capabilities: Of clients, as far as the server may know them; a raw JSON object.

    Attributes:
        hello: What the server says of itself; empty before :meth:`introduce`.
        link: Set once it is there.
        over: Done when this life is over, with how it ended.
        detail: What an operator may want to know about its end.
    """

    def __init__(self, name: str, events: Events, capabilities: bytes) -> None:
        self.name = name
        self.hello = Hello("legacy", "")
        self.link: Link | None = None
        self.detail = ""
        self._events = events
        self._capabilities = capabilities
        self.over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._abilities = Abilities(b"{}")
        self._watch: LegacyWatch | ModernWatch = LegacyWatch(self, self._abilities)
        self._introduced = self._closing = False
        self._calls = InFlight(self._silent, self._asking)
        self._questions: dict[bytes, int] = {}
        self._last = 0

    def introduce(self, hello: Hello) -> None:
        """Take what the handshake found out: from now on the end of this life is told to the events."""
        self.hello = hello
        self._introduced = True
        self._abilities = Abilities(hello.capabilities)
        kind = ModernWatch if hello.era == "modern" else LegacyWatch
        self._watch = kind(self, self._abilities)

    def send(self, call: Call) -> None:
        """Send a call.

        Raises:
            Failure: The server does not read what it is sent, or is gone.
        """
        self.post(call, self.hello.era)

    def post(self, call: Call, era: Era) -> None:
        """Send a call in an era, before it is known which one is the server's.

        Raises:
            Failure: The server does not read what it is sent, or is gone.
        """
        number = self._last = self._last + 1
        if not self._write(outgoing.request(call.outgoing, era, number)):
            raise Failure(f"server {self.name!r} does not read what it is sent; try again later")
        call.number = number
        self._calls.add(call)

    def cancel(self, call: Call, reason: Raw | None = None) -> None:
        """Forget a call and tell the server; an answer that still comes is dropped."""
        if self._calls.give_up(call):
            params = {"requestId": Raw(b"%d" % call.number)} | ({} if reason is None else {"reason": reason})
            self._write(jsonrpc.notification(legacy.CANCELLED.encode(), jsonrpc.dump(params)))

    def forget(self, call: Call) -> bool:
        """Forget a call without a word, such as a handshake that must not be cancelled; False if it is over."""
        return self._calls.remove(call)

    def notify(self, method: str, params: bytes | None = None) -> None:
        """Send a notification; the modern era has none from a client but those of :meth:`cancel`."""
        if self.hello.era == "legacy":
            body = b"" if params is None else b',"params":' + params
            self._write(b'{"jsonrpc":"2.0","method":%b%b}' % (jsonrpc.encode(method), body))

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
            self.forget(call)
            raise
        if kind != jsonrpc.RESULT:
            raise Failure(f"it answered {method} with the error {bytes(value)[:500].decode(errors='replace')}")
        return bytes(value)

    def own(self, method: str, params: Mapping[str, bytes | Raw], limit: float) -> Asking:
        """Make a request of toolman's own."""
        return Asking(method, params, limit, self._capabilities)

    async def watch(self, uris: frozenset[str]) -> None:
        """Be told of changes of the lists, and of exactly these resources from now on.

        Raises:
            Failure: The server refuses.
        """
        await self._watch.change(uris)

    async def set_log_level(self, level: str) -> None:
        """Have a legacy server send log messages from a level on; a modern one hears it with each request.

        Raises:
            Failure: The server refuses.
        """
        if self.hello.era == "legacy" and self._abilities.has("logging"):
            await self.request(legacy.SET_LEVEL, {"level": jsonrpc.encode(level)}, _SETTING)

    async def close(self) -> None:
        """End this life within a bounded time; calls on their way are answered with an error first."""
        self._closing = True
        self._watch.close()
        self._fail(f"server {self.name!r} was ended before answering; the call may or may not have taken effect")
        if self.link is not None:
            await to_the_end(self.link.close())

    def changed(self, kind: ListKind) -> None:
        """Tell that a list may have changed unseen."""
        self._events.changed(kind)

    def ended(self, how: str, detail: str = "") -> None:
        """Learn from the link that the server is gone."""
        if self.over.done():
            return
        self.detail = detail
        self.over.set_result(how)
        self._watch.close()
        if self._introduced:
            if detail and not self._closing:
                log.info("server %r: %s", self.name, detail)
            self._events.ended(how)  # first: who calls again now must not get this life of it
        self._fail(
            f"server {self.name!r} stopped ({how}) before answering; it is being restarted; "
            "the call may or may not have taken effect"
        )

    def line(self, data: bytes) -> None:
        """Take one line from the server."""
        if not data.isascii():
            data = incoming.utf8(data)
        message = incoming.read(data)
        if message is not None:
            self._take(message)
            return
        batch = incoming.read_batch(data) if self.hello.version == legacy.BATCHING else []
        for found in (incoming.read(item) for item in batch):
            if found is not None:
                self._take(found)
        if not batch:
            log.debug("server %r: not a message: %r", self.name, data[:200])

    def _take(self, message: Incoming) -> None:
        if message.method is UNSET:
            self._reply(message)
        elif message.id is UNSET:
            self._notified(message.method, message.params)
        else:
            self._asked(message.method, message.id, message.params)

    def _write(self, line: bytes) -> bool:
        return self.link is not None and not self.over.done() and self.link.write(jsonrpc.on_one_line(line))

    def _fail(self, text: str) -> None:
        self._questions.clear()
        self._calls.fail(text)

    def _reply(self, message: Incoming) -> None:
        call = self._calls.pop(incoming.integer(message.id))
        if call is None:
            return
        if message.result is not UNSET:
            call.replied((jsonrpc.RESULT, message.result))
        elif message.error is not UNSET:
            call.replied((jsonrpc.ERROR, message.error))
        else:
            call.replied(jsonrpc.error(UNAVAILABLE, f"server {self.name!r} answered with neither result nor error"))

    def _notified(self, method: str, params: Raw | UnsetType) -> None:
        if method == legacy.PROGRESS:
            self._progressed(params)
        elif method == legacy.LOGGED:
            self._logged(params)
        elif method in LIST_CHANGES:
            self._events.changed(LIST_CHANGES[method])
        elif method == UPDATED:
            self._updated(params)
        elif method == modern.ACKNOWLEDGED:
            self._watch.acknowledged(_members(params))
        elif method == legacy.CANCELLED:
            self._withdrawn(_members(params).get("requestId", UNSET))
        else:
            self._events.notified(method, None if params is UNSET else params)

    def _progressed(self, params: Raw | UnsetType) -> None:
        found = _members(params)
        call = self._calls.heard(incoming.integer(found.get("progressToken", UNSET)))
        if call is not None and call.outgoing.progress:
            call.progressed(found)

    def _logged(self, params: Raw | UnsetType) -> None:
        if params is UNSET:
            return
        is_modern = self.hello.era == "modern"
        call, is_alone = self._calls.newest(logging_only=is_modern)
        if call is not None:
            self._calls.heard(call.number)
            call.logged(params)
        elif is_alone and not is_modern:
            self._events.logged(params)

    def _updated(self, params: Raw | UnsetType) -> None:
        found = _members(params)
        uri = incoming.text(found.get("uri", UNSET))
        if uri is not None and self._watch.hears(found):
            if self.hello.era == "modern":
                found.pop("_meta", None)  # the number of the subscription is between the server and us
            self._events.updated(uri, Raw(jsonrpc.dump(found)))

    def _asked(self, method: str, identifier: Raw, params: Raw | UnsetType) -> None:
        key = bytes(identifier)
        if method == legacy.PING:
            self._answer(key, jsonrpc.result(b"{}"))
            return
        if self.hello.era != "legacy" or len(self._questions) >= MAX_QUESTIONS or key in self._questions:
            self._answer(key, REFUSED)
            return
        call, is_alone = self._calls.asking()
        self._questions[key] = 0 if call is None else call.number
        question = Question(method, None if params is UNSET else params, lambda outcome: self._answered(key, outcome))
        if call is not None:
            self._put(call, question)
        elif is_alone:
            self._events.asked(question)
        else:
            self._put_later(key, question, self._last)

    def _put(self, call: Call, question: Question) -> None:
        self._calls.heard(call.number)
        call.asked(question)

    def _put_later(self, key: bytes, question: Question, last: int) -> None:
        """Put a question whose call can be told only when the clients of others are sure to be waited for."""
        if key not in self._questions:
            return
        call, is_sure = self._calls.later(last)
        if call is None:
            question.answer(REFUSED)
        elif is_sure:
            self._questions[key] = call.number
            self._put(call, question)
        else:
            asyncio.get_running_loop().call_later(_LOOK, self._put_later, key, question, last)

    def _answered(self, key: bytes, outcome: Outcome) -> None:
        """Send what the client said, once, unless the server has withdrawn its question."""
        number = self._questions.pop(key, None)
        if number is None:
            return
        self._calls.heard(number)
        self._answer(key, outcome)

    def _answer(self, key: bytes, outcome: Outcome) -> None:
        self._write(jsonrpc.response(key, outcome))

    def _withdrawn(self, identifier: Raw | UnsetType) -> None:
        if identifier is not UNSET:
            self._questions.pop(bytes(identifier), None)
            self._watch.cancelled(incoming.integer(identifier))

    def _silent(self, call: Call) -> None:
        self.cancel(call, Raw(b'"timed out"'))
        text = f"server {self.name!r} did not answer within {call.timeout:g} s"
        call.replied(jsonrpc.error(TIMED_OUT, text))

    def _asking(self) -> frozenset[int]:
        return frozenset(self._questions.values())


def _members(params: Raw | UnsetType) -> jsonrpc.Members:
    try:
        return {} if params is UNSET else jsonrpc.members(params, jsonrpc.META_KEYS)
    except jsonrpc.Malformed:
        return {}

"""What a server behind HTTP says, handed to whom it belongs: the stream that a message came on tells.

Messages on the response to a call are that call's, unless they are news for everybody. What comes on the stream that
belongs to no call is news, or a question: that is given to a call only if all calls on their way are one client's.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from msgspec import UNSET, Raw

from toolman import jsonrpc
from toolman.exchange import REFUSED, Question
from toolman.protocol import legacy, modern
from toolman.upstreams import incoming
from toolman.upstreams.inflight import OWN, UNAVAILABLE
from toolman.upstreams.peer import LIST_CHANGES, MAX_QUESTIONS, UPDATED

if TYPE_CHECKING:
    from collections.abc import Callable

    from msgspec import UnsetType

    from toolman.exchange import Call
    from toolman.jsonrpc import Outcome
    from toolman.upstreams import Events, Hello
    from toolman.upstreams.incoming import Incoming
    from toolman.upstreams.inflight import InFlight
    from toolman.upstreams.watching import LegacyWatch, ModernWatch

log = logging.getLogger(__name__)

ANY = 0
"""In place of a call's number: the stream belongs to no call."""


class Inbox:
    """Takes messages.

    Args:
        name: The server's, for messages.
        events: Gets what belongs to no call.
        calls: On their way.
        answer: Sends a response to the server.

    Attributes:
        hello: What the server says of itself now.
        watch: Knows what was subscribed to.
    """

    hello: Hello
    watch: LegacyWatch | ModernWatch

    def __init__(self, name: str, events: Events, calls: InFlight, answer: Callable[[bytes], None]) -> None:
        self._name = name
        self._events = events
        self._calls = calls
        self._answer = answer
        self._questions: dict[bytes, int] = {}

    @property
    def asking(self) -> frozenset[int]:
        """Numbers of calls of which the server waits for a client's answer."""
        return frozenset(self._questions.values())

    def forget_questions(self) -> None:
        """Take no answers any more: who asked is gone."""
        self._questions.clear()

    def take(self, data: bytes, number: int = ANY) -> None:
        """Take what came: a message, or several in the revision that knows batches.

        Args:
            data: Of a response or of an event.
            number: Of the call whose stream it came on.
        """
        data = incoming.utf8(data)
        message = incoming.read(data)
        if message is not None:
            self._take(message, number)
            return
        batch = incoming.read_batch(data) if self.hello.version == legacy.BATCHING else []
        for found in (incoming.read(item) for item in batch):
            if found is not None:
                self._take(found, number)
        if not batch:
            log.debug("server %r: %d bytes that are no message", self._name, len(data))

    def _take(self, message: Incoming, number: int) -> None:
        if message.method is UNSET:
            self._reply(message, number)
            return
        if number:
            self._calls.heard(number)
        if message.id is UNSET:
            self._notified(message.method, message.params, number)
        else:
            self._asked(message.method, message.id, message.params, number)

    def _reply(self, message: Incoming, number: int) -> None:
        identifier = incoming.integer(message.id)
        if number and identifier != number:
            is_unnamed = message.error is not UNSET and (message.id is UNSET or bytes(message.id) == b"null")
            if not is_unnamed:
                return
            identifier = number
        call = self._calls.pop(identifier)
        if call is None:
            return
        if message.result is not UNSET:
            call.replied((jsonrpc.RESULT, message.result))
        elif message.error is not UNSET:
            call.replied((jsonrpc.ERROR, message.error))
        else:
            call.replied(jsonrpc.error(UNAVAILABLE, f"server {self._name!r} answered with neither result nor error"))

    def _notified(self, method: str, params: Raw | UnsetType, number: int) -> None:
        if method == legacy.PROGRESS:
            self._progressed(params, number)
        elif method == legacy.LOGGED:
            self._logged(params, number)
        elif method in LIST_CHANGES:
            if self.hello.era == "legacy" or self.watch.hears(_members(params)):
                self._events.changed(LIST_CHANGES[method])
        elif method == UPDATED:
            self._updated(params)
        elif method == modern.ACKNOWLEDGED:
            self.watch.acknowledged(_members(params))
        elif method == legacy.CANCELLED:
            self._withdrawn(_members(params).get("requestId", UNSET))
        else:
            self._told(method, None if params is UNSET else params, number)

    def _told(self, method: str, params: Raw | None, number: int) -> None:
        call = self._calls.heard(number) if number else None
        if call is not None and call.owner is not OWN:
            call.notified(method, params)
        elif call is not None or not number:
            self._events.notified(method, params)

    def _progressed(self, params: Raw | UnsetType, number: int) -> None:
        found = _members(params)
        token = incoming.integer(found.get("progressToken", UNSET))
        if number in {ANY, token}:
            call = self._calls.heard(token)
            if call is not None and call.outgoing.progress:
                call.progressed(found)

    def _logged(self, params: Raw | UnsetType, number: int) -> None:
        if params is UNSET:
            return
        if not number:
            self._events.logged(params)
            return
        call = self._calls.heard(number)
        if call is not None:
            call.logged(params)

    def _updated(self, params: Raw | UnsetType) -> None:
        found = _members(params)
        uri = incoming.text(found.get("uri", UNSET))
        if uri is not None and self.watch.hears(found):
            if self.hello.era == "modern":
                found.pop("_meta", None)  # the number of the subscription is between the server and us
            self._events.updated(uri, Raw(jsonrpc.dump(found)))

    def _asked(self, method: str, identifier: Raw, params: Raw | UnsetType, number: int) -> None:
        key = jsonrpc.on_one_line(bytes(identifier))
        if self.hello.era == "modern":
            log.debug("server %r asks %s, which its revision does not have", self._name, method[:200])
            return
        if method == legacy.PING:
            self._answer(jsonrpc.response(key, jsonrpc.result(b"{}")))
            return
        call, is_alone = (self._calls.heard(number), False) if number else self._calls.asking()
        if (call or is_alone) and len(self._questions) < MAX_QUESTIONS and key not in self._questions:
            self._pass_on(key, method, None if params is UNSET else params, call)
        else:
            self._answer(jsonrpc.response(key, REFUSED))

    def _pass_on(self, key: bytes, method: str, params: Raw | None, call: Call | None) -> None:
        self._questions[key] = ANY if call is None else call.number
        question = Question(method, params, lambda outcome: self._answered(key, outcome))
        if call is None:
            self._events.asked(question)
        else:
            call.asked(question)

    def _answered(self, key: bytes, outcome: Outcome) -> None:
        """Send what the client said, once, unless the server has withdrawn its question."""
        number = self._questions.pop(key, None)
        if number is not None:
            self._calls.heard(number)
            self._answer(jsonrpc.response(key, outcome))

    def _withdrawn(self, identifier: Raw | UnsetType) -> None:
        if identifier is not UNSET:
            self._questions.pop(jsonrpc.on_one_line(bytes(identifier)), None)
            self.watch.cancelled(incoming.integer(identifier))


def _members(params: Raw | UnsetType) -> jsonrpc.Members:
    try:
        return {} if params is UNSET else jsonrpc.members(params, jsonrpc.META_KEYS)
    except jsonrpc.Malformed:
        return {}

"""Calls carried to a server over HTTP: which stream each is on, coming back to streams, sending once more.

It knows the session that calls go out in and nothing of how one is got: that is its keeper's.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from toolman import jsonrpc
from toolman.protocol import modern
from toolman.upstreams import Failure
from toolman.upstreams.inflight import UNAVAILABLE
from toolman.upstreams.web import requests
from toolman.upstreams.web.messages import Messages
from toolman.upstreams.web.posts import MAYBE, CallStream, Post, Return

if TYPE_CHECKING:
    from toolman.exchange import Call
    from toolman.jsonrpc import Outcome
    from toolman.upstreams.inflight import InFlight
    from toolman.upstreams.web.client import Client
    from toolman.upstreams.web.connection import Broken
    from toolman.upstreams.web.inbox import Inbox
    from toolman.upstreams.web.recovery import Recovery
    from toolman.upstreams.web.session import Session

log = logging.getLogger(__name__)

LINGER = 5.0
"""Seconds that the stream of an answered call may stay open, and up to twice as many: closing it costs a connection."""

TAKING = 30.0
"""Seconds for a server to take what is not answered; else one that never does would use up the connections."""

_ACCEPTED = range(200, 300)
_NOTICE = 64 * 1024
"""Bytes of what stands in place of an answer."""


COMPLAINTS = 10.0
"""Seconds between two lines about messages that could not be sent to a server."""


class Keeper(Protocol):
    """Who keeps the session. What it begins does not raise."""

    def correct(self, stream: CallStream, outcome: Outcome) -> None:
        """Send a call once more, with the headers that the server's newest list asks for."""

    def suspect(self) -> None:
        """Learn that the server may be gone."""


class Carrier:
    """Carries calls.

    Args:
        name: The server's, for messages.
        limit: Bytes of one message.
        client: Sends.
        calls: On their way.
        keeper: Who keeps the session.

    Attributes:
        session: That calls go out in.
        inbox: Takes what comes.
        recovery: Gets a new session.
    """

    session: Session
    inbox: Inbox
    recovery: Recovery

    def __init__(self, name: str, limit: int, client: Client, calls: InFlight, keeper: Keeper) -> None:
        self.correct = keeper.correct
        self.suspect = keeper.suspect
        self._name = name
        self._limit = limit
        self._client = client
        self._calls = calls
        self._loop = asyncio.get_running_loop()
        self._streams: dict[int, CallStream] = {}
        self._lingering: set[CallStream] = set()
        self._overdue: set[CallStream] = set()
        self._cutting: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._silent_until = 0.0

    def post(self, call: Call, tries: int = 0) -> None:
        """Send a call that has its number.

        Raises:
            Failure: Too many are on their way.
        """
        if self.recovery.is_under_way:
            self.recovery.wait(call, tries)
            return
        request = requests.call(self._client.destination, self.session, call)
        post = Post(self, call, self.session, request, self._limit)
        post.tries = tries
        self._client.send(post)
        self._streams[call.number] = post

    def launch(self, call: Call, tries: int) -> None:
        """Send a call that has its number; what goes wrong is its answer."""
        try:
            self.post(call, tries)
        except Failure as problem:
            self.fail(call, str(problem))

    def tell(self, body: bytes) -> None:
        """Send what is not answered."""
        if self._is_closed:
            return
        notice = _Notice(self._name, requests.message(self._client.destination, self.session, body))
        self._loop.call_later(TAKING, notice.abort)
        try:
            self._client.send(notice)
        except Failure as problem:
            if self._loop.time() >= self._silent_until:  # who asks without end makes a line of each answer
                log.warning("server %r was not told something: %s", self._name, problem)
                self._silent_until = self._loop.time() + COMPLAINTS

    def listening(self) -> list[Call]:
        """Give the calls that are subscriptions."""
        return [each.call for each in self._streams.values() if each.call.outgoing.method == modern.LISTEN]

    def drop(self, call: Call) -> bool:
        """Close the stream of a call; False if it has none."""
        stream = self._streams.pop(call.number, None)
        if stream is not None:
            stream.abort()
        return stream is not None

    def close(self) -> None:
        """Close all streams."""
        self._is_closed = True
        if self._cutting is not None:
            self._cutting.cancel()
        for stream in (*self._streams.values(), *self._lingering, *self._overdue):
            stream.abort()
        self._streams.clear()
        self._lingering.clear()
        self._overdue.clear()

    def take(self, data: bytes, number: int) -> None:
        """Take a message."""
        self.inbox.take(data, number)

    def heard(self, number: int) -> None:
        """Note a sign of life of a call."""
        self._calls.heard(number)

    def is_waiting(self, call: Call) -> bool:
        """Tell whether a call is still to be answered."""
        return call.number in self._calls

    def done(self, stream: CallStream) -> None:
        """Forget a stream that is over."""
        self._lingering.discard(stream)
        self._overdue.discard(stream)
        if self._streams.get(stream.call.number) is stream:
            del self._streams[stream.call.number]

    def linger(self, stream: CallStream) -> None:
        """Leave the stream of an answered call a moment to end by itself."""
        if self._cutting is None:
            self._cutting = self._loop.call_later(LINGER, self._cut_off)
        self._lingering.add(stream)

    def finish(self, call: Call, outcome: Outcome) -> None:
        """Answer a call."""
        if self._calls.pop(call.number) is not None:
            self._streams.pop(call.number, None)
            call.replied(outcome)

    def fail(self, call: Call, text: str) -> None:
        """Answer a call with an error of toolman's."""
        self.finish(call, jsonrpc.error(UNAVAILABLE, f"server {self._name!r}: {text}"))

    def again(self, stream: CallStream) -> None:
        """Send a call once more."""
        self.launch(stream.call, stream.tries + 1)

    def renew(self, stream: CallStream) -> bool:
        """Greet the server anew and send the call once more; False if that was done too often."""
        is_current = stream.session is self.session
        if is_current and not self.recovery.renew():
            return False
        self.again(stream)
        return True

    def hold(self, stream: CallStream) -> bool:
        """Have a call that could not be sent wait for a server that is looked for; False if it cannot wait."""
        if not self.recovery.hold(stream.call, stream.tries):
            return False
        self._streams.pop(stream.call.number, None)
        return True

    def has_old_credentials(self, stream: CallStream) -> bool:
        """Tell whether a call was sent with headers that have changed since."""
        return self._client.destination.is_outdated(stream.request)

    def resume(self, stream: CallStream, last: bytes, retry: int) -> None:
        """Come back to a stream after some milliseconds."""
        self._loop.call_later(retry / 1000, self._resume, stream, last)

    def _resume(self, stream: CallStream, last: bytes) -> None:
        if self._is_closed or not self.is_waiting(stream.call):
            return
        if stream.session is not self.session:
            self.fail(stream.call, f"its session was lost; {MAYBE}")
            return
        request = requests.stream(self._client.destination, stream.session, last)
        following = Return(self, stream.call, stream.session, request, self._limit)
        following.last, following.tries, following.returns = last, stream.tries, stream.returns + 1
        self._streams[stream.call.number] = following
        try:
            self._client.send(following)
        except Failure as problem:
            self.fail(stream.call, f"{problem}; {MAYBE}")

    def _cut_off(self) -> None:
        overdue, self._overdue, self._lingering = self._overdue, self._lingering, set()
        for stream in overdue:
            stream.abort()
            self.done(stream)
        self._cutting = self._loop.call_later(LINGER, self._cut_off) if self._overdue else None


class _Notice(Messages):
    """Something that is not answered."""

    __slots__ = ("_name",)

    def __init__(self, name: str, request: bytes) -> None:
        super().__init__(request, _NOTICE, is_repeatable=False)
        self._name = name

    def answered(self, body: bytes) -> None:  # noqa: ARG002 - there should be none
        """See whether it was taken."""
        if self.status not in _ACCEPTED:
            log.info("server %r did not take a message: HTTP %d", self._name, self.status)

    def cut(self, problem: Broken | None) -> None:
        """Learn that it may not have arrived."""
        if problem is not None:
            log.info("server %r may not have got a message: %s", self._name, problem)

"""Calls on their way over HTTP: the POST of each, and coming back to its stream where the server can replay it.

What becomes of a response that holds no answer is decided here: a session that the server has forgotten, or another
era after an upgrade, lets the call be sent once more, because it surely did not run. Whatever may have run is never
sent twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from toolman import jsonrpc
from toolman.protocol import legacy, modern
from toolman.upstreams.web.greeting import NOT_FOUND, UNAUTHORIZED, describe, read_outcome
from toolman.upstreams.web.messages import EVENTS, OK, Messages

if TYPE_CHECKING:
    from toolman.exchange import Call
    from toolman.jsonrpc import Outcome
    from toolman.upstreams.web.connection import Broken
    from toolman.upstreams.web.session import Session

TRAFFIC = 64 * 1024
"""Bytes that count as a sign of life: less, and a server could hold a call for ever, byte by byte."""

MAX_RETURNS = 8
"""Times in a row that a stream is come back to without a message."""

FIRST_RETRY = 1000
"""Milliseconds before coming back where the server does not say."""

REPEATABLE = frozenset(
    {
        modern.DISCOVER,
        legacy.PING,
        legacy.LIST_TOOLS,
        legacy.LIST_PROMPTS,
        legacy.LIST_RESOURCES,
        legacy.LIST_TEMPLATES,
    }
)
"""Methods that change nothing."""

MAYBE = "the call may or may not have taken effect"

_SERVER_ERROR = 500
_REFUSALS = frozenset({400, 404, 405, 406, 415})
_FOREIGN = frozenset(
    {None, -32000, -32001, jsonrpc.INVALID_REQUEST, modern.HEADER_MISMATCH, modern.UNSUPPORTED_VERSION}
)
"""Errors, or none, that servers refuse requests with that do not fit their session or era."""


class Owner(Protocol):
    """What is needed of a peer."""

    def take(self, data: bytes, number: int) -> None:
        """Take a message of a call's stream."""

    def heard(self, number: int) -> None:
        """Note a sign of life."""

    def is_waiting(self, call: Call) -> bool:
        """Tell whether a call is still to be answered."""

    def done(self, stream: CallStream) -> None:
        """Learn that nothing more comes on a stream."""

    def linger(self, stream: CallStream) -> None:
        """Learn that the call is answered and its stream still open."""

    def finish(self, call: Call, outcome: Outcome) -> None:
        """Answer a call."""

    def fail(self, call: Call, text: str) -> None:
        """Answer a call with an error of toolman's."""

    def again(self, stream: CallStream) -> None:
        """Send a call once more."""

    def hold(self, stream: CallStream) -> bool:
        """Have a call that could not be sent wait for a server that is looked for; False if it cannot wait."""

    def renew(self, stream: CallStream) -> bool:
        """Greet the server anew and send the call once more; False if that was done too often."""

    def correct(self, stream: CallStream, outcome: Outcome) -> None:
        """Send a call once more, with the headers that the server's newest list asks for."""

    def has_old_credentials(self, stream: CallStream) -> bool:
        """Tell whether a call was sent with headers that have changed since."""

    def resume(self, stream: CallStream, last: bytes, retry: int) -> None:
        """Come back to a stream after some milliseconds."""

    def suspect(self) -> None:
        """Learn that the server may be gone."""


class CallStream(Messages):
    """A response to a call: the POST's, or one that goes on with it."""

    __slots__ = ("_traffic", "call", "last", "owner", "returns", "session", "tries")

    def __init__(self, owner: Owner, call: Call, session: Session, request: bytes, limit: int) -> None:
        super().__init__(request, limit, is_repeatable=call.outgoing.method in REPEATABLE)
        self.owner = owner
        self.call = call
        self.session = session
        self.tries = 0
        self.returns = 0
        self.last = b""
        self._traffic = 0

    def received(self, data: bytes) -> None:
        """Take some of the body."""
        self._traffic += len(data)
        if self._traffic >= TRAFFIC:
            self._traffic = 0
            self.owner.heard(self.call.number)
        super().received(data)

    def taken(self, data: bytes) -> None:
        """Take a message of the stream."""
        self.returns = 0
        self.owner.take(data, self.call.number)
        if not self.owner.is_waiting(self.call):
            self.owner.linger(self)

    def ended(self) -> None:
        """Learn that the response is complete."""
        super().ended()
        self.owner.done(self)

    def cut(self, problem: Broken | None) -> None:
        """Go on elsewhere if the server can replay the stream, or answer with an error."""
        owner, call = self.owner, self.call
        if not owner.is_waiting(call):
            owner.done(self)
            return
        if problem is not None and problem.is_lost:
            owner.suspect()
        last = self._place()
        if last:
            owner.resume(self, last, self._retry())
        elif problem is not None and not problem.is_sent:
            if not owner.hold(self):
                owner.fail(call, str(problem))
        elif self.is_repeatable and not self.tries:
            owner.again(self)
        else:
            owner.fail(call, f"{problem or 'it closed the stream without an answer'}; {MAYBE}")

    def _retry(self) -> int:
        said = None if self.events is None else self.events.retry
        return FIRST_RETRY if said is None else said

    def _place(self) -> bytes:
        """Give the event behind which the server can go on, empty if it cannot."""
        if self.session.era == "modern" or self.returns >= MAX_RETURNS:
            return b""
        return (self.events.last if self.events is not None else b"") or self.last


class Post(CallStream):
    """The POST of a call."""

    __slots__ = ()

    def answered(self, body: bytes) -> None:
        """Take the answer, or find out why it is none."""
        owner, call = self.owner, self.call
        if self.status == OK:
            owner.take(body, call.number)
            if owner.is_waiting(call) and self.response is not None:
                owner.fail(call, f"{describe(self.response)}; {MAYBE}")
        elif owner.is_waiting(call):
            self._judge(read_outcome(body, call.number))

    def _judge(self, outcome: Outcome | None) -> None:
        if not self.tries and self._goes_again(outcome):
            return
        if outcome is not None:
            self.owner.finish(self.call, outcome)
        elif self.response is not None:
            maybe = f"; {MAYBE}" if self.status >= _SERVER_ERROR or self.status < _REDIRECTION else ""
            self.owner.fail(self.call, describe(self.response) + maybe)

    def _goes_again(self, outcome: Outcome | None) -> bool:
        """Send the call once more if it surely did not run and the reason can be helped."""
        code = None if outcome is None else jsonrpc.error_code(outcome[1])
        if code == modern.HEADER_MISMATCH and self.session.era == "modern":
            if outcome is None or self.call.outgoing.method != legacy.CALL_TOOL:
                return False
            self.owner.correct(self, outcome)
            return True
        if self._is_stranger(code) and self.owner.renew(self):
            return True
        if self.status == UNAUTHORIZED and self.owner.has_old_credentials(self):
            self.owner.again(self)
            return True
        return False

    def _is_stranger(self, code: int | None) -> bool:
        """Tell whether the server does not know the session, or does not speak this era any more."""
        if self.session.era == "legacy" and self.status == NOT_FOUND:
            return True
        is_unknown = code == jsonrpc.METHOD_NOT_FOUND and self.call.outgoing.method in _ALWAYS_THERE
        return self.status in _REFUSALS and (code in _FOREIGN or is_unknown)


class Return(CallStream):
    """A GET that goes on with a stream behind its last event."""

    __slots__ = ()

    def answered(self, body: bytes) -> None:  # noqa: ARG002 - what a server says in place of a stream is of no use
        """Give up: the server does not replay."""
        if self.owner.is_waiting(self.call) and self.response is not None:
            is_stream = self.status == OK and self.response.media_type == EVENTS
            why = "it closed the stream" if is_stream else describe(self.response)
            self.owner.fail(self.call, f"its stream broke and cannot be resumed: {why}; {MAYBE}")


_REDIRECTION = 300
_ALWAYS_THERE = REPEATABLE | {legacy.CALL_TOOL, legacy.GET_PROMPT, legacy.READ_RESOURCE}

"""Asking for input across the eras: questions of legacy servers for modern clients, and the other way round.

A modern client is asked in a result and answers with another request, so the call of a legacy server is held
meanwhile. A modern server asks in a result and wants another request, so a legacy client is sent questions and the
call is made again with its answers. Source: modelcontextprotocol.io/specification/2026-07-28/basic/patterns/mrtr.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
from typing import TYPE_CHECKING, Protocol

from toolman import jsonrpc
from toolman.core import questions
from toolman.protocol import translate
from toolman.protocol.request_state import Sealer, StateError

if TYPE_CHECKING:
    from collections.abc import Callable

    from msgspec import Raw

    from toolman.core.context import Cancel
    from toolman.core.questions import Asked
    from toolman.exchange import Question, Reply
    from toolman.jsonrpc import Members, Outcome
    from toolman.protocol.translate import InputRequest, InputRequired
    from toolman.sessions import Session

LIFETIME = 300.0
"""Seconds that a client has for coming back: the server's call is open meanwhile."""

GATHER = 0.02
"""Seconds that questions on other connections than the one that told of the server have to arrive, too."""

MAX_HELD = 256
"""Calls held at a time; more are not asked for input."""

MAX_KEPT = 1024 * 1024
"""Bytes of an outcome that is kept for a client that has not come back yet."""

MAX_ROUNDS = 8
"""Times that a modern server may ask for input in one call."""

_TOO_BIG = jsonrpc.error(-32000, "the result came before the input that was asked for, and is too big to be kept")


class Held(Protocol):
    """A call that can be held."""

    reply: Reply

    def come_back(self, reply: Reply, token: Raw | None) -> None:
        """Go on with another request of the client's: its reply, its progress token."""

    def cancel(self, reason: Raw | None) -> None:
        """End it."""

    async def settle(self) -> None:
        """Wait, bounded, until what the server has asked by now is here."""


class Parked:
    """Takes the place of a client that has been asked for input and has not come back yet."""

    def __init__(self) -> None:
        self.outcome: Outcome | None = None

    def note(self, _message: bytes) -> bool:
        """Take nothing: there is no stream that it could go to."""
        return False

    def finish(self, outcome: Outcome) -> None:
        """Keep the outcome."""
        if self.outcome is None:
            self.outcome = outcome if len(outcome[1]) <= MAX_KEPT else _TOO_BIG


class Hold:
    """One call of a legacy server whose modern client is asked for input.

    Args:
        holding: Gives it numbers.
        call: The call.
        binding: What the client's next request must be, from :func:`toolman.protocol.request_state.binding`.
    """

    def __init__(self, holding: Holding, call: Held, binding: bytes) -> None:
        self._holding = holding
        self._call = call
        self._binding = binding
        self._open: dict[str, Question] = {}
        self._keys = itertools.count(1)
        self._parked = Parked()
        self._timer: asyncio.TimerHandle | None = None
        self._gathering: asyncio.Task[None] | None = None

    def ask(self, question: Question) -> None:
        """Ask the client, as soon as it can be asked."""
        self._open[f"request-{next(self._keys)}"] = question
        self._be_due()

    def resume(self, reply: Reply, token: Raw | None, responses: Members) -> Cancel | None:
        """Go on with what the client has sent; what it left open it is asked again."""
        if self._timer is not None:
            self._timer.cancel()
        if self._parked.outcome is not None:
            reply.finish(self._parked.outcome)
            return None
        self._call.come_back(reply, token)
        for key in [key for key in self._open if key in responses]:
            self._open.pop(key).answer((jsonrpc.RESULT, responses[key]))
        if self._open:
            self._be_due()
        return self._call.cancel

    def end(self) -> None:
        """Take notice that the call is over."""
        self._open.clear()
        if self._gathering is not None:
            self._gathering.cancel()
        if self._timer is not None and self._call.reply is not self._parked:
            self._timer.cancel()

    def _be_due(self) -> None:
        """Ask in a moment: questions that come together are asked together."""
        if self._gathering is None:
            self._gathering = asyncio.create_task(self._gather(), name="questions of one call")

    async def _gather(self) -> None:
        await self._call.settle()
        await asyncio.sleep(GATHER)
        self._gathering = None
        self._show()

    def _show(self) -> None:
        if not self._open or self._call.reply is self._parked:
            return
        number, state = self._holding.keep(self, self._binding)
        reply, self._call.reply = self._call.reply, self._parked
        self._timer = asyncio.get_running_loop().call_later(LIFETIME, self._expire, number)
        asked = {key: translate.InputRequest(each.method, each.params) for key, each in self._open.items()}
        reply.finish(jsonrpc.result(translate.input_required(asked, state)))

    def _expire(self, number: int) -> None:
        self._holding.forget(number)
        for question in tuple(self._open.values()):
            question.answer(questions.UNANSWERED)
        self._open.clear()
        self._call.cancel(None)


class Holding:
    """The calls that are held.

    Args:
        sealer: Signs what clients get of them.
    """

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._held: dict[int, Hold] = {}
        self._numbers = itertools.count(1)

    @property
    def has_room(self) -> bool:
        """Whether another call can be held."""
        return len(self._held) < MAX_HELD

    def keep(self, hold: Hold, binding: bytes) -> tuple[int, str]:
        """Keep a call until its client comes back; give its number and the state that the client is to show."""
        number = next(self._numbers)
        self._held[number] = hold
        return number, self._sealer.seal(number, binding, LIFETIME)

    def forget(self, number: int) -> None:
        """Give a call up."""
        self._held.pop(number, None)

    def take(self, state: str, binding: bytes) -> Hold:
        """Give the call that a client has come back for. It works once.

        Raises:
            StateError: There is none, not for this request, or not any more.
        """
        hold = self._held.pop(self._sealer.open(state, binding), None)
        if hold is None:
            raise StateError("requestState was used already, or is too old: send the request again without it")
        return hold


class Round:
    """What a modern server asks in one result, put to a client of the legacy era.

    Args:
        session: The client's.
        required: What is asked; the permission to do so was given.
        note: Sends a message on the stream of the call.
        done: Called once with the members to add to the params of the next call, or with the error that ends it.
    """

    def __init__(
        self,
        session: Session,
        required: InputRequired,
        note: Callable[[bytes], bool],
        done: Callable[[dict[str, bytes | Raw], Outcome | None], None],
    ) -> None:
        self._required = required
        self._done = done
        self._answers: dict[str, bytes | Raw] = {}
        self._open: list[Asked] = []
        self._is_over = False
        if not required.requests:
            asyncio.get_running_loop().call_soon(self._go_on)
        for key, request in required.requests.items():
            self._ask(session, key, request, note)

    def withdraw(self) -> None:
        """Forget what was asked."""
        self._is_over = True
        asked, self._open = self._open, []
        for each in asked:
            each.withdraw()

    def _ask(self, session: Session, key: str, request: InputRequest, note: Callable[[bytes], bool]) -> None:
        asked = None if self._is_over else questions.ask(session, request, functools.partial(self._take, key), note)
        if asked is not None:
            self._open.append(asked)

    def _take(self, key: str, outcome: Outcome) -> None:
        if self._is_over:
            return
        if outcome[0] == jsonrpc.ERROR:
            self.withdraw()
            self._done({}, outcome)
            return
        self._answers[key] = outcome[1]
        if len(self._answers) == len(self._required.requests):
            self._go_on()

    def _go_on(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        again: dict[str, bytes | Raw] = {"inputResponses": jsonrpc.dump(self._answers)}
        if self._required.state is not None:
            again["requestState"] = self._required.state
        self._done(again, None)

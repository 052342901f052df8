"""Getting a server behind HTTP back: greeting it anew when it has forgotten its session, noticing when it is gone."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from toolman.upstreams import Failure
from toolman.upstreams.inflight import OWN

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from toolman.exchange import Call
    from toolman.upstreams.web.greeting import Greeter, Greeting

log = logging.getLogger(__name__)

MAX_RENEWALS = 5
RENEWALS_PERIOD = 60.0
"""As many greetings in so many seconds. A server that forgets more often gets its errors passed on."""

CHECKS = (0.5, 0.5, *(1.0,) * 8)
"""Seconds before each attempt to reach a server that seems to be gone: a container's restart may take that long, and
agents take a server whose tools are hidden for one that has none."""

PATIENCE = 10.0
"""Seconds that a call which could not be sent waits at most for a server that seems to be gone: agents give up soon
after."""

RETRY = 1.0
"""Seconds after which such a call is tried again, whatever has been found out by then: the look itself may be stuck on
its way to a machine that is no more."""


class Patient(Protocol):
    """Whose server it is."""

    name: str

    def adopt(self, greeting: Greeting) -> None:
        """Go on with what a new greeting found."""

    def missed(self) -> None:
        """Learn that changes may have gone unheard."""

    async def check(self) -> None:
        """See whether the server is there; raises Failure if not."""

    def end(self, how: str) -> None:
        """Learn that it is over."""


class Sender(Protocol):
    """Who sends calls."""

    def is_waiting(self, call: Call) -> bool:
        """Tell whether a call is still to be answered."""

    def launch(self, call: Call, tries: int) -> None:
        """Send a call."""

    def fail(self, call: Call, text: str) -> None:
        """Answer a call with an error of toolman's."""


class Recovery:
    """Does it, once at a time.

    Args:
        patient: Whose server it is.
        sender: Sends the calls that had to wait.
        greeter: Greets it.
    """

    def __init__(self, patient: Patient, sender: Sender, greeter: Greeter) -> None:
        self._patient = patient
        self._sender = sender
        self._greeter = greeter
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[Call, int]] = []
        self._renewals: list[float] = []
        self._renewing: asyncio.Task[None] | None = None
        self._checking: asyncio.Task[None] | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether calls have to wait."""
        return self._renewing is not None

    def wait(self, call: Call, tries: int) -> None:
        """Have a call sent when there is a session again."""
        self._waiting.append((call, tries))

    def renew(self) -> bool:
        """Begin to greet the server anew; False if that was done too often."""
        if self._renewing is not None:
            return True
        now = self._loop.time()
        self._renewals = [then for then in self._renewals if now - then < RENEWALS_PERIOD]
        if len(self._renewals) >= MAX_RENEWALS:
            return False
        self._renewals.append(now)
        self._renewing = self._start(self._renew(), "greeting")
        return True

    def hold(self, call: Call, tries: int) -> bool:
        """Have a call that could not be sent wait until it is known whether the server is there, or for a moment.

        False if nobody looks for it, if the call has waited for long, or if it is toolman's own: that may be the look.
        """
        has_waited = self._loop.time() - call.heard >= PATIENCE
        if self._checking is None or has_waited or call.owner is OWN:
            return False
        self._waiting.append((call, tries))
        self._loop.call_later(RETRY, self._retry, call, tries)
        return True

    def suspect(self) -> None:
        """Begin to look whether the server is still there."""
        if self._checking is None:
            self._checking = self._start(self._check(), "looking for")

    def close(self) -> None:
        """Stop."""
        for task in (self._renewing, self._checking):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        self._waiting.clear()

    async def _renew(self) -> None:
        try:
            greeting = await self._greeter.greet()
        except Failure as problem:
            self._patient.end(f"its session was lost and no new one could be opened: {problem}")
            return
        log.info("server %r: greeted anew, MCP %s", self._patient.name, greeting.hello.version)
        self._renewing = None
        self._patient.adopt(greeting)
        self._go_on()

    async def _check(self) -> None:
        problem = ""
        for pause in CHECKS:
            await asyncio.sleep(pause)
            try:
                await self._patient.check()
            except Failure as mishap:
                problem = str(mishap)
            else:
                self._checking = None
                self._patient.missed()
                self._go_on()
                return
        waiting, self._waiting = self._waiting, []
        for call, _ in waiting:
            self._sender.fail(call, problem)
        self._patient.end(problem)

    def _retry(self, call: Call, tries: int) -> None:
        if (call, tries) in self._waiting and not self.is_under_way:
            self._waiting.remove((call, tries))
            if self._sender.is_waiting(call):
                self._sender.launch(call, tries)

    def _go_on(self) -> None:
        """Send what had to wait."""
        waiting, self._waiting = self._waiting, []
        for call, tries in waiting:
            if self._sender.is_waiting(call):
                self._sender.launch(call, tries)

    def _start(self, work: Coroutine[None, None, None], what: str) -> asyncio.Task[None]:
        return self._loop.create_task(work, name=f"{what} {self._patient.name}")

"""What all requests share while they are served: who knows, who decides, who writes down."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple, cast

from toolman import jsonrpc
from toolman.core.attribution import Attribution
from toolman.core.elicitations import Elicitations
from toolman.core.load import Load
from toolman.core.permission import Permission
from toolman.policy import tightest
from toolman.upstreams import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from msgspec import Raw

    from toolman.config import Config, Server
    from toolman.core.gateway import Gateway
    from toolman.core.input_required import Holding
    from toolman.core.ledger import Ledger
    from toolman.core.tasks import Tasks
    from toolman.exchange import Caller, Reply
    from toolman.jsonrpc import Message, Outcome
    from toolman.sessions import Session

    Cancel = Callable[[Raw | None], None]
    """Ends a request whose client does not want it any more; the reason is the client's own."""

log = logging.getLogger(__name__)

UNAVAILABLE = -32000
"""Code of toolman's own errors, from the range that JSON-RPC leaves to servers."""

CANCELLED = jsonrpc.error(UNAVAILABLE, "cancelled by the client")
_BUG = jsonrpc.error(-32603, "Internal error")


class Bounds(NamedTuple):
    """What bounds one call of a server's.

    Attributes:
        timeout: Seconds of silence after which it fails.
        max_result: Bytes, None for no bound.
    """

    timeout: float
    max_result: int | None


class Context:
    """The parts.

    Args:
        gateway: Knows configuration and servers.
        ledger: Writes down.
        holding: Keeps calls whose clients are asked for input.
        tasks: Knows whose tasks are whose.
        load: Bounds what all calls hold together, where that is not this gateway's alone.
    """

    def __init__(
        self, gateway: Gateway, ledger: Ledger, holding: Holding, tasks: Tasks, load: Load | None = None
    ) -> None:
        self.gateway = gateway
        self.ledger = ledger
        self.holding = holding
        self.tasks = tasks
        self.permission = Permission(gateway)
        self.attribution = Attribution()
        self.elicitations = Elicitations()
        self.load = load or Load(gateway.sessions)
        self._bounds: dict[str, Bounds] = {}
        self._bounds_of: Config | None = None

    def bounds(self, server: Server) -> Bounds:
        """Give what bounds a call; the tightest of the server's configuration and the layers."""
        config = self.gateway.config
        if config is not self._bounds_of:
            self._bounds_of = config
            self._bounds.clear()
        found = self._bounds.get(server.name)
        if found is None:
            limits = tightest(config.layers, server.name)
            timeout, _ = limits.get("call_timeout", (server.timeouts.idle, ""))
            size, _ = limits.get("max_result_bytes", (None, ""))
            found = Bounds(min(timeout, server.timeouts.idle), None if size is None else int(size))
            self._bounds[server.name] = found
        return found

    def finish(self, caller: Caller, message: Message, reply: Reply, outcome: Outcome) -> None:
        """Answer a request that no server has a part in."""
        self.ledger.answered(caller, message.method, "ok" if outcome[0] == jsonrpc.RESULT else "error")
        reply.finish(outcome)


def session_of(caller: Caller) -> Session:
    """Give the session that a caller of the legacy era is."""
    return cast("Session", caller)


class Pending:
    """A request that waits for something before it is answered or goes on its way.

    Args:
        context: What is shared.
        caller: Who asks.
        message: The request.
        reply: Gets the outcome.
    """

    def __init__(self, context: Context, caller: Caller, message: Message, reply: Reply) -> None:
        self._context = context
        self._caller = caller
        self._message = message
        self._reply = reply
        self._task: asyncio.Task[Outcome | None] | None = None
        self._next: Cancel | None = None

    def run(self, work: Coroutine[None, None, Outcome | None]) -> Cancel:
        """Begin; ``work`` gives the outcome, or None if somebody else answers from then on."""
        if self._caller.era == "legacy" and self._message.key is not None:
            session_of(self._caller).inflight[self._message.key] = self.cancel
        self._task = asyncio.create_task(work, name=f"request {self._message.method}")
        self._task.add_done_callback(self._done)
        return self.cancel

    def hand_over(self, cancel: Cancel | None) -> None:
        """Let somebody else answer, who has done so already if there is nothing to cancel.

        Whoever was given :meth:`cancel` reaches that one by it.
        """
        self._next = cancel
        if cancel is None:
            self._forget()

    def cancel(self, reason: Raw | None) -> None:
        """End it, or what it has become."""
        if self._next is not None:
            self._next(reason)
        elif self._task is not None and not self._task.done():
            self._task.cancel()
            self._finish(CANCELLED)

    def _done(self, task: asyncio.Task[Outcome | None]) -> None:
        if task.cancelled():
            return
        problem = task.exception()
        if problem is None:
            outcome = task.result()
        elif isinstance(problem, Failure):
            outcome = jsonrpc.error(UNAVAILABLE, str(problem))
        elif isinstance(problem, jsonrpc.Malformed):
            outcome = jsonrpc.error(problem.code, problem.text)
        else:
            log.error("a request of %s failed", self._message.method, exc_info=problem)
            outcome = _BUG
        if outcome is not None:
            self._finish(outcome)

    def _forget(self) -> None:
        if self._caller.era == "legacy" and self._message.key is not None:
            session_of(self._caller).inflight.pop(self._message.key, None)

    def _finish(self, outcome: Outcome) -> None:
        self._forget()
        self._context.finish(self._caller, self._message, self._reply, outcome)

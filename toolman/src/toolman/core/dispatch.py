"""What each message of a client does: which method is served by what, in which era."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from toolman import jsonrpc
from toolman.core import questions
from toolman.core.context import UNAVAILABLE, Context, session_of
from toolman.core.following import Following
from toolman.core.forwarding import Forwarder, Request
from toolman.core.input_required import Holding
from toolman.core.ledger import Ledger
from toolman.core.lists import Lists
from toolman.core.routes import UNKNOWN_METHOD, Routes
from toolman.core.strays import Strays
from toolman.core.task_lists import TaskLists
from toolman.core.tasks import Tasks
from toolman.protocol import legacy, modern, translate
from toolman.protocol.request_state import Sealer
from toolman.upstreams import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolman.audit import Audit
    from toolman.core.context import Cancel
    from toolman.core.forwarding import Serve
    from toolman.core.gateway import Gateway
    from toolman.core.load import Load
    from toolman.exchange import Caller, Era, Reply
    from toolman.jsonrpc import Message, Outcome
    from toolman.sessions import Session

_ID_IN_USE = jsonrpc.error(jsonrpc.INVALID_REQUEST, "a request with this id is still on its way: give each its own id")
_NO_TASKS = modern.missing_capability({"extensions": {modern.TASKS: {}}})


class _Cancelled(msgspec.Struct):
    requestId: int | str  # noqa: N815 - the wire's name
    reason: msgspec.Raw = msgspec.Raw()


_cancelled = msgspec.json.Decoder(_Cancelled).decode


class Dispatcher:
    """Serves the messages of clients.

    Args:
        gateway: Knows configuration and servers.
        audit: Gets a record for each use of something.
        key: Secret, for what clients are given to show again.
        clock: Seconds since the epoch.
        who: Whose messages these are, for the audit log.
        load: Bounds what all calls hold together, where that is not this dispatcher's alone.
    """

    def __init__(
        self,
        gateway: Gateway,
        audit: Audit,
        key: bytes,
        clock: Callable[[], float] = time.time,
        *,
        who: str = "",
        load: Load | None = None,
    ) -> None:
        self._gateway = gateway
        ledger = Ledger(audit, gateway.metrics, who)
        self._context = Context(gateway, ledger, Holding(Sealer(key, clock)), Tasks(key), load)
        forwarder = self._forwarder = Forwarder(self._context)
        self._following = Following(forwarder)
        self._lists = Lists(forwarder)
        routes, task_lists = Routes(forwarder), TaskLists(forwarder)
        self._extension = routes.extension
        both: dict[str, Serve] = {
            legacy.CALL_TOOL: routes.call_tool,
            legacy.LIST_TOOLS: self._lists.serve,
            legacy.LIST_PROMPTS: self._if_told("prompts", self._lists.serve),
            legacy.LIST_RESOURCES: self._if_told("resources", self._lists.serve),
            legacy.LIST_TEMPLATES: self._if_told("resources", self._lists.serve),
            legacy.GET_PROMPT: routes.get_prompt,
            legacy.READ_RESOURCE: routes.read_resource,
            legacy.COMPLETE: self._if_told("completions", routes.complete),
        }
        self._served: dict[Era, dict[str, Serve]] = {
            "legacy": {
                **both,
                legacy.PING: self._lists.ping,
                legacy.SET_LEVEL: self._if_told("logging", self._lists.set_level),
                legacy.SUBSCRIBE: self._if_told("resources", self._following.subscribe),
                legacy.UNSUBSCRIBE: self._if_told("resources", self._following.unsubscribe),
                legacy.GET_TASK: self._if_told("tasks", routes.about_task),
                legacy.TASK_RESULT: self._if_told("tasks", routes.about_task),
                legacy.CANCEL_TASK: self._if_told("tasks", routes.about_task),
                legacy.LIST_TASKS: self._if_told("tasks", task_lists.serve),
            },
            "modern": {
                **both,
                modern.DISCOVER: self._lists.discover,
                modern.LISTEN: self._following.listen,
                legacy.GET_TASK: self._if_extended(routes.about_task),
                modern.UPDATE_TASK: self._if_extended(routes.about_task),
                legacy.CANCEL_TASK: self._if_extended(routes.about_task),
            },
        }
        strays = Strays(self._context)
        gateway.on_asked, gateway.on_notified, gateway.on_left = strays.asked, strays.notified, self.left

    def request(self, caller: Caller, message: Message, reply: Reply) -> Cancel | None:
        """Serve a request: answered through ``reply``, now or later, exactly once.

        Returns:
            What to call when the client does not want it any more; None if it is answered already.
        """
        if caller.era == "legacy" and message.key in session_of(caller).inflight:
            reply.finish(_ID_IN_USE)
            return None
        serve = self._served[caller.era].get(message.method or "", self._extension)
        try:
            return serve(Request(caller, message, reply, time.perf_counter()))
        except jsonrpc.Malformed as problem:
            self._context.finish(caller, message, reply, jsonrpc.error(problem.code, problem.text))
        except Failure as problem:
            self._context.finish(caller, message, reply, jsonrpc.error(UNAVAILABLE, str(problem)))
        return None

    def notification(self, caller: Caller, message: Message) -> None:
        """Take a notification; what cannot be read or is not known is dropped, as JSON-RPC has it."""
        if caller.era != "legacy":
            return  # over HTTP the modern era has none
        session = session_of(caller)
        if message.method == legacy.CANCELLED:
            self._cancel(session, message)
        elif message.method == legacy.ROOTS_CHANGED:
            self._tell_servers(session)

    def response(self, session: Session, message: Message) -> None:
        """Take what a client answers to something that it was asked."""
        questions.answered(session, message)

    async def initialize(self, session: Session) -> Outcome:
        """Answer ``initialize``; :func:`toolman.protocol.legacy.open_session` has read what the session was made of."""
        return await self._lists.initialize(session)

    def end_listens(self) -> None:
        """End all open ``subscriptions/listen``: toolman is going."""
        self._following.end()

    def left(self, session: Session) -> None:
        """Forget what is known of a session that is over."""
        questions.drop(session)
        self._context.tasks.forget(session)

    def _if_told(self, capability: str, serve: Serve) -> Serve:
        """Serve a method only for clients that were told of it."""

        def guarded(request: Request) -> Cancel | None:
            if not self._lists.serves(request.caller, capability):
                return self._forwarder.finish(request, UNKNOWN_METHOD)
            return serve(request)

        return guarded

    def _if_extended(self, serve: Serve) -> Serve:
        """Serve a method of the extension for tasks where some server has it."""

        def guarded(request: Request) -> Cancel | None:
            if modern.TASKS not in self._gateway.view(request.caller).extensions("modern"):
                return self._forwarder.finish(request, UNKNOWN_METHOD)
            if not translate.declares_extension(request.caller.capabilities, modern.TASKS):
                return self._forwarder.finish(request, _NO_TASKS)
            return serve(request)

        return guarded

    def _cancel(self, session: Session, message: Message) -> None:
        try:
            cancelled = _cancelled(message.params or b"{}")
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        cancel = session.inflight.get(cancelled.requestId)
        if cancel is not None:
            cancel(cancelled.reason or None)

    def _tell_servers(self, session: Session) -> None:
        """Pass on that a client's roots have changed, to the servers that hear of no other client's."""
        for server in self._gateway.config.servers:
            if not server.is_shared and session.server in {None, server.name}:
                peer = self._gateway.upstream(server.name, session).peer
                if peer is not None and "roots" in self._context.permission.requests(server):
                    peer.notify(legacy.ROOTS_CHANGED)

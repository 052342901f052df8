"""``tasks/list``: servers list the tasks of all their clients, each client gets its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolman import jsonrpc
from toolman.core.context import Pending
from toolman.protocol import legacy
from toolman.upstreams import Failure

if TYPE_CHECKING:
    from msgspec import Raw

    from toolman.core.context import Cancel
    from toolman.core.forwarding import Forwarder, Request
    from toolman.jsonrpc import Members, Outcome

MAX_PAGES = 20
"""Of one server's list; the rest is not looked at."""


class TaskLists:
    """Serves ``tasks/list``.

    Args:
        forwarder: Answers.
    """

    def __init__(self, forwarder: Forwarder) -> None:
        self._forwarder = forwarder
        self._context = forwarder.context

    def serve(self, request: Request) -> Cancel | None:
        """Serve it: one page."""
        if "cursor" in request.params():
            return self._forwarder.finish(request, jsonrpc.error(jsonrpc.INVALID_PARAMS, "Invalid cursor"))
        return Pending(self._context, request.caller, request.message, request.reply).run(self._walk(request))

    async def _walk(self, request: Request) -> Outcome:
        caller, gateway = request.caller, self._context.gateway
        found: list[bytes] = []
        for server, shown in self._context.tasks.of(caller, gateway.view(caller)).items():
            try:
                found += await self._of_server(request, server, shown)
            except (Failure, jsonrpc.Malformed):
                continue  # one server's trouble hides its own tasks alone
        return jsonrpc.result(b'{"tasks":[%b]}' % b",".join(found))

    async def _of_server(self, request: Request, server: str, shown: dict[str, str]) -> list[bytes]:
        supervisor = self._context.gateway.upstream(server, request.caller)
        peer = await supervisor.get()
        limit = self._context.bounds(supervisor.server).timeout
        found: list[bytes] = []
        params: dict[str, bytes | Raw] = {}
        for _ in range(MAX_PAGES):
            page: Members = jsonrpc.members(await peer.request(legacy.LIST_TASKS, params, limit), jsonrpc.RESULT_KEYS)
            for raw in jsonrpc.elements(page.get("tasks", b"[]")):
                task = self._context.tasks.listed(raw, shown)
                if task is not None:
                    found.append(task)
            cursor = page.get("nextCursor")
            if cursor is None or bytes(cursor) == b"null" or len(found) >= len(shown):
                break
            params = {"cursor": cursor}
        return found

"""Requests that go to a server: whose each is, whether it may, and under which name it goes on.

The decision falls here, before anything is forwarded. What may not be used is answered like what is not there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from toolman import jsonrpc
from toolman.core.ledger import Used
from toolman.core.resources import decide_uri
from toolman.limits import Refusal
from toolman.protocol import legacy, mirror, modern

if TYPE_CHECKING:
    from toolman.core.calls import ClientCall
    from toolman.core.catalog import View
    from toolman.core.context import Cancel
    from toolman.core.forwarding import Forwarder, Request
    from toolman.core.route import Route
    from toolman.jsonrpc import Members
    from toolman.policy import Decision

_SHAPE = re.compile(r"[a-z][A-Za-z0-9._-]*(?:/[A-Za-z0-9._-]+)+")
_CORE = frozenset(
    {
        "completion",
        "elicitation",
        "initialize",
        "logging",
        "notifications",
        "ping",
        "prompts",
        "roots",
        "sampling",
        "server",
        "subscriptions",
        "tasks",
        "tools",
    }
)
"""First words of the protocol's own methods: none of an extension may begin so, in whatever case, for a server might
take it for one of those that are decided on."""

_RESOURCES = frozenset(
    method.casefold()
    for method in (
        legacy.LIST_RESOURCES,
        legacy.LIST_TEMPLATES,
        legacy.READ_RESOURCE,
        legacy.SUBSCRIBE,
        legacy.UNSUBSCRIBE,
    )
)
"""The protocol's own methods about resources; extensions have others."""

UNKNOWN_METHOD = jsonrpc.error(jsonrpc.METHOD_NOT_FOUND, "Method not found")
UNKNOWN_TASK = jsonrpc.error(jsonrpc.INVALID_PARAMS, "Unknown task")

_REFERENCES = {"ref/prompt": "name", "ref/resource": "uri"}


class Routes:
    """Serves what servers serve.

    Args:
        forwarder: Sends on and refuses.
    """

    def __init__(self, forwarder: Forwarder) -> None:
        self._forwarder = forwarder
        self._gateway = forwarder.context.gateway
        self._context = forwarder.context

    def call_tool(self, request: Request) -> Cancel | None:
        """Serve ``tools/call``."""
        caller, forwarder = request.caller, self._forwarder
        params = request.params()
        name = jsonrpc.text(params, "name")
        route = self._gateway.view(caller).tools.get(name)
        if route is None:
            if not self._gateway.is_introduced(caller):
                return forwarder.when_introduced(request, self.call_tool)
            return forwarder.deny(request, "tools", name)
        if route.mirrored and caller.era == "modern" and (problem := _mismatch(route, request, params)) is not None:
            return forwarder.finish(request, jsonrpc.error(modern.HEADER_MISMATCH, problem))
        used = Used("tools", name, route.server, route.name, route.decision.would_deny)
        if "requestState" in params and forwarder.is_ours(caller, route.server):
            return forwarder.resume(request, used, params)
        call = forwarder.call(request, used, params, "name", route.wire)
        call.mirror(route.mirrored)
        if caller.era == "legacy" and "task" in params:
            call.be_about_task()
        return self._admit(request, call)

    def get_prompt(self, request: Request) -> Cancel | None:
        """Serve ``prompts/get``."""
        caller, forwarder = request.caller, self._forwarder
        params = request.params()
        name = jsonrpc.text(params, "name")
        route = self._gateway.view(caller).prompts.get(name)
        if route is None:
            if not self._gateway.is_introduced(caller):
                return forwarder.when_introduced(request, self.get_prompt)
            return forwarder.deny(request, "prompts", name)
        used = Used("prompts", name, route.server, route.name, route.decision.would_deny)
        if "requestState" in params and forwarder.is_ours(caller, route.server):
            return forwarder.resume(request, used, params)
        return forwarder.call(request, used, params, "name", route.wire).start()

    def read_resource(self, request: Request) -> Cancel | None:
        """Serve ``resources/read``."""
        caller, forwarder = request.caller, self._forwarder
        params = request.params()
        uri = jsonrpc.text(params, "uri")
        owner = self._gateway.view(caller).owner(uri)
        if owner is None:
            if not self._gateway.is_introduced(caller):
                return forwarder.when_introduced(request, self.read_resource)
            return forwarder.deny_resource(request, uri)
        server, decision = owner
        used = Used("resources", uri, server, uri, decision.would_deny)
        if "requestState" in params and forwarder.is_ours(caller, server):
            return forwarder.resume(request, used, params)
        call = forwarder.call(request, used, params, "uri", jsonrpc.encode(uri))
        call.is_looked_at = True
        return call.start()

    def complete(self, request: Request) -> Cancel | None:
        """Serve ``completion/complete``: the reference names a prompt, or a resource or template by its URI."""
        caller, forwarder = request.caller, self._forwarder
        params = request.params()
        reference = jsonrpc.members(params.get("ref", b"{}"), jsonrpc.REFERENCE_KEYS)
        key = _REFERENCES.get(jsonrpc.text(reference, "type"))
        if key is None:
            raise jsonrpc.Malformed(jsonrpc.INVALID_PARAMS, '"ref" must be a ref/prompt or a ref/resource')
        name = jsonrpc.text(reference, key)
        found = _referred(self._gateway.view(caller), key, name)
        if found is None:
            if not self._gateway.is_introduced(caller):
                return forwarder.when_introduced(request, self.complete)
            return forwarder.deny_resource(request, name) if key == "uri" else forwarder.deny(request, "prompts", name)
        server, own, decision = found
        used = Used("prompts" if key == "name" else "resources", name, server, own, decision.would_deny)
        written = jsonrpc.dump({**reference, key: jsonrpc.encode(own)})
        call = forwarder.call(request, used, params, "ref", written)
        return call.start()

    def about_task(self, request: Request) -> Cancel | None:
        """Serve ``tasks/get`` and its kin: only its owner's, and only while its tool is visible."""
        params = request.params()
        identifier = jsonrpc.text(params, "taskId")
        view = self._gateway.view(request.caller)
        task = self._context.tasks.find(request.caller, view, identifier)
        if task is None:
            return self._forwarder.finish(request, UNKNOWN_TASK)
        used = Used("tools", identifier, task.server, view.tools[task.tool].name)
        call = self._forwarder.call(request, used, params, "taskId", jsonrpc.encode(task.own))
        call.outgoing.name = task.own
        call.be_about_task()
        return call.start()

    def extension(self, request: Request) -> Cancel | None:
        """Serve a method of an extension, if one server alone may be meant."""
        caller, forwarder = request.caller, self._forwarder
        method = request.message.method or ""
        view = self._gateway.view(caller)
        offered = {name: server for name, server in view.extensions(caller.era).items() if name != modern.TASKS}
        servers = set(offered.values())
        if len(servers) != 1 or not _may_be_an_extensions(method):
            return forwarder.finish(request, UNKNOWN_METHOD)
        server = servers.pop()
        params = request.params()
        if "uri" in params:
            uri = jsonrpc.text(params, "uri")
            if ("resources", uri) in view.hidden or not decide_uri(self._gateway.config.layers, server, uri).allowed:
                return forwarder.deny_resource(request, uri)
        used = Used("extensions", method, server, ",".join(sorted(offered)))
        return forwarder.call(request, used, params, None, b"").start()

    def _admit(self, request: Request, call: ClientCall) -> Cancel | None:
        """Start a call of a tool if the limits have room for it."""
        caller, used = request.caller, call.used
        permit = self._gateway.limiter.admit(used.server)
        if isinstance(permit, Refusal):
            self._context.ledger.limited(caller, used, permit.limit, permit.source, request.started)
            return self._forwarder.finish(request, permit.error)
        call.permit = permit
        if permit.would_refuse:
            call.used = used._replace(would_deny=(*used.would_deny, *permit.would_refuse))
        call.trace()
        return call.start()


def _may_be_an_extensions(method: str) -> bool:
    """Tell whether a method is certainly none of the protocol's own, however a server may read it."""
    folded = method.casefold()
    return bool(_SHAPE.fullmatch(method)) and folded.partition("/")[0] not in _CORE and folded not in _RESOURCES


def _referred(view: View, key: str, name: str) -> tuple[str, str, Decision] | None:
    """Find what a reference names: the server, its own name for it, the decision."""
    route: Route | None
    if key == "name":
        route = view.prompts.get(name)
        return None if route is None else (route.server, route.name, route.decision)
    route = view.templates.get(name)
    if route is not None:
        return route.server, route.name, route.decision
    owner = view.owner(name)
    return None if owner is None else (owner[0], name, owner[1])


def _mismatch(route: Route, request: Request, params: Members) -> str | None:
    """Tell where headers and arguments disagree.

    Raises:
        Malformed: An argument that is mirrored could be read in two ways.
    """
    arguments = params.get("arguments")
    if arguments is not None:
        for each in route.mirrored:
            found = arguments
            for key in each.path:
                if bytes(found)[:1] != b"{":
                    break
                inner = jsonrpc.members(found, frozenset()).get(key)
                if inner is None:
                    break
                found = inner
    return mirror.mismatch(route.mirrored, request.caller.mirrored, arguments)

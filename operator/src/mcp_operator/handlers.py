"""What kopf watches for us. A handler only puts a key on the queue: all that is done is done by reconciling.

Only plain event handlers: kopf then adds no finalizers and no annotations to anybody's objects, and a build that takes
minutes never stands between a person and a deletion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import kopf

from mcp_operator import names
from mcp_operator.cluster import AGENT, POLICY, SERVER, controller
from mcp_operator.reconcile import namespace
from mcp_operator.workqueue import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from mcp_operator.cluster import Kind

    Handler = Callable[..., Coroutine[Any, Any, None]]

REQUEST_TIMEOUT = 60.0
"""Seconds for a list; watches have limits of their own."""


def registry(put: Callable[[Key], None]) -> kopf.OperatorRegistry:
    """Give the handlers, which put keys with ``put``; it must return at once."""
    handlers = kopf.OperatorRegistry()
    kopf.on.login(registry=handlers, errors=kopf.ErrorsMode.PERMANENT)(kopf.login_via_client)
    kopf.on.startup(registry=handlers)(_configure)
    for kind in (SERVER, AGENT, POLICY):
        kopf.on.event(names.GROUP, names.VERSION, kind.plural, registry=handlers, id=kind.plural)(_ours(kind, put))
    labels = {names.LABEL_AGENT: kopf.PRESENT}
    kopf.on.event("", "v1", "pods", labels=labels, registry=handlers, id="pods")(_pods(put))
    kopf.on.event("", "v1", "namespaces", registry=handlers, id="namespaces")(_namespaces(put))
    return handlers


async def _configure(settings: kopf.OperatorSettings, **_: object) -> None:
    settings.posting.enabled = False  # our Events are about changes, not about log lines
    settings.networking.request_timeout = REQUEST_TIMEOUT


def _ours(kind: Kind, put: Callable[[Key], None]) -> Handler:
    async def changed(namespace: str | None, name: str | None, **_: object) -> None:
        put(Key(kind.kind, namespace or "", name or ""))

    return changed


def _pods(put: Callable[[Key], None]) -> Handler:
    async def changed(body: kopf.Body, namespace: str | None, **_: object) -> None:
        owner = controller(dict(body))
        if owner.get("kind") == AGENT.kind:
            put(Key(AGENT.kind, namespace or "", str(owner.get("name", ""))))

    return changed


def _namespaces(put: Callable[[Key], None]) -> Handler:
    async def changed(name: str | None, **_: object) -> None:
        put(Key(namespace.KIND, "", name or ""))

    return changed

"""What kopf watches for us. A handler only puts a key on the queue: all that is done is done by reconciling.

Only plain event handlers: kopf then adds no finalizers and no annotations to anybody's objects, and a build that takes
minutes never stands between a person and a deletion. What the operator made is watched by :mod:`mcp_operator.watches`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import kopf

from mcp_operator import names
from mcp_operator.cluster import AGENT, POLICY, SERVER
from mcp_operator.own_writes import OwnWrites, Place
from mcp_operator.reconcile import namespace
from mcp_operator.workqueue import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine

    from mcp_operator.cluster import Kind
    from mcp_operator.metrics import Metrics

    Handler = Callable[..., Coroutine[Any, Any, None]]

REQUEST_TIMEOUT = 60.0
"""Seconds for a list; watches have limits of their own."""


def registry(
    put: Callable[[Key], None],
    metrics: Metrics,
    namespaces: Collection[str] = (),
    own: OwnWrites | None = None,
) -> kopf.OperatorRegistry:
    """Give the handlers.

    Args:
        put: Takes the key of what changed; must return at once.
        metrics: Counts conditions.
        namespaces: Those that are served; empty for all.
        own: Passes over what this process has written itself.
    """
    own = own or OwnWrites(put)
    handlers = kopf.OperatorRegistry()
    kopf.on.login(registry=handlers, errors=kopf.ErrorsMode.PERMANENT)(kopf.login_via_client)
    kopf.on.startup(registry=handlers)(_configure)
    for kind in (SERVER, AGENT, POLICY):
        handler = _ours(kind, put, metrics, own)
        kopf.on.event(names.GROUP, names.VERSION, kind.plural, registry=handlers, id=kind.plural)(handler)
    kopf.on.event("", "v1", "namespaces", registry=handlers, id="namespaces")(_namespaces(put, namespaces))
    return handlers


class _NothingKept(kopf.DiffBaseStorage):
    """Spares kopf a copy of all of which an event comes: that is for handlers of differences, of which we have none."""

    def build(self, **_: object) -> kopf.BodyEssence:
        """See :class:`kopf.DiffBaseStorage`."""
        return kopf.BodyEssence()

    def fetch(self, **_: object) -> None:
        """See :class:`kopf.DiffBaseStorage`."""

    def store(self, **_: object) -> None:
        """See :class:`kopf.DiffBaseStorage`."""


async def _configure(settings: kopf.OperatorSettings, **_: object) -> None:
    settings.persistence.diffbase_storage = _NothingKept()
    settings.posting.enabled = False  # our Events are about changes, not about log lines
    settings.networking.request_timeout = REQUEST_TIMEOUT


def _ours(kind: Kind, put: Callable[[Key], None], metrics: Metrics, own: OwnWrites) -> Handler:
    async def changed(body: kopf.Body, namespace: str | None, name: str | None, **event: object) -> None:
        key = Key(kind.kind, namespace or "", name or "")
        conditions = (body.get("status") or {}).get("conditions") or []
        metrics.holds(key.kind, key.namespace, key.name, () if event["type"] == "DELETED" else conditions)
        if event["type"] == "MODIFIED":
            place = Place(kind.plural, key.namespace, key.name)
            own.told(key, place, str((body.get("metadata") or {}).get("resourceVersion")))
        else:  # a list may leave out versions: what it gives is always news
            put(key)

    return changed


def _namespaces(put: Callable[[Key], None], served: Collection[str]) -> Handler:
    async def changed(name: str | None, **_: object) -> None:
        if not served or name in served:
            put(Key(namespace.KIND, "", name or ""))

    return changed

"""Watches over what the operator made: a change to it, by whomever, wakes the MCPAgent or MCPServer that owns it.

kopf watches our own kinds and can select nothing by labels on the server's side; here the API server sends only what
carries our label, whatever else a cluster is full of, and no more of it than its metadata. Of our own kinds these
watches tell what is gone: where a watch has expired, kopf lists what there is, and never speaks of what went meanwhile.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from mcp_operator import access, cluster, names
from mcp_operator.own_writes import Place
from mcp_operator.workqueue import Key, backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from mcp_operator.access import Access
    from mcp_operator.cluster import Manifest
    from mcp_operator.metrics import Metrics
    from mcp_operator.own_writes import OwnWrites

SELECTOR: Final = f"{names.MANAGED_BY}={names.MANAGER}"
ROUND: Final = 300
"""Seconds after which the API server is asked to end a watch, so that one that has died unnoticed does no harm."""
PAGE: Final = 500
"""Objects in one answer to a list."""
RETRY_FIRST: Final = 0.5
RETRY_CAP: Final = 30.0
"""Seconds between two attempts while the API server does not answer."""
OWNERS: Final = frozenset({cluster.AGENT.kind, cluster.SERVER.kind})

logger = logging.getLogger(__name__)


class Watched(NamedTuple):
    """The two rights that watching a resource takes."""

    list: Access
    watch: Access
    selector: str = SELECTOR
    owner: Callable[[Manifest], Key | None] | None = None
    """Gives whom an object wakes; without, its controller, if that is one of ours."""
    is_itself: bool = False
    """It wakes itself, and only once it is gone: of everything else kopf tells."""


OWNED: Final = (
    Watched(access.LIST_PODS_METADATA, access.WATCH_PODS),
    Watched(access.LIST_CONFIG_MAPS, access.WATCH_CONFIG_MAPS),
    Watched(access.LIST_DEPLOYMENTS, access.WATCH_DEPLOYMENTS),
    Watched(access.LIST_SERVICES, access.WATCH_SERVICES),
    Watched(access.LIST_NETWORK_POLICIES, access.WATCH_NETWORK_POLICIES),
    Watched(access.LIST_BUDGETS, access.WATCH_BUDGETS),
)
"""All that carries our label and has an owner of our kinds."""


def _labelled(raw: Manifest) -> Key | None:
    metadata = raw["metadata"]
    agent = (metadata.get("labels") or {}).get(names.LABEL_AGENT)
    return Key(cluster.AGENT.kind, str(metadata.get("namespace") or ""), str(agent)) if agent else None


INJECTED: Final = (
    Watched(
        access.LIST_PODS_METADATA,
        access.WATCH_PODS,
        selector=f"{names.LABEL_AGENT},{names.MANAGED_BY}!={names.MANAGER}",
        owner=_labelled,
    ),
)
"""Pods of other workloads that an agent's sidecars were put into."""


def _itself(kind: cluster.Kind) -> Callable[[Manifest], Key]:
    return lambda raw: Key(kind.kind, *_place(raw))


OURS: Final = tuple(
    Watched(
        access.LIST_OUR_NAMES[kind.plural],
        access.WATCH_OUR_NAMES[kind.plural],
        selector="",
        owner=_itself(kind),
        is_itself=True,
    )
    for kind in (cluster.SERVER, cluster.AGENT, cluster.POLICY)
)
"""Our own kinds."""


class Api(Protocol):
    """What is asked of the API server; see :class:`mcp_operator.kube.Requests`."""

    def __call__(self, right: Access, namespace: str = "", *, query: Mapping[str, str] | None = None) -> Manifest:
        """Make one request."""

    def stream(self, right: Access, namespace: str, query: Mapping[str, str]) -> Iterator[Manifest]:
        """Give what a watch tells."""


class Watches:
    """All of them, each in a thread of its own.

    Args:
        api: The API server.
        put: Takes the key of an owner; must return at once.
        namespaces: Those that are served; empty for all.
        metrics: Counts how often a watch was begun anew.
        owned: What is watched.
        own: Passes over what this process has written itself.
    """

    def __init__(
        self,
        api: Api,
        put: Callable[[Key], None],
        namespaces: Collection[str] = (),
        metrics: Metrics | None = None,
        owned: Collection[Watched] = OWNED,
        own: OwnWrites | None = None,
    ) -> None:
        served = tuple(namespaces) or ("",)
        self._stop = threading.Event()
        hearer = _Hearer(put, own, metrics)
        self._watches = [
            _Watch(api, watched, namespace, hearer, self._stop)
            for watched in owned
            for namespace in (served if watched.watch.scope is access.Scope.SERVED else ("",))
        ]
        self._threads = [threading.Thread(target=each.run, name=f"watch {each}", daemon=True) for each in self._watches]

    def start(self) -> None:
        """Start to watch."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Wake nobody any more. A thread that waits for the API server ends with the process."""
        self._stop.set()

    def dead(self) -> str:
        """Say which watch has ended for good; empty when none has."""
        ended = [thread.name for thread in self._threads if thread.ident is not None and not thread.is_alive()]
        return f"{ended[0]} has ended" if ended and not self._stop.is_set() else ""

    def behind(self) -> str:
        """Say what is not being watched at the moment; empty when everything is."""
        missing = [str(each) for each in self._watches if not each.synced]
        return f"not watching {', '.join(missing)}" if missing else ""


class _Hearer(NamedTuple):
    """Who hears of what the watches see."""

    put: Callable[[Key], None]
    own: OwnWrites | None
    metrics: Metrics | None


class _Watch:
    def __init__(
        self,
        api: Api,
        watched: Watched,
        namespace: str,
        hearer: _Hearer,
        stop: threading.Event,
    ) -> None:
        self._api = api
        self._watched = watched
        self._namespace = namespace
        self._put, self._own, self._metrics = hearer
        self._stop = stop
        self._owners: dict[tuple[str, str], Key] = {}
        self.synced = False

    def __str__(self) -> str:
        resource = self._watched.watch.resource.full
        return f"{resource} in {self._namespace}" if self._namespace else resource

    def run(self) -> None:
        """Watch until told to stop."""
        failures = 0
        while not self._stop.is_set():
            try:
                version = self._list()
                self.synced, failures = True, 0
                while not self._stop.is_set():
                    version = self._follow(version)
            except cluster.ExpiredError:
                self._note("expired")
            except cluster.ClusterError as error:
                self.synced = False
                self._note("failed")
                delay = backoff(failures, RETRY_FIRST, RETRY_CAP)
                failures += 1
                logger.warning("watching %s: %s; again in %.1f s", self, error, delay)
                self._stop.wait(delay)

    def _note(self, why: str) -> None:
        if self._metrics is not None:
            self._metrics.watch_restarts.add(1, self._watched.watch.resource.full, why)

    def _list(self) -> str:
        """Read everything, page by page; what is gone since the last time has changed, too."""
        listed: set[tuple[str, str]] = set()
        query = {"labelSelector": self._watched.selector, "limit": str(PAGE)}
        while True:
            page = self._api(self._watched.list, self._namespace, query=query)
            for raw in page["items"] or ():  # null where only metadata was asked for and there is nothing
                listed.add(_place(raw))
                self._seen(raw)
            if not page["metadata"].get("continue"):
                break
            query["continue"] = page["metadata"]["continue"]
        for place in self._owners.keys() - listed:
            self._gone(self._owners.pop(place))
        return str(page["metadata"]["resourceVersion"])

    def _follow(self, version: str) -> str:
        query = {
            "labelSelector": self._watched.selector,
            "watch": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(ROUND),
            "allowWatchBookmarks": "true",
        }
        for event in self._api.stream(self._watched.watch, self._namespace, query):
            if self._stop.is_set():
                break
            raw = event["object"]
            if event["type"] == "ERROR":
                kind = cluster.ExpiredError if raw.get("code") in {410, 504} else cluster.UnreachableError
                raise kind(str(raw.get("message") or "the API server ended the watch"))
            if event["type"] != "BOOKMARK":
                self._seen(raw, gone=event["type"] == "DELETED", is_listed=False)
            version = raw["metadata"]["resourceVersion"]
        return version

    def _seen(self, raw: Manifest, *, gone: bool = False, is_listed: bool = True) -> None:
        """Wake who owned an object and who owns it. A list may leave out versions: what it gives is always news."""
        place = _place(raw)
        now = (self._watched.owner or _owner)(raw)
        before = self._owners.pop(place, None)
        if now is not None and not gone:
            self._owners[place] = now
        if self._watched.is_itself:
            if now is not None and gone:
                self._gone(now)
            return
        if self._own is not None and now is not None and before in {None, now} and not gone and not is_listed:
            version = str(raw["metadata"]["resourceVersion"])
            self._own.told(now, Place(self._watched.watch.resource.full, *place), version)
            return
        for key in {before, now} - {None}:
            if key is not None:
                self._put(key)

    def _gone(self, key: Key) -> None:
        if self._watched.is_itself and self._metrics is not None:
            self._metrics.holds(*key, ())
        self._put(key)


def _place(raw: Manifest) -> tuple[str, str]:
    metadata = raw["metadata"]
    return str(metadata.get("namespace") or ""), str(metadata["name"])


def _owner(raw: Manifest) -> Key | None:
    owner = cluster.controller(raw)
    ours = owner.get("kind") in OWNERS and str(owner.get("apiVersion", "")).startswith(f"{names.GROUP}/")
    namespace = str(raw["metadata"].get("namespace") or "")
    return Key(str(owner["kind"]), namespace, str(owner["name"])) if ours else None

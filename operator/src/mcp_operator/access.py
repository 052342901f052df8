"""Every right that the operator uses: what :mod:`mcp_operator.kube` asks for, what is watched, and the roles of it.

A request is made with one of the constants below and with nothing else, so what is not here cannot be asked for. The
chart's roles are generated from them (``scripts/generate``); whoever needs another right adds a constant.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal

from mcp_operator import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Verb = Literal["get", "list", "watch", "create", "update", "patch", "delete", "bind"]

METHODS: Final[Mapping[Verb, str]] = {
    "get": "GET",
    "list": "GET",
    "watch": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
    "bind": "",  # nothing that is asked for: it allows what a request says
}


JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"
METADATA_ONLY: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""For an answer that has no more of an object than its metadata: not a Secret's values."""
METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class Scope(Enum):
    """Where a right is needed, which is who can give it."""

    CLUSTER = "cluster"
    """What has no namespace, or what is needed whichever namespaces are served: in a ClusterRole, always."""
    SERVED = "served"
    """In the namespaces that are served: in the ClusterRole, or in a Role of each of them."""
    OWN = "own"
    """In the operator's own namespace."""
    DEFAULT = "default"
    """In the namespace ``default``, where Events about what has no namespace must be."""
    EVERYBODY = "everybody"
    """Kubernetes gives it to everybody whom it knows: in no role of ours."""


Feature = Literal["", "injection", "readApi"]
"""What of the chart's values has to be enabled for a right to be needed; empty: it always is."""


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A resource of the API by group, version and plural; ``sub`` is a subresource."""

    group: str = ""
    version: str = "v1"
    plural: str
    sub: str = ""

    @property
    def full(self) -> str:
        """As a role names it."""
        return f"{self.plural}/{self.sub}" if self.sub else self.plural

    @property
    def root(self) -> str:
        """The path below which its objects are."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"


@dataclass(frozen=True, kw_only=True)
class Access:
    """One verb on one resource, and how it is asked for.

    Attributes:
        verb: As a role names it.
        resource: What it is about.
        scope: Where it is needed.
        name: Limits it to the object of that name; a list cannot be limited.
        feature: Without which it is not needed.
        content: Media type of what is sent.
        accept: Media type of the answer.
    """

    verb: Verb
    resource: Resource
    scope: Scope = Scope.SERVED
    name: str = ""
    feature: Feature = ""
    content: str = JSON
    accept: str = JSON

    @property
    def method(self) -> str:
        """Of HTTP."""
        return METHODS[self.verb]


def _of(group: str, version: str, plural: str, sub: str = "") -> Resource:
    return Resource(group=group, version=version, plural=plural, sub=sub)


# --- our kinds
OURS: Final = {
    plural: _of(names.GROUP, names.VERSION, plural) for plural in (names.SERVERS, names.AGENTS, names.POLICIES)
}

DISCOVER_OURS: Final = Access(verb="get", resource=_of(names.GROUP, names.VERSION, ""), scope=Scope.EVERYBODY)
"""Which of them the API server tells of."""


def _scope(plural: str) -> Scope:
    return Scope.CLUSTER if plural == names.POLICIES else Scope.SERVED


GET_OURS: Final = {plural: Access(verb="get", resource=each, scope=_scope(plural)) for plural, each in OURS.items()}
LIST_OURS: Final = {plural: Access(verb="list", resource=each, scope=_scope(plural)) for plural, each in OURS.items()}
WATCH_OURS: Final = {plural: Access(verb="watch", resource=each, scope=_scope(plural)) for plural, each in OURS.items()}
LIST_OUR_NAMES: Final = {plural: replace(right, accept=METADATA_LIST) for plural, right in LIST_OURS.items()}
WATCH_OUR_NAMES: Final = {plural: replace(right, accept=METADATA_ONLY) for plural, right in WATCH_OURS.items()}
PATCH_STATUS: Final = {
    plural: Access(
        verb="patch",
        resource=_of(names.GROUP, names.VERSION, plural, "status"),
        scope=_scope(plural),
        content=MERGE_PATCH,
    )
    for plural in OURS
}
BLOCK_DELETION: Final = Access(verb="update", resource=_of(names.GROUP, names.VERSION, names.AGENTS, "finalizers"))
"""Some clusters ask for this right of whoever makes an object that blocks the deletion of its owner."""

APPLY_AGENT: Final = Access(verb="patch", resource=OURS[names.AGENTS], content=APPLY_PATCH)
"""The agent that an MCPServer has written in it."""
CREATE_AGENT: Final = Access(verb="create", resource=OURS[names.AGENTS])
"""Applying what is not there yet is creating it."""
PATCH_AGENT: Final = Access(verb="patch", resource=OURS[names.AGENTS], content=MERGE_PATCH)
DELETE_AGENT: Final = Access(verb="delete", resource=OURS[names.AGENTS])
"""Also after ``ttlSecondsAfterFinished``."""

# --- what agents and servers are made of
PODS: Final = Resource(plural="pods")
GET_POD: Final = Access(verb="get", resource=PODS)
CREATE_POD: Final = Access(verb="create", resource=PODS)
PATCH_POD: Final = Access(verb="patch", resource=PODS, content=MERGE_PATCH)
TELL_POD: Final = Access(verb="patch", resource=PODS, content=MERGE_PATCH, accept=METADATA_ONLY)
CHANGE_IMAGES: Final = Access(verb="patch", resource=PODS, content=STRATEGIC_PATCH)
DELETE_POD: Final = Access(verb="delete", resource=PODS)
LIST_PODS: Final = Access(verb="list", resource=PODS)
LIST_PODS_METADATA: Final = Access(verb="list", resource=PODS, accept=METADATA_LIST)
WATCH_PODS: Final = Access(verb="watch", resource=PODS, accept=METADATA_ONLY)

CONFIG_MAPS: Final = Resource(plural="configmaps")
GET_CONFIG_MAP: Final = Access(verb="get", resource=CONFIG_MAPS)
CREATE_CONFIG_MAP: Final = Access(verb="create", resource=CONFIG_MAPS)
"""Applying what is not there yet is creating it."""
APPLY_CONFIG_MAP: Final = Access(verb="patch", resource=CONFIG_MAPS, content=APPLY_PATCH)
PATCH_CONFIG_MAP: Final = Access(verb="patch", resource=CONFIG_MAPS, content=MERGE_PATCH, accept=METADATA_ONLY)
LIST_AGENT_CONFIG_MAPS: Final = Access(verb="list", resource=CONFIG_MAPS)
LIST_CONFIG_MAPS: Final = Access(verb="list", resource=CONFIG_MAPS, accept=METADATA_LIST)
WATCH_CONFIG_MAPS: Final = Access(verb="watch", resource=CONFIG_MAPS, accept=METADATA_ONLY)

SECRETS: Final = Resource(plural="secrets")
GET_SECRET: Final = Access(verb="get", resource=SECRETS)
"""By the names that specs give; never listed or watched."""
GET_SECRET_METADATA: Final = Access(verb="get", resource=SECRETS, accept=METADATA_ONLY)
GET_CONFIG_MAP_METADATA: Final = Access(verb="get", resource=CONFIG_MAPS, accept=METADATA_ONLY)

# --- shared servers
DEPLOYMENTS: Final = _of("apps", "v1", "deployments")
SERVICES: Final = Resource(plural="services")
ACCOUNTS: Final = Resource(plural="serviceaccounts")
NETWORK_POLICIES: Final = _of("networking.k8s.io", "v1", "networkpolicies")
BUDGETS: Final = _of("policy", "v1", "poddisruptionbudgets")
OWNED: Final = {
    "ConfigMap": CONFIG_MAPS,
    "Deployment": DEPLOYMENTS,
    "NetworkPolicy": NETWORK_POLICIES,
    "PodDisruptionBudget": BUDGETS,
    "Secret": SECRETS,
    "Service": SERVICES,
    "ServiceAccount": ACCOUNTS,
}
"""The kinds that a shared server is made of. Of Secrets only those with its certificate."""
GET_OWNED: Final = {
    kind: GET_SECRET_METADATA if kind == "Secret" else Access(verb="get", resource=each) for kind, each in OWNED.items()
}
CREATE_OWNED: Final = {kind: Access(verb="create", resource=each) for kind, each in OWNED.items()}
"""Applying what is not there yet is creating it."""
APPLY_OWNED: Final = {kind: Access(verb="patch", resource=each, content=APPLY_PATCH) for kind, each in OWNED.items()}
REPLACE_OWNED: Final = {kind: Access(verb="update", resource=OWNED[kind]) for kind in ("Deployment", "NetworkPolicy")}
"""Where something that others add would count: applying leaves it, replacing does not."""
DELETE_OWNED: Final = {kind: Access(verb="delete", resource=each) for kind, each in OWNED.items() if kind != "Secret"}
"""The Secret goes with its Deployment: no right to delete anybody's."""
LIST_DEPLOYMENTS: Final = Access(verb="list", resource=DEPLOYMENTS, accept=METADATA_LIST)
WATCH_DEPLOYMENTS: Final = Access(verb="watch", resource=DEPLOYMENTS, accept=METADATA_ONLY)
LIST_SERVICES: Final = Access(verb="list", resource=SERVICES, accept=METADATA_LIST)
WATCH_SERVICES: Final = Access(verb="watch", resource=SERVICES, accept=METADATA_ONLY)
LIST_NETWORK_POLICIES: Final = Access(verb="list", resource=NETWORK_POLICIES, accept=METADATA_LIST)
WATCH_NETWORK_POLICIES: Final = Access(verb="watch", resource=NETWORK_POLICIES, accept=METADATA_ONLY)
LIST_BUDGETS: Final = Access(verb="list", resource=BUDGETS, accept=METADATA_LIST)
WATCH_BUDGETS: Final = Access(verb="watch", resource=BUDGETS, accept=METADATA_ONLY)

ENDPOINTS: Final = _of("discovery.k8s.io", "v1", "endpointslices")
GET_API_ENDPOINTS: Final = Access(verb="get", resource=ENDPOINTS, scope=Scope.DEFAULT, name="kubernetes")
"""Where the API server is: the only place besides DNS that an isolated server's Pod may reach."""

BINDINGS: Final = _of("rbac.authorization.k8s.io", "v1", "clusterrolebindings")
GET_GUARD_BINDING: Final = Access(verb="get", resource=BINDINGS, scope=Scope.CLUSTER, name=names.GUARD_ROLE)
PATCH_GUARD_BINDING: Final = Access(
    verb="patch", resource=BINDINGS, scope=Scope.CLUSTER, name=names.GUARD_ROLE, content=MERGE_PATCH
)
BIND_GUARD_ROLE: Final = Access(
    verb="bind",
    resource=_of("rbac.authorization.k8s.io", "v1", "clusterroles"),
    scope=Scope.CLUSTER,
    name=names.GUARD_ROLE,
)
"""Naming others in the binding takes this, or all that the role allows."""

# --- webhooks
_REGISTRATION = "admissionregistration.k8s.io"
WEBHOOKS: Final = {
    "Mutating": _of(_REGISTRATION, "v1", "mutatingwebhookconfigurations"),
    "Validating": _of(_REGISTRATION, "v1", "validatingwebhookconfigurations"),
}
GET_WEBHOOKS: Final = {
    kind: Access(verb="get", resource=each, scope=Scope.CLUSTER, name=names.WEBHOOKS, feature="injection")
    for kind, each in WEBHOOKS.items()
}
PATCH_WEBHOOKS: Final = {
    kind: Access(
        verb="patch",
        resource=each,
        scope=Scope.CLUSTER,
        name=names.WEBHOOKS,
        feature="injection",
        content=STRATEGIC_PATCH,
    )
    for kind, each in WEBHOOKS.items()
}
"""Whom the API server is to trust there, and at which path it asks."""

# --- the operator's own Secrets
CREATE_OWN_SECRET: Final = Access(verb="create", resource=SECRETS, scope=Scope.OWN)
"""Cannot be limited to a name: that is what the API server does not know yet."""
GET_OWN_SECRETS: Final = {
    name: Access(verb="get", resource=SECRETS, scope=Scope.OWN, name=name)
    for name in (names.CA_SECRET, names.REPORT_SECRET)
}
PATCH_OWN_SECRETS: Final = {
    names.CA_SECRET: Access(verb="patch", resource=SECRETS, scope=Scope.OWN, name=names.CA_SECRET, content=MERGE_PATCH)
}

# --- around them
NAMESPACES: Final = Resource(plural="namespaces")
GET_NAMESPACE: Final = Access(verb="get", resource=NAMESPACES, scope=Scope.CLUSTER)
LIST_NAMESPACES: Final = Access(verb="list", resource=NAMESPACES, scope=Scope.CLUSTER)
WATCH_NAMESPACES: Final = Access(verb="watch", resource=NAMESPACES, scope=Scope.CLUSTER)

EVENTS: Final = _of("events.k8s.io", "v1", "events")
CREATE_EVENT: Final = Access(verb="create", resource=EVENTS)
CREATE_CLUSTER_EVENT: Final = Access(verb="create", resource=EVENTS, scope=Scope.DEFAULT)
"""About a ToolPolicy."""

DEFINITIONS: Final = _of("apiextensions.k8s.io", "v1", "customresourcedefinitions")
LIST_DEFINITIONS: Final = Access(verb="list", resource=DEFINITIONS, scope=Scope.CLUSTER)
WATCH_DEFINITIONS: Final = Access(verb="watch", resource=DEFINITIONS, scope=Scope.CLUSTER)
"""kopf learns by it that a definition was changed."""

TOKEN_REVIEWS: Final = _of("authentication.k8s.io", "v1", "tokenreviews")
CREATE_TOKEN_REVIEW: Final = Access(verb="create", resource=TOKEN_REVIEWS, scope=Scope.CLUSTER, feature="readApi")
"""Whose token a caller of the read API shows."""
ACCESS_REVIEWS: Final = _of("authorization.k8s.io", "v1", "subjectaccessreviews")
CREATE_ACCESS_REVIEW: Final = Access(verb="create", resource=ACCESS_REVIEWS, scope=Scope.CLUSTER, feature="readApi")
"""What that caller may see."""

LEASES: Final = _of("coordination.k8s.io", "v1", "leases")
CREATE_LEASE: Final = Access(verb="create", resource=LEASES, scope=Scope.OWN)
"""Cannot be limited to a name: that is what the API server does not know yet."""
GET_LEASE: Final = Access(verb="get", resource=LEASES, scope=Scope.OWN, name=names.LEASE)
REPLACE_LEASE: Final = Access(verb="update", resource=LEASES, scope=Scope.OWN, name=names.LEASE)


def every() -> Iterator[Access]:
    """Give every right of this module."""
    for value in globals().values():
        if isinstance(value, Access):
            yield value
        elif isinstance(value, dict):
            yield from (each for each in value.values() if isinstance(each, Access))


def rules(rights: Iterable[Access]) -> list[dict[str, Any]]:
    """Give the rules of a role that has these rights, in the order of their groups and resources."""
    verbs: dict[tuple[str, str, str], set[str]] = {}
    for right in rights:
        place = (right.resource.group, right.resource.full, right.name)
        verbs.setdefault(place, set()).add(right.verb)
    merged: dict[tuple[str, tuple[str, ...], str], list[str]] = {}
    for (group, resource, name), allowed in verbs.items():
        merged.setdefault((group, tuple(verb for verb in METHODS if verb in allowed), name), []).append(resource)
    return [
        {
            "apiGroups": [group],
            "resources": sorted(resources),
            **({"resourceNames": [name]} if name else {}),
            "verbs": list(allowed),
        }
        for (group, allowed, name), resources in sorted(merged.items(), key=lambda item: (item[0][0], item[1]))
    ]

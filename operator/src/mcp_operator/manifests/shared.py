"""What a shared server is made of: Pods of its own, in each a guard in front of it, and what leads to them. Pure.

A server that speaks stdio is joined to its guard by pipes, as in an agent's Pod. One that speaks HTTP is told to listen
on the loopback address; whether it does is its own affair, so a NetworkPolicy lets nobody in but to the guard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mcp_operator import names
from mcp_operator.manifests import security, sidecars
from mcp_operator.manifests import servers as server_containers
from mcp_operator.manifests.metadata import of_server
from mcp_operator.models.run import SHARED_TEMPLATE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_operator.manifests.servers import RunningServer
    from mcp_operator.models.server import MCPServerSpec
    from mcp_operator.objects import Resource
    from mcp_operator.settings import Settings

END_SECONDS: Final = 80
"""For a Pod's end: the guard drains for twelve seconds, forty if clients still come, and lets calls finish for thirty;
then the server ends."""
PROGRESS_SECONDS: Final = 600
"""Until a rollout that does not get on counts as failed; it is tried on."""
TOKEN_SECONDS: Final = 3607
"""What Kubernetes itself asks for."""
LISTEN_VARIABLES: Final = ("HOST", "MCP_HOST", "FASTMCP_HOST", "UVICORN_HOST", "BIND_ADDRESS")
"""By which HTTP servers are commonly told where to listen. One that listens elsewhere is still behind the policy."""
LOOPBACK: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8080
DEFAULT_PATH: Final = "/mcp"
"""Of an HTTP server of which neither its owner nor the handshake says where it listens."""
SCHEDULING: Final = tuple(SHARED_TEMPLATE["properties"]["spec"]["properties"])
"""What an owner may say of the Pods: where they run, never what is in them."""

_CONFIG: Final = f"{names.CONFIG_PATH}/{names.CONFIG_FILE}"


@dataclass(frozen=True, kw_only=True)
class Shared:
    """A shared server as it is to run.

    Attributes:
        server: Whose it is.
        running: Its image and what belongs to it.
        transport: ``stdio``, ``streamable-http`` or ``sse``.
        port: Where it listens, for HTTP.
        path: Of its endpoint, for HTTP.
    """

    server: Resource[MCPServerSpec]
    running: RunningServer
    transport: str
    port: int = 0
    path: str = "/"

    @property
    def is_http(self) -> bool:
        """Whether it listens on a port."""
        return self.transport != "stdio"


def metadata(server: Resource[MCPServerSpec], name: str) -> dict[str, Any]:
    """Give the metadata of an object that goes when its MCPServer goes."""
    return {
        "name": name,
        "namespace": server.namespace,
        "labels": _labels(server),
        "ownerReferences": [of_server(server.name, server.uid)],
    }


def service_account(server: Resource[MCPServerSpec]) -> dict[str, Any]:
    """Give the account of the guard, which alone has its token."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(server, names.guard(server.name)),
        "automountServiceAccountToken": False,
    }


def config_map(server: Resource[MCPServerSpec], written: str) -> dict[str, Any]:
    """Give the ConfigMap with the guard's configuration."""
    return _config_map(server, names.guard(server.name), {names.CONFIG_FILE: written})


def ca_config_map(server: Resource[MCPServerSpec], bundle: str) -> dict[str, Any]:
    """Give the ConfigMap with the authorities that agents trust for this server."""
    return _config_map(server, names.guard_ca_config_map(server.name), {names.CA_FILE: bundle})


def _config_map(server: Resource[MCPServerSpec], name: str, data: dict[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(server, name), "data": data}


def tls_secret(server: Resource[MCPServerSpec], pair: Mapping[str, str], deployment_uid: str) -> dict[str, Any]:
    """Give the Secret with the guard's certificate, which goes when its Deployment goes.

    Args:
        server: Whose.
        pair: Certificate and key as a Secret has them.
        deployment_uid: Of the Deployment.
    """
    owner = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": names.guard(server.name),
        "uid": deployment_uid,
        "controller": True,
    }
    written = metadata(server, names.guard_tls_secret(server.name))
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {**written, "ownerReferences": [owner]},
        "data": dict(pair),
    }


def service(server: Resource[MCPServerSpec]) -> dict[str, Any]:
    """Give the Service. An agent stays with the Pod in which its session is, as long as there is that Pod."""
    port = {"name": "https", "port": names.GUARD_PORT, "targetPort": names.GUARD_PORT, "protocol": "TCP"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(server, names.guard(server.name)),
        "spec": {"selector": _labels(server), "ports": [port], "sessionAffinity": "ClientIP"},
    }


def disruption_budget(server: Resource[MCPServerSpec]) -> dict[str, Any]:
    """Give the budget, for a server with more than one Pod: drains take them one after the other."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(server, names.guard(server.name)),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": _labels(server)}},
    }


def deployment(shared: Shared, settings: Settings) -> dict[str, Any]:
    """Give the Deployment: a new Pod takes calls before an old one stops to."""
    server = shared.server
    wanted = server.spec.run.shared
    written = (wanted.pod_template or {}).get("metadata") or {}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(server, names.guard(server.name)),
        "spec": {
            "replicas": wanted.replicas,
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": PROGRESS_SECONDS,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "selector": {"matchLabels": _labels(server)},
            "template": {
                "metadata": {
                    "labels": {**_foreign(written.get("labels")), **_labels(server)},
                    "annotations": {DEFAULT_CONTAINER: names.GUARD_CONTAINER, **_foreign(written.get("annotations"))},
                },
                "spec": _pod(shared, settings),
            },
        },
    }


DEFAULT_CONTAINER: Final = "kubectl.kubernetes.io/default-container"


def _pod(shared: Shared, settings: Settings) -> dict[str, Any]:
    server, running = shared.server, shared.running
    written = (server.spec.run.shared.pod_template or {}).get("spec") or {}
    return {
        "affinity": _apart(server),
        **{key: written[key] for key in SCHEDULING if written.get(key) is not None},
        "serviceAccountName": names.guard(server.name),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": END_SECONDS,
        **({"imagePullSecrets": [{"name": name} for name in running.pull_secrets]} if running.pull_secrets else {}),
        # The server is up before its guard and ends after it. Its spawner waits until the guard has made the pipes.
        "initContainers": [sidecars.install(settings.image_wrapper), _server(shared)],
        "containers": [_guard(shared, settings.image_toolman)],
        "volumes": [
            *sidecars.volumes(names.guard(server.name)),
            *_volumes(shared),
            {"name": names.GUARD_TLS_VOLUME, "secret": {"secretName": names.guard_tls_secret(server.name)}},
            {"name": names.GUARD_ACCOUNT_VOLUME, "projected": {"sources": _account()}},
        ],
    }


def _server(shared: Shared) -> dict[str, Any]:
    """Give the server's container: behind the spawner, or as it starts by itself where it speaks HTTP."""
    made = server_containers.container(shared.running, 0)
    if not shared.is_http:
        return made
    given = {variable["name"] for variable in made["env"]}
    told = {**dict.fromkeys(LISTEN_VARIABLES, LOOPBACK), "PORT": str(shared.port)}
    ours = {names.INSTALL_VOLUME, names.pipes_volume(shared.running.name)}
    return {
        **made,
        "command": server_containers.start_command(shared.running),
        "env": [*made["env"], *({"name": name, "value": told[name]} for name in told if name not in given)],
        "volumeMounts": [mount for mount in made["volumeMounts"] if mount["name"] not in ours],
    }


def _volumes(shared: Shared) -> list[dict[str, Any]]:
    made = server_containers.volumes(shared.running)
    pipes = names.pipes_volume(shared.running.name)
    return [volume for volume in made if not (shared.is_http and volume["name"] == pipes)]


def _guard(shared: Shared, image: str) -> dict[str, Any]:
    name = shared.running.name
    alive = {"httpGet": {"path": "/livez", "port": names.ADMIN_PORT}, "timeoutSeconds": sidecars.PROBE_TIMEOUT}
    ready = {"httpGet": {"path": "/readyz", "port": names.ADMIN_PORT}, "timeoutSeconds": sidecars.PROBE_TIMEOUT}
    pipes = {"name": names.pipes_volume(name), "mountPath": names.pipes_directory(name)}
    return {
        "name": names.GUARD_CONTAINER,
        "image": image,
        "args": ["serve", "--config", _CONFIG],
        "ports": [
            {"name": "https", "containerPort": names.GUARD_PORT, "protocol": "TCP"},
            {"name": "admin", "containerPort": names.ADMIN_PORT, "protocol": "TCP"},
        ],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "2", "memory": "512Mi"}},
        "startupProbe": {
            **alive,
            "periodSeconds": sidecars.START_PERIOD,
            "failureThreshold": sidecars.START_FAILURES,
        },
        "livenessProbe": {**alive, "periodSeconds": 10, "failureThreshold": 3},
        "readinessProbe": {**ready, "periodSeconds": 2, "failureThreshold": 2},
        "securityContext": security.ours(names.TOOLMAN_UID),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": names.CONFIG_VOLUME, "mountPath": names.CONFIG_PATH, "readOnly": True},
            {"name": names.GUARD_TLS_VOLUME, "mountPath": names.GUARD_TLS_PATH, "readOnly": True},
            {"name": names.GUARD_ACCOUNT_VOLUME, "mountPath": names.GUARD_ACCOUNT_PATH, "readOnly": True},
            *([] if shared.is_http else [pipes]),
        ],
    }


def _account() -> list[dict[str, Any]]:
    authority = {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    return [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": TOKEN_SECONDS}},
        {"configMap": authority},
    ]


def _apart(server: Resource[MCPServerSpec]) -> dict[str, Any]:
    """Have its Pods on different nodes where there are some."""
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": _labels(server)}}
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}


def _labels(server: Resource[MCPServerSpec]) -> dict[str, str]:
    return {names.MANAGED_BY: names.MANAGER, names.LABEL_SERVER: server.name}


def _foreign(written: Mapping[str, str] | None) -> dict[str, str]:
    """Leave out what would say something that only the operator may say."""
    return {key: value for key, value in (written or {}).items() if key.partition("/")[0] != names.GROUP}

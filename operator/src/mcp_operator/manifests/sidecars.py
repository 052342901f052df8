"""Our own containers in an agent's Pod: one that installs the wrapper, toolman, and one that waits for tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcp_operator import names
from mcp_operator.manifests import security, upstreams
from mcp_operator.manifests.agent import WRAPPER_VARIABLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp_operator.manifests.servers import RunningServer
    from mcp_operator.manifests.upstreams import Upstream

INSTALL_LIMIT = "64Mi"
"""Three times what the wrapper's image holds."""
START_PERIOD = 1
"""Seconds: everything else in the Pod waits for toolman."""
START_FAILURES = 120
"""On a machine so busy that Python takes two minutes, something else is wrong."""
PROBE_TIMEOUT = 5
"""Seconds. A second, the default, is too little for a busy machine; a toolman that hangs takes longer."""

_CONFIG = f"{names.CONFIG_PATH}/{names.CONFIG_FILE}"
_CONFIG_MOUNT = {"name": names.CONFIG_VOLUME, "mountPath": names.CONFIG_PATH, "readOnly": True}


def install(image: str) -> dict[str, Any]:
    """Give the init container that fills the volume with the wrapper, busybox, the spawner, and clients' settings.

    Those say what the agent's own variables say, for clients that start their servers without them.
    """
    return {
        **_container(names.INSTALL_CONTAINER, image, ["install", names.INSTALL_PATH]),
        "env": [*WRAPPER_VARIABLES],
        "resources": _resources(request="16Mi", limit="64Mi"),
        "volumeMounts": [{"name": names.INSTALL_VOLUME, "mountPath": names.INSTALL_PATH}],
    }


def toolman(image: str, servers: Sequence[RunningServer], outside: Sequence[Upstream] = ()) -> dict[str, Any]:
    """Give the native sidecar. It makes the pipes, so the servers start after it; it mounts every server's volume.

    Args:
        image: toolman's.
        servers: In this Pod.
        outside: Shared and remote ones.
    """
    alive = {"httpGet": {"path": "/livez", "port": names.ADMIN_PORT}, "timeoutSeconds": PROBE_TIMEOUT}
    return {
        **_container(names.TOOLMAN_CONTAINER, image, ["serve", "--config", _CONFIG]),
        "restartPolicy": "Always",
        # Idle 33 MB, 45 MB after results of 10 MiB; the limit leaves room for several of those at once.
        "resources": _resources(request="48Mi", limit="256Mi", cpu="50m"),
        "startupProbe": {**alive, "periodSeconds": START_PERIOD, "failureThreshold": START_FAILURES},
        "livenessProbe": {**alive, "periodSeconds": 10, "failureThreshold": 3},
        "volumeMounts": [
            _CONFIG_MOUNT,
            *(
                {"name": names.pipes_volume(server.name), "mountPath": names.pipes_directory(server.name)}
                for server in servers
            ),
            *upstreams.mounts(outside),
        ],
    }


def await_tools(image: str, required: Sequence[str]) -> dict[str, Any]:
    """Give the init container that ends when the required tools are there; its last log lines name what is missing."""
    requirements = [part for tool in required for part in ("--require", tool.replace("$", "$$"))]
    return {
        **_container(names.AWAIT_CONTAINER, image, ["await", "--config", _CONFIG, *requirements]),
        "resources": _resources(request="32Mi", limit="64Mi"),
        "volumeMounts": [_CONFIG_MOUNT],
    }


def volumes(agent_config_map: str) -> list[dict[str, Any]]:
    """Give the volumes of these containers."""
    return [
        {"name": names.INSTALL_VOLUME, "emptyDir": {"sizeLimit": INSTALL_LIMIT}},
        {"name": names.CONFIG_VOLUME, "configMap": {"name": agent_config_map}},
    ]


def _container(name: str, image: str, args: list[str]) -> dict[str, Any]:
    return {
        "name": name,
        "image": image,
        "args": args,
        "securityContext": security.ours(names.TOOLMAN_UID),
        # So that a Pod's status says why, without reading logs.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _resources(*, request: str, limit: str, cpu: str = "10m") -> dict[str, Any]:
    return {"requests": {"cpu": cpu, "memory": request}, "limits": {"cpu": "1", "memory": limit}}

"""The container of an MCP server in an agent's Pod: its image, our spawner, its own pipes and nothing else of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mcp_operator import names
from mcp_operator.manifests import security

if TYPE_CHECKING:
    from mcp_operator.models.server import EnvVar, ResourceList, Run

PIPES_LIMIT = "1Mi"
"""Of the volume in memory; what is in a pipe is not on the volume."""
TEMPORARY_LIMIT = "1Gi"
"""A server that fills more ends its own Pod, not the node."""


@dataclass(frozen=True, kw_only=True)
class RunningServer:
    """An MCPServer with an image in service.

    Attributes:
        name: Of the MCPServer.
        image: Reference by digest.
        command: The whole start command.
        working_dir: Folder in which it starts.
        run: What its owner wants besides.
    """

    name: str
    image: str
    command: tuple[str, ...]
    working_dir: str
    run: Run


def container(server: RunningServer, index: int) -> dict[str, Any]:
    """Give the native sidecar of the ``index``-th server of a Pod."""
    command = (names.BUSYBOX_PATH, "sh", names.SPAWNER_PATH, names.PIPES_PATH)
    given = {variable.name for variable in server.run.env}
    home = [] if "HOME" in given else [{"name": "HOME", "value": names.SERVER_HOME}]
    return {
        "name": names.server_container(server.name),
        "image": server.image,
        "imagePullPolicy": "IfNotPresent",
        "restartPolicy": "Always",
        "command": [*command, *map(_literal, (*server.command, *server.run.args))],
        "workingDir": server.working_dir,
        "env": [*home, *map(_variable, server.run.env)],
        "resources": _resources(server.run),
        "securityContext": security.ours(names.server_uid(index)),
        "volumeMounts": [
            {"name": names.INSTALL_VOLUME, "mountPath": names.INSTALL_PATH, "readOnly": True},
            # Reading and writing pipes works on a read-only mount; making, renaming and linking does not.
            {"name": names.pipes_volume(server.name), "mountPath": names.PIPES_PATH, "readOnly": True},
            {"name": names.temporary_volume(server.name), "mountPath": names.SERVER_HOME},
        ],
    }


def volumes(server: RunningServer) -> list[dict[str, Any]]:
    """Give the volumes of a server: the one that joins it to toolman, and one for its temporary files."""
    return [
        {"name": names.pipes_volume(server.name), "emptyDir": {"medium": "Memory", "sizeLimit": PIPES_LIMIT}},
        {"name": names.temporary_volume(server.name), "emptyDir": {"sizeLimit": TEMPORARY_LIMIT}},
    ]


def _literal(text: str) -> str:
    """Keep the kubelet from expanding ``$(NAME)``: a server starts as it did when its image was verified."""
    return text.replace("$", "$$")


def _variable(variable: EnvVar) -> dict[str, Any]:
    if variable.value_from is not None:
        source = variable.value_from.model_dump(by_alias=True, exclude_none=True)
        return {"name": variable.name, "valueFrom": source}
    return {"name": variable.name, "value": _literal(variable.value or "")}


def _resources(run: Run) -> dict[str, Any]:
    return {"requests": _quantities(run.resources.requests), "limits": _quantities(run.resources.limits)}


def _quantities(resources: ResourceList) -> dict[str, str]:
    return resources.model_dump(exclude_none=True)

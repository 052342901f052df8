"""The container of an MCP server in an agent's Pod: its image, our spawner, its own pipes and nothing else of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mcp_operator import names
from mcp_operator.manifests import files, security

if TYPE_CHECKING:
    from toolman.manifest import Tool

    from mcp_operator.models.run import EnvFrom, EnvVar, ResourceList, Run

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
        pull_secrets: Names of the Secrets with which its image is pulled.
        inputs: Hexadecimal digits that are others whenever what it gets from Secrets and ConfigMaps is; may be empty.
        manifest: Its tools as they were verified; None where they are not known.
    """

    name: str
    image: str
    command: tuple[str, ...]
    working_dir: str
    run: Run
    pull_secrets: tuple[str, ...] = ()
    inputs: str = ""
    manifest: tuple[Tool, ...] | None = None

    @property
    def reference(self) -> str:
        """What its container names: another text, and so another start, for other inputs."""
        return names.restarting_reference(self.image, self.inputs)


def container(server: RunningServer, index: int) -> dict[str, Any]:
    """Give the native sidecar of the ``index``-th server of a Pod."""
    command = (names.BUSYBOX_PATH, "sh", names.SPAWNER_PATH, names.PIPES_PATH)
    given = {variable.name for variable in server.run.env}
    home = [] if "HOME" in given else [{"name": "HOME", "value": names.SERVER_HOME}]
    return {
        "name": names.server_container(server.name),
        "image": server.reference,
        "imagePullPolicy": "IfNotPresent",
        "restartPolicy": "Always",
        "command": [*command, *start_command(server)],
        "workingDir": server.working_dir,
        "env": [*home, *map(_variable, server.run.env)],
        **({"envFrom": [_whole(source) for source in server.run.env_from]} if server.run.env_from else {}),
        "resources": _resources(server.run),
        "securityContext": security.ours(names.server_uid(index)),
        "volumeMounts": [
            {"name": names.INSTALL_VOLUME, "mountPath": names.INSTALL_PATH, "readOnly": True},
            # Reading and writing pipes works on a read-only mount; making, renaming and linking does not.
            {"name": names.pipes_volume(server.name), "mountPath": names.PIPES_PATH, "readOnly": True},
            {"name": names.temporary_volume(server.name), "mountPath": names.SERVER_HOME},
            *files.mounts(server.name, server.run),
        ],
    }


def start_command(server: RunningServer) -> list[str]:
    """Give the words with which a server is started."""
    return [*map(_literal, (*server.command, *server.run.args))]


def volumes(server: RunningServer) -> list[dict[str, Any]]:
    """Give the volumes of a server: the one that joins it to toolman, one for temporary files, one for its owner's."""
    return [
        {"name": names.pipes_volume(server.name), "emptyDir": {"medium": "Memory", "sizeLimit": PIPES_LIMIT}},
        {"name": names.temporary_volume(server.name), "emptyDir": {"sizeLimit": TEMPORARY_LIMIT}},
        *files.volumes(server.name, server.run),
    ]


def _literal(text: str) -> str:
    """Keep the kubelet from expanding ``$(NAME)``: a server starts as it did when its image was verified."""
    return text.replace("$", "$$")


def _variable(variable: EnvVar) -> dict[str, Any]:
    if variable.value_from is not None:
        source = variable.value_from.model_dump(by_alias=True, exclude_none=True)
        return {"name": variable.name, "valueFrom": source}
    return {"name": variable.name, "value": _literal(variable.value or "")}


def _whole(source: EnvFrom) -> dict[str, Any]:
    """Write one entry of ``envFrom``, in which a Pod's references are objects as well."""
    return source.model_dump(by_alias=True, exclude_none=True)


def _resources(run: Run) -> dict[str, Any]:
    return {"requests": _quantities(run.resources.requests), "limits": _quantities(run.resources.limits)}


def _quantities(resources: ResourceList) -> dict[str, str]:
    return resources.model_dump(exclude_none=True)

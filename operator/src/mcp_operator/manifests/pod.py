"""An agent's Pod."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcp_operator import names
from mcp_operator.manifests import agent as agents
from mcp_operator.manifests import servers as server_containers
from mcp_operator.manifests import sidecars
from mcp_operator.manifests.metadata import digest, metadata

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcp_operator.manifests.servers import RunningServer
    from mcp_operator.models.agent import MCPAgentSpec
    from mcp_operator.objects import Resource
    from mcp_operator.settings import Settings

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
"""Annotation: which container ``kubectl logs`` and ``kubectl exec`` mean."""


def agent_pod(
    agent: Resource[MCPAgentSpec],
    servers: Sequence[RunningServer],
    config_hash: str,
    settings: Settings,
) -> dict[str, Any]:
    """Give the Pod of an agent whose template :func:`mcp_operator.manifests.template.unsafe` has nothing against.

    The order of the init containers is the order of the start: the wrapper, toolman, the servers, waiting for the
    required tools; then the user's init containers and containers.

    Args:
        agent: Whose Pod it is.
        servers: Those that are to run in it; their order decides their users.
        config_hash: Of toolman's configuration. It can change without another Pod.
        settings: Whose images of ours are used.
    """
    template = agent.spec.template or {}
    spec = template["spec"]
    result: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _metadata(agent, template),
        "spec": {
            "restartPolicy": "Always",
            "enableServiceLinks": False,
            **spec,
            "automountServiceAccountToken": False,
            "initContainers": [
                sidecars.install(settings.image_wrapper),
                sidecars.toolman(settings.image_toolman, servers),
                *(server_containers.container(server, index) for index, server in enumerate(servers)),
                sidecars.await_tools(settings.image_toolman, agent.spec.required_tools),
                *(agents.container(each, spec) for each in spec.get("initContainers") or []),
            ],
            "containers": [agents.container(each, spec) for each in spec["containers"]],
            "volumes": [
                *agents.volumes(spec),
                *sidecars.volumes(names.config_map(agent.name)),
                *(volume for server in servers for volume in server_containers.volumes(server)),
            ],
        },
    }
    annotations = result["metadata"]["annotations"]
    result["metadata"]["annotations"] = {
        **annotations,
        names.ANNOTATION_POD_HASH: digest(result),
        names.ANNOTATION_CONFIG_HASH: config_hash,
    }
    return result


def _metadata(agent: Resource[MCPAgentSpec], template: Mapping[str, Any]) -> dict[str, Any]:
    written = template.get("metadata") or {}
    ours = metadata(agent, names.pod(agent.name))
    first = template["spec"]["containers"][0]["name"]
    return {
        **ours,
        "labels": {**(written.get("labels") or {}), **ours["labels"]},
        "annotations": {DEFAULT_CONTAINER: first, **(written.get("annotations") or {})},
    }

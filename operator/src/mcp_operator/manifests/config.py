"""toolman's configuration for an agent, and the ConfigMap that carries it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from mcp_operator import names
from mcp_operator.manifests.metadata import metadata
from toolman import config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolman.policy import Layer

    from mcp_operator.manifests.servers import RunningServer
    from mcp_operator.models.agent import MCPAgentSpec
    from mcp_operator.objects import Resource

_NAMING: dict[str, config.Naming] = {"Prefixed": "prefixed", "Plain": "plain"}


def toolman_config(
    agent: Resource[MCPAgentSpec],
    servers: Sequence[RunningServer],
    layers: Sequence[Layer],
) -> config.Config:
    """Give what toolman reads in an agent's Pod.

    Args:
        agent: Whose Pod it is.
        servers: In the order in which :func:`mcp_operator.manifests.pod.agent_pod` gets them: it decides their users.
        layers: Who allows and denies what; see :mod:`mcp_operator.layers`.
    """
    return config.Config(
        listen=config.Listen(
            loopback=True,
            port=names.TOOLMAN_PORT,
            refuse_uids=tuple(names.server_uid(index) for index in range(len(servers))),
        ),
        admin=config.Admin(port=names.ADMIN_PORT),
        naming=_NAMING[agent.spec.tool_names],
        servers=tuple(
            config.Server(name=server.name, upstream=config.Pipes(directory=names.pipes_directory(server.name)))
            for server in servers
        ),
        layers=tuple(layers),
    )


def config_map(agent: Resource[MCPAgentSpec], written: config.Config) -> dict[str, Any]:
    """Give the ConfigMap that is mounted into toolman's container."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(agent, names.config_map(agent.name)),
        "data": {names.CONFIG_FILE: config.dumps(written).decode()},
    }


def config_hash(written: config.Config) -> str:
    """Hash a configuration: another hash in the Pod's annotation makes the kubelet refresh the file at once."""
    return hashlib.sha256(config.dumps(written)).hexdigest()

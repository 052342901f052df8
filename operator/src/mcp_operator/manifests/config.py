"""toolman's configuration for an agent, and the ConfigMap that carries it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from mcp_operator import names
from mcp_operator.manifests import upstreams
from mcp_operator.manifests.metadata import metadata
from mcp_operator.manifests.upstreams import Upstream
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
    servers: Sequence[RunningServer | Upstream],
    layers: Sequence[Layer],
    users: int | None = None,
    report_hash: str | None = None,
) -> config.Config:
    """Give what toolman reads in an agent's Pod.

    Args:
        agent: Whose Pod it is.
        servers: In the order in which :func:`mcp_operator.manifests.pod.agent_pod` gets them: it decides their users.
        layers: Who allows and denies what; see :mod:`mcp_operator.layers`.
        users: How many containers of servers there may be in the Pod; without, as many as there are in ``servers``.
        report_hash: Of the token with which the operator asks for reports; None where it does not.
    """
    if users is None:
        users = sum(not isinstance(server, Upstream) for server in servers)
    return config.Config(
        listen=config.Listen(
            loopback=True,
            port=names.TOOLMAN_PORT,
            refuse_uids=tuple(names.server_uid(index) for index in range(users)),
        ),
        admin=config.Admin(
            port=names.ADMIN_PORT,
            token=config.Token(sha256=report_hash) if report_hash is not None else None,
        ),
        naming=_NAMING[agent.spec.tool_names],
        servers=tuple(_server(server) for server in servers),
        layers=tuple(layers),
    )


def _server(server: RunningServer | Upstream) -> config.Server:
    if isinstance(server, Upstream):
        return config.Server(
            name=server.name,
            upstream=upstreams.upstream(server),
            manifest=server.manifest,
            server_requests=server.server_requests,
        )
    return config.Server(
        name=server.name,
        upstream=config.Pipes(directory=names.pipes_directory(server.name)),
        manifest=server.manifest,
        server_requests=tuple(server.run.server_requests),
    )


def config_map(agent: Resource[MCPAgentSpec], written: config.Config) -> dict[str, Any]:
    """Give the ConfigMap that is mounted into toolman's container."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(agent, names.config_map(agent.name)),
        "data": {names.CONFIG_FILE: config.dumps(written).decode()},
    }


def config_hash(written: config.Config, inputs: str = "") -> str:
    """Hash a configuration: another hash in the Pod's annotation makes the kubelet refresh the file at once.

    Args:
        written: The configuration.
        inputs: Others whenever what toolman gets from Secrets and ConfigMaps is, which the kubelet refreshes as well.
    """
    return hashlib.sha256(config.dumps(written) + inputs.encode()).hexdigest()

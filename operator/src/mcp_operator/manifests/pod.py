"""An agent's Pod."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mcp_operator import names
from mcp_operator.manifests import agent as agents
from mcp_operator.manifests import servers as server_containers
from mcp_operator.manifests import sidecars, upstreams
from mcp_operator.manifests.metadata import digest, metadata
from mcp_operator.manifests.servers import RunningServer
from mcp_operator.manifests.upstreams import Upstream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcp_operator.models.agent import MCPAgentSpec
    from mcp_operator.objects import Resource
    from mcp_operator.settings import Settings

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
"""Annotation: which container ``kubectl logs`` and ``kubectl exec`` mean."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run to completion.

    Attributes:
        key: Hash of the spec that it belongs to.
        seconds: How long its Pod may run; None for no limit.
    """

    key: str
    seconds: int | None = None


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What we add to the user's Pod, whoever makes it.

    Attributes:
        init_containers: Ours, before the user's; in the order of the start.
        volumes: Those of our containers.
        pull_secrets: Names of the Secrets with which the servers' images are pulled.
    """

    init_containers: list[dict[str, Any]]
    volumes: list[dict[str, Any]]
    pull_secrets: list[str]


def parts(
    agent: Resource[MCPAgentSpec],
    servers: Sequence[RunningServer | Upstream],
    settings: Settings,
) -> Parts:
    """Give what an agent's Pod holds besides the user's containers.

    The order of the init containers is the order of the start: the wrapper, toolman, the servers, waiting for the
    required tools.

    Args:
        agent: Whose Pod it is.
        servers: All that it names; the order of those in the Pod decides their users.
        settings: Whose images of ours are used.
    """
    inside = [server for server in servers if isinstance(server, RunningServer)]
    outside = [server for server in servers if isinstance(server, Upstream)]
    return Parts(
        init_containers=[
            sidecars.install(settings.image_wrapper),
            sidecars.toolman(settings.image_toolman, inside, outside),
            *(server_containers.container(server, index) for index, server in enumerate(inside)),
            sidecars.await_tools(settings.image_toolman, agent.spec.required_tools),
        ],
        volumes=[
            *sidecars.volumes(names.config_map(agent.name)),
            *(volume for server in inside for volume in server_containers.volumes(server)),
            *(volume for server in outside for volume in upstreams.volumes(server)),
        ],
        pull_secrets=list(dict.fromkeys(secret for server in inside for secret in server.pull_secrets)),
    )


def agent_pod(
    agent: Resource[MCPAgentSpec],
    servers: Sequence[RunningServer | Upstream],
    config_hash: str,
    settings: Settings,
    run: Run | None = None,
) -> dict[str, Any]:
    """Give the Pod of an agent whose template :func:`mcp_operator.manifests.template.unsafe` has nothing against.

    Args:
        agent: Whose Pod it is.
        servers: As for :func:`parts`.
        config_hash: Of toolman's configuration. It can change without another Pod.
        settings: Whose images of ours are used.
        run: For an agent that runs to completion.
    """
    result = _pod(agent, parts(agent, servers, settings), run)
    result["metadata"]["annotations"] |= {
        names.ANNOTATION_POD_HASH: _lasting(agent, servers, settings),
        **changing_annotations(servers, config_hash),
        **({names.ANNOTATION_RUN: run.key} if run is not None else {}),
    }
    return result


def changing_annotations(servers: Sequence[RunningServer | Upstream], config_hash: str) -> dict[str, str]:
    """Give the annotations that say what of a Pod can change while it runs."""
    references = {server.name: server.reference for server in servers if isinstance(server, RunningServer)}
    outside = {server.name: upstreams.volumes(server) for server in servers if isinstance(server, Upstream)}
    return {
        names.ANNOTATION_CONFIG_HASH: config_hash,
        names.ANNOTATION_SERVER_IMAGES: _json(references),
        names.ANNOTATION_UPSTREAMS: _json({name: digest(volumes) for name, volumes in outside.items() if volumes}),
    }


def _lasting(agent: Resource[MCPAgentSpec], servers: Sequence[RunningServer | Upstream], settings: Settings) -> str:
    """Hash what cannot change while a Pod runs: neither the servers' images nor, since fewer do no harm, volumes."""
    inside = [
        # The inputs of an image that is not named by digest cannot be told to the kubelet by another reference.
        replace(server, image="", inputs="" if server.reference != server.image else server.inputs)
        for server in servers
        if isinstance(server, RunningServer)
    ]
    made = _pod(agent, parts(agent, inside, settings), None)
    return digest([made, [server.inputs for server in inside]] if any(server.inputs for server in inside) else made)


def _pod(agent: Resource[MCPAgentSpec], ours: Parts, run: Run | None) -> dict[str, Any]:
    template = agent.spec.template or {}
    spec = template["spec"]
    result: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _metadata(agent, template),
        "spec": {
            "enableServiceLinks": False,
            **spec,
            "restartPolicy": agent.spec.restart_policy,
            "automountServiceAccountToken": False,
            "initContainers": [
                *ours.init_containers,
                *(agents.container(each, spec) for each in spec.get("initContainers") or []),
            ],
            "containers": [agents.container(each, spec) for each in spec["containers"]],
            "volumes": [*agents.volumes(spec), *ours.volumes],
        },
    }
    if ours.pull_secrets:
        result["spec"]["imagePullSecrets"] = pull_secrets(spec, ours)
    if run is not None and run.seconds is not None:
        result["spec"]["activeDeadlineSeconds"] = run.seconds
    return result


def pull_secrets(spec: Mapping[str, Any], ours: Parts) -> list[dict[str, Any]]:
    """Give the user's image pull secrets, and those of the servers behind them."""
    written = spec.get("imagePullSecrets") or []
    given = {each.get("name") for each in written}
    return [*written, *({"name": name} for name in ours.pull_secrets if name not in given)]


def _metadata(agent: Resource[MCPAgentSpec], template: Mapping[str, Any]) -> dict[str, Any]:
    written = template.get("metadata") or {}
    ours = metadata(agent, names.pod(agent.name))
    first = template["spec"]["containers"][0]["name"]
    return {
        **ours,
        "labels": {**(written.get("labels") or {}), **ours["labels"]},
        "annotations": {DEFAULT_CONTAINER: first, **(written.get("annotations") or {})},
    }


def _json(value: Mapping[str, str]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))

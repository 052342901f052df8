"""An agent's sidecars in a Pod that another workload makes: the patch that puts them there, or why not. Pure.

The Pod is looked at as a user's template is. What is ours in it already, because the API server asks again after other
webhooks have changed it, is taken out first and put in anew: by its name, so that nobody's look-alike stays.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from mcp_operator import names
from mcp_operator.manifests import agent as agents
from mcp_operator.manifests import pod as pods
from mcp_operator.manifests import template
from mcp_operator.manifests.metadata import digest
from mcp_operator.manifests.template import Finding, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp_operator.manifests.pod import Parts
    from mcp_operator.manifests.servers import RunningServer
    from mcp_operator.manifests.upstreams import Upstream
    from mcp_operator.models.agent import MCPAgentSpec
    from mcp_operator.objects import Resource
    from mcp_operator.settings import Settings

OUR_ANNOTATIONS: Final = (
    names.ANNOTATION_CONFIG_HASH,
    names.ANNOTATION_SERVER_IMAGES,
    names.ANNOTATION_UPSTREAMS,
    names.ANNOTATION_IN_PLACE,
    names.ANNOTATION_INJECTED,
    names.ANNOTATION_POD_HASH,
)
NOTHING: Final = Refused()
_LISTS: Final = ("initContainers", "containers", "volumes", "imagePullSecrets")


@dataclass(frozen=True, kw_only=True)
class Injection:
    """What comes of a Pod.

    Attributes:
        patch: JSON patch (RFC 6902); empty when there is nothing to do, or when it is refused.
        refused: Why the Pod must not be made; empty when it may.
    """

    patch: list[dict[str, Any]] = field(default_factory=list)
    refused: str = ""


def inject(
    pod: dict[str, Any],
    agent: Resource[MCPAgentSpec],
    servers: Sequence[RunningServer | Upstream],
    config_hash: str,
    settings: Settings,
    refused: Refused = NOTHING,
) -> Injection:
    """Put an agent's sidecars into a Pod.

    Args:
        pod: As the API server shows it at admission, new or patched by us before.
        agent: The MCPAgent that its label names.
        servers: As for :func:`mcp_operator.manifests.pod.parts`.
        config_hash: Of toolman's configuration.
        settings: Whose images of ours are used.
        refused: What of the MCP servers the Pod may not have.
    """
    ours = pods.parts(agent, servers, settings)
    bare = _without_ours(pod, agent.name, ours)
    written = _as_template(bare, agent.name)
    policy = written["spec"].get("restartPolicy") or "Always"
    findings = [
        *_managed(written["metadata"]["labels"]),
        *template.unsafe(written, refused.secrets, policy, refused.config_maps),
    ]
    if findings:
        where = "; ".join(f"{finding.path}: {finding.reason}" for finding in findings)
        return Injection(refused=f"it could go around the sidecars of MCPAgent {agent.name}: {where}")
    annotations = {
        names.ANNOTATION_INJECTED: agent.uid,
        names.ANNOTATION_POD_HASH: made_from(agent, servers, settings),
        **pods.changing_annotations(servers, config_hash),
    }
    return Injection(patch=_patch(pod, _with_ours(bare, ours, annotations)))


def made_from(agent: Resource[MCPAgentSpec], servers: Sequence[RunningServer | Upstream], settings: Settings) -> str:
    """Hash what is put into Pods now: one that was made with another hash keeps what it has until it is made anew."""
    ours = pods.parts(agent, servers, settings)
    return digest([ours.init_containers, ours.volumes, ours.pull_secrets])


def _managed(labels: object) -> list[Finding]:
    """Find a label that says of a Pod that the operator makes it: nobody would look at it any more."""
    if not isinstance(labels, dict) or labels.get(names.MANAGED_BY) != names.MANAGER:
        return []
    return [Finding(f"metadata.labels.{names.MANAGED_BY}", "is the operator's own; leave it out")]


def _with_ours(bare: dict[str, Any], ours: Parts, annotations: dict[str, str]) -> dict[str, Any]:
    # Its token is in its containers already where it is wanted; the sidecars get none, also when asked again.
    spec = {**bare["spec"], "automountServiceAccountToken": False}
    return {
        "metadata": {
            **bare["metadata"],
            "annotations": {**(bare["metadata"].get("annotations") or {}), **annotations},
        },
        "spec": {
            **spec,
            "initContainers": [
                *ours.init_containers,
                *(agents.container(each, spec) for each in spec.get("initContainers") or []),
            ],
            "containers": [agents.container(each, spec) for each in spec["containers"]],
            "volumes": [*agents.volumes(spec), *ours.volumes],
            **({"imagePullSecrets": pods.pull_secrets(spec, ours)} if ours.pull_secrets else {}),
        },
    }


def _without_ours(pod: dict[str, Any], agent: str, ours: Parts) -> dict[str, Any]:
    """Give a copy of a Pod without what an earlier patch of ours has put there."""
    bare = {"metadata": copy.deepcopy(pod["metadata"]), "spec": copy.deepcopy(pod["spec"])}
    spec = bare["spec"]
    if not _is_injected(pod, agent):
        return bare
    containers = {each["name"] for each in ours.init_containers}
    volumes = {each["name"] for each in ours.volumes}
    spec["initContainers"] = [each for each in _list(spec, "initContainers") if each.get("name") not in containers]
    spec["volumes"] = [each for each in _list(spec, "volumes") if each.get("name") not in volumes]
    for container in (*spec["initContainers"], *_list(spec, "containers")):
        _strip(container)
    given = bare["metadata"].get("annotations") or {}
    bare["metadata"]["annotations"] = {key: value for key, value in given.items() if key not in OUR_ANNOTATIONS}
    return bare


def _strip(container: dict[str, Any]) -> None:
    container["env"] = [each for each in _list(container, "env") if each not in agents.WRAPPER_VARIABLES]
    container["volumeMounts"] = [each for each in _list(container, "volumeMounts") if not _is_ours(each)]


def _is_injected(pod: dict[str, Any], agent: str) -> bool:
    """Tell whether a patch of ours may be in a Pod; where somebody only says so, the same is done."""
    metadata = pod["metadata"]
    is_labelled = (metadata.get("labels") or {}).get(names.LABEL_AGENT) == agent
    return is_labelled and names.ANNOTATION_SERVER_IMAGES in (metadata.get("annotations") or {})


def _is_ours(mount: object) -> bool:
    """Tell whether it is a mount that our own patch gives containers; any other one of that volume is not."""
    if not isinstance(mount, dict):
        return False
    return {key: value for key, value in mount.items() if value not in ("", None)} in agents.OUR_MOUNTS


def _list(holder: dict[str, Any], key: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = holder.get(key) or []
    return found


def _as_template(bare: dict[str, Any], agent: str) -> dict[str, Any]:
    """Give what a user could have written: the one label of ours that he has to write is no matter."""
    metadata = bare["metadata"]
    labels = {
        key: value
        for key, value in (metadata.get("labels") or {}).items()
        if not (key == names.LABEL_AGENT and value == agent)
    }
    return {"metadata": {"labels": labels, "annotations": metadata.get("annotations") or {}}, "spec": bare["spec"]}


def _patch(pod: dict[str, Any], wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the operations; ``add`` also replaces what is there."""
    operations = []
    if (pod["metadata"].get("annotations") or {}) != wanted["metadata"]["annotations"]:
        operations.append(_add("/metadata/annotations", wanted["metadata"]["annotations"]))
    return operations + [
        _add(f"/spec/{key}", wanted["spec"][key])
        for key in (*_LISTS, "automountServiceAccountToken")
        if key in wanted["spec"] and pod["spec"].get(key) != wanted["spec"][key]
    ]


def _add(path: str, value: object) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}

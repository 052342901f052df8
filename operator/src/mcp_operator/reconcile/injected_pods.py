"""Pods of other workloads that an agent's sidecars were put into: told of changes, never made, changed or replaced.

The webhook puts them there (:mod:`mcp_operator.admission.injecting`); here their configuration is kept, which is one
for all Pods of an agent.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from mcp_operator import cluster, conditions, events, names, policies, snapshots
from mcp_operator.cluster import AGENT
from mcp_operator.events import Event
from mcp_operator.manifests import config as configs
from mcp_operator.manifests import injection
from mcp_operator.models.status import LISTED_TOOLS, InjectedStatus
from mcp_operator.outcomes import Done, Outcome, Stalled, Waiting
from mcp_operator.reconcile import agent_config, pods
from mcp_operator.status import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mcp_operator.cluster import Manifest
    from mcp_operator.models.agent import MCPAgentSpec
    from mcp_operator.objects import Resource
    from mcp_operator.reconcile.agent_config import Plan
    from mcp_operator.reconcile.services import Services

TOLD: Final = 5
"""Workloads that a condition's message names."""
DISABLED: Final = (
    "spec.template is missing, and this installation injects nothing: write a template, or have an admin install the "
    "chart with injection.enabled=true"
)
SUSPENDED: Final = "spec.suspend is set: no further Pod is made with its sidecars; those that run stay"
_ROLLED: Final = {"StatefulSet": "statefulset", "DaemonSet": "daemonset"}
_HASH: Final = "pod-template-hash"

logger = logging.getLogger(__name__)


def is_of(pod: Manifest, agent: str) -> bool:
    """Tell whether the sidecars of the agent of this name were put into a Pod; the webhook lets nobody else say so."""
    metadata = pod["metadata"]
    is_labelled = (metadata.get("labels") or {}).get(names.LABEL_AGENT) == agent
    return is_labelled and names.ANNOTATION_INJECTED in (metadata.get("annotations") or {})


def summary(present: Sequence[Manifest]) -> InjectedStatus:
    """Give what the status says of an agent's Pods."""
    return InjectedStatus(count=len(present), pods=[pod["metadata"]["name"] for pod in present[:LISTED_TOOLS]])


class Present(NamedTuple):
    """The Pod of an agent's name, whosever it is, and those of others that have the agent's sidecars."""

    named: Manifest | None
    injected: Sequence[Manifest]

    def of(self, agent: Resource[MCPAgentSpec]) -> list[Manifest]:
        """Give those with this agent's toolman."""
        own = [self.named] if self.named is not None and pods.is_ours(self.named, agent.uid) else []
        return [*own, *self.injected]


class InjectedPods:
    """Keeps the configuration of agents without a template, and tells their Pods of it."""

    def __init__(self, services: Services) -> None:
        self._api = services.api
        self._settings = services.settings
        self._recorder = services.recorder

    def of(self, agent: Resource[MCPAgentSpec]) -> list[Manifest]:
        """Give the Pods that an agent's sidecars were put into and that have not ended, by name."""
        return self._of(agent.namespace, agent.name) if agent.spec.template is None else []

    def carry_out(self, plan: Plan, *, is_complete: bool) -> Outcome | None:
        """Do what is missing; give how the agent's Pods are, None while not even its servers are there.

        Args:
            plan: What is wanted. A Pod of the agent's own, from when it had a template, goes.
            is_complete: All servers are there.

        Raises:
            Stalled: The name of the ConfigMap is taken, or the configuration is too large.
            Waiting: The ConfigMap of an earlier agent of this name is still there.
        """
        if not self._settings.webhook_port:
            return Stalled(conditions.INJECTION_DISABLED, DISABLED)
        agent = plan.agent
        if plan.pod is not None and pods.is_ours(plan.pod, agent.uid):
            self._api.delete_pod(agent.namespace, plan.pod["metadata"]["name"], plan.pod["metadata"]["uid"])
        plan = replace(plan, pod=None)  # whatever else has the agent's name is no matter
        if is_complete:
            agent_config.write_files(self._api, plan.servers)
        elif not plan.injected:
            return None
        wanted = agent_config.configuration(plan)
        agent_config.write(self._api, plan, wanted)
        self._tell(plan.injected, configs.config_hash(wanted, plan.inputs))
        if agent.spec.suspend:
            return Waiting(conditions.SUSPENDED, SUSPENDED, delay=None)
        return self._outcome(plan) if is_complete else None

    def end(self, namespace: str, name: str) -> None:
        """Delete the Pods of an agent that is gone, as its own would go with it: no policy would reach them any more.

        Raises:
            cluster.NotFoundError: Agents cannot be told from absent ones now.
        """
        present = [pod for pod in self._of(namespace, name) if "deletionTimestamp" not in pod["metadata"]]
        if not present:
            return
        with snapshots.since(None):  # "not found" is said of a kind that is not served, too
            known = {raw["metadata"]["name"]: raw for raw in self._api.list(AGENT, namespace)}
        if name in known and "deletionTimestamp" not in known[name]["metadata"]:
            return
        for pod in present:
            self._api.delete_pod(namespace, pod["metadata"]["name"], pod["metadata"]["uid"])
            note = f"Deleted: MCPAgent {name}, whose sidecars it has, is gone"
            self._recorder.record(
                {**pod, "apiVersion": "v1", "kind": "Pod"}, [Event(events.AGENT_GONE, note, "Warning")]
            )
        logger.info("MCPAgent/%s/%s is gone: %d Pods with its sidecars deleted", namespace, name, len(present))

    def _of(self, namespace: str, name: str) -> list[Manifest]:
        if not self._settings.webhook_port:
            return []
        found = self._api.pods_labelled(namespace, f"{names.LABEL_AGENT}={name}")
        living = [pod for pod in found if is_of(pod, name) and pods.phase(pod) not in policies.ENDED]
        return sorted(living, key=lambda pod: str(pod["metadata"]["name"]))

    def _tell(self, present: Iterable[Manifest], config_hash: str) -> None:
        """Wake the kubelets of those Pods that were told of another configuration."""
        for pod in present:
            metadata = pod["metadata"]
            if metadata["annotations"].get(names.ANNOTATION_CONFIG_HASH) == config_hash:
                continue
            annotations = {names.ANNOTATION_CONFIG_HASH: config_hash}
            with contextlib.suppress(cluster.NotFoundError, cluster.ConflictError):  # it is gone meanwhile
                self._api.annotate_pod(metadata["namespace"], metadata["name"], metadata["uid"], annotations)

    def _outcome(self, plan: Plan) -> Outcome:
        running = [server.running for server in plan.servers if server.running is not None]
        made_from = injection.made_from(plan.agent, running, self._settings)
        outdated = [
            pod for pod in plan.injected if pod["metadata"]["annotations"].get(names.ANNOTATION_POD_HASH) != made_from
        ]
        remedies = list(dict.fromkeys(remedy for pod in outdated if (remedy := _remedy(pod))))
        if not remedies:
            return Done(conditions.SUCCEEDED, f"{len(plan.injected)} Pods have its sidecars")
        text = f"{len(outdated)} of {len(plan.injected)} Pods were made before its servers or their Secrets changed: "
        more = f" and {len(remedies) - TOLD} more" if len(remedies) > TOLD else ""
        return Waiting(conditions.POD_OUTDATED, printable(f"{text}{'; '.join(remedies[:TOLD])}{more}"), delay=None)


def _remedy(pod: Manifest) -> str:
    """Give the command that has a Pod made anew; empty for one of a Job, whose next one is as it should be."""
    metadata, owner = pod["metadata"], cluster.controller(pod)
    namespace, kind, name = metadata["namespace"], str(owner.get("kind") or ""), str(owner.get("name") or "")
    if kind == "Job":
        return ""
    if kind in _ROLLED:
        return f"kubectl rollout restart {_ROLLED[kind]}/{name} -n {namespace}"
    ending = f"-{(metadata.get('labels') or {}).get(_HASH)}"
    if kind == "ReplicaSet" and name.endswith(ending):  # as a Deployment names it
        return f"kubectl rollout restart deployment/{name.removesuffix(ending)} -n {namespace}"
    return f"kubectl delete pod {metadata['name']} -n {namespace}"

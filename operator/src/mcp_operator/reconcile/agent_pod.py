"""An agent's ConfigMap and Pod: made, told of changes, replaced; never two Pods, never somebody else's."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mcp_operator import cluster, conditions, events, names, policies
from mcp_operator.events import Event
from mcp_operator.manifests import config as configs
from mcp_operator.manifests.pod import agent_pod
from mcp_operator.outcomes import Done, Outcome, Stalled, Waiting
from mcp_operator.reconcile import agent_config, in_place, pods
from mcp_operator.status import printable
from mcp_operator.workqueue import backoff

if TYPE_CHECKING:
    from mcp_operator.cluster import Manifest
    from mcp_operator.models.agent import MCPAgentSpec
    from mcp_operator.objects import Resource
    from mcp_operator.reconcile.agent_config import Plan
    from mcp_operator.reconcile.services import Services

BACKOFF_FIRST = 1.0
"""Seconds until a Pod that ended is made anew; doubling."""
BACKOFF_CAP = 300.0
"""Seconds at most; the kubelet's own limit for containers."""
AGAIN = 1.0
"""Seconds until a Pod that was another one when it was written is looked at again."""
STEADY = 600.0
"""Seconds that a Pod must have lived for its end to count as the first."""
_REPLACED = {
    "SpecChanged": "its spec asks for another run",
    "ImagesNotChangedInPlace": "its node did not start the servers again in place",
    "TemplateOrImageChanged": "its template, or what its servers are or are given, has changed",
}
"""By the decision's reason, for people."""
_OUTDATED = {
    "OnDelete": "the Pod should be another one (updateStrategy OnDelete); when it suits: kubectl delete pod {place}",
    "RunHasBegun": "what the Pod is made from has changed; its run goes on as it began",
}

logger = logging.getLogger(__name__)


@dataclass
class _Ends:
    count: int = 0
    not_before: datetime | None = None


class AgentPods:
    """Brings the ConfigMap and the Pod of an agent to what a plan says."""

    def __init__(self, services: Services) -> None:
        self._api = services.api
        self._settings = services.settings
        self._clock = services.clock
        self._ends: dict[str, _Ends] = {}

    def forget(self, uid: str) -> None:
        """Drop what is known of an agent that is gone."""
        self._ends.pop(uid, None)

    def carry_out(self, plan: Plan, notes: list[Event]) -> Outcome:
        """Do what is missing; give how the Pod is.

        Args:
            plan: What is wanted.
            notes: Gets the Events of what was done.

        Raises:
            Stalled: A name is taken, or the API server refuses the Pod.
            Waiting: The Pod is being replaced, or must not be made yet.
        """
        agent, now = plan.agent, self._clock()
        wanted_config = agent_config.configuration(plan)
        config_hash = configs.config_hash(wanted_config, plan.inputs)
        wanted = self._wanted(plan, config_hash)
        allowed = None if plan.hold else wanted
        verdict = policies.pod_change(pods.facts(plan.pod, agent, allowed, config_hash, now))
        if verdict.action == "leave":
            text = f"Pod {names.pod(agent.name)} exists and is not this MCPAgent's: delete it, or rename the MCPAgent"
            raise Stalled(conditions.POD_NAME_TAKEN, text, delay=agent_config.RECHECK)
        agent_config.write(self._api, plan, wanted_config)
        if allowed is not None:
            agent_config.write_files(self._api, plan.servers)
        outcome = self._act(plan, verdict, allowed, config_hash, notes)
        if isinstance(outcome, Done) and plan.hold and in_place.difference(plan.pod, wanted) != "none":
            return Waiting(conditions.SERVERS_NOT_READY, plan.hold, delay=None)
        return outcome

    def _wanted(self, plan: Plan, config_hash: str) -> Manifest | None:
        running = [server.running for server in plan.servers]
        placed = [server for server in running if server is not None]
        if len(placed) < len(running):
            return None
        return agent_pod(plan.agent, placed, config_hash, self._settings, plan.run)

    def _act(
        self,
        plan: Plan,
        verdict: policies.PodVerdict,
        wanted: Manifest | None,
        config_hash: str,
        notes: list[Event],
    ) -> Outcome:
        pod, agent = plan.pod, plan.agent
        if pod is None:
            return self._create(agent, wanted, plan.hold, notes)
        if verdict.action == "wait":
            raise pods.ending(pod, self._clock())
        if verdict.action == "remove":
            self._note_end(agent.uid, pod)
            self._delete(agent, pod, pods.ended(pod), notes)
        if wanted is not None and verdict.action == "replace":
            self._judge(wanted)
            self._delete(agent, pod, _REPLACED[verdict.reason], notes)
        if wanted is not None and verdict.action == "change":
            return self._change(agent, pod, wanted, notes)
        self._tell(agent, pod, config_hash)
        outcome = pods.outcome(pod, agent.spec.required_tools, self._clock())
        if verdict.action == "outdated" and isinstance(outcome, Done):
            place = f"{names.pod(agent.name)} -n {agent.namespace}"
            return Waiting(conditions.POD_OUTDATED, _OUTDATED[verdict.reason].format(place=place), delay=None)
        return outcome

    def _tell(self, agent: Resource[MCPAgentSpec], pod: Manifest, config_hash: str) -> None:
        """Wake the kubelet where the configuration is another one than the Pod was told of."""
        told = (pod["metadata"].get("annotations") or {}).get(names.ANNOTATION_CONFIG_HASH)
        if told == config_hash:
            return
        annotations = {names.ANNOTATION_CONFIG_HASH: config_hash}
        try:
            self._api.annotate_pod(agent.namespace, names.pod(agent.name), pod["metadata"]["uid"], annotations)
        except (cluster.NotFoundError, cluster.ConflictError) as error:
            raise _moved_on(error) from None

    def _change(self, agent: Resource[MCPAgentSpec], pod: Manifest, wanted: Manifest, notes: list[Event]) -> Outcome:
        """Give servers of a running Pod other images: the kubelet starts these containers again and no others."""
        images, annotations = in_place.change(pod, wanted, self._clock())
        try:
            self._api.change_images(pod, images, annotations)
        except (cluster.NotFoundError, cluster.ConflictError) as error:
            raise _moved_on(error) from None
        except cluster.InvalidError as error:
            raise _rejected(error) from error
        except cluster.ForbiddenError as error:
            raise _forbidden(error) from error
        changed = ", ".join(name.removeprefix(names.SERVER_CONTAINER_PREFIX) for name in images)
        logger.info("MCPAgent/%s/%s: servers changed in place: %s", agent.namespace, agent.name, changed)
        notes.append(Event(events.SERVERS_CHANGED, f"Starting servers again in place: {changed}", action="Change"))
        text = f"their images or Secrets changed, so they are being started again: {changed}"
        return Waiting(conditions.SERVERS_RESTARTING, text)

    def remove(self, agent: Resource[MCPAgentSpec], pod: Manifest, why: str) -> None:
        """Delete an agent's Pod for good."""
        self._api.delete_pod(agent.namespace, names.pod(agent.name), pod["metadata"]["uid"])
        logger.info("MCPAgent/%s/%s: Pod deleted (%s)", agent.namespace, agent.name, why)

    def _create(
        self,
        agent: Resource[MCPAgentSpec],
        wanted: Manifest | None,
        hold: str,
        notes: list[Event],
    ) -> Outcome:
        if wanted is None:
            raise Waiting(
                conditions.SERVERS_NOT_READY, hold or "the Pod is made when all servers are there", delay=None
            )
        ends = self._ends.get(agent.uid)
        if ends is not None and ends.not_before is not None:
            left = (ends.not_before - self._clock()).total_seconds()
            if left > 0:
                text = (
                    f"the Pod ended {ends.count} times; the next one follows after a delay. Events say how it ended: "
                    f"kubectl describe mcpa {agent.name} -n {agent.namespace}"
                )
                raise Waiting(conditions.POD_BACK_OFF, text, delay=left)
        try:
            self._api.create_pod(wanted)
        except cluster.InvalidError as error:
            raise _rejected(error) from error
        except cluster.ForbiddenError as error:
            raise _forbidden(error) from error
        except cluster.ConflictError:
            raise Waiting(conditions.POD_TERMINATING, "a Pod of this name has just appeared", delay=1) from None
        notes.append(Event(events.POD_CREATED, f"Created Pod {names.pod(agent.name)}", action="Create"))
        return Waiting(conditions.POD_CREATED, "the Pod was created")

    def _judge(self, wanted: Manifest) -> None:
        """Have the API server judge the next Pod before the one that runs is taken down."""
        try:
            self._api.create_pod(wanted, dry_run=True)
        except cluster.ConflictError:
            return  # valid: only its name is in use, by the Pod that it replaces
        except cluster.InvalidError as error:
            raise _rejected(error) from error
        except cluster.ForbiddenError as error:
            if "exceeded quota" not in str(error):  # the quota counts the Pod that goes
                raise _forbidden(error) from error

    def _delete(self, agent: Resource[MCPAgentSpec], pod: Manifest, why: str, notes: list[Event]) -> None:
        self.remove(agent, pod, why)
        notes.append(Event(events.POD_REPLACED, f"Deleted the Pod to make it anew: {why}", action="Replace"))
        raise Waiting(conditions.POD_TERMINATING, f"the Pod is being replaced: {why}", delay=2)

    def _note_end(self, uid: str, pod: Manifest) -> None:
        ends = self._ends.setdefault(uid, _Ends())
        now = self._clock()
        ends.count = 1 if pods.lifetime(pod, policies.format_time(now)) > STEADY else ends.count + 1
        ends.not_before = now + timedelta(seconds=backoff(ends.count - 1, BACKOFF_FIRST, BACKOFF_CAP))


def _moved_on(error: cluster.ClusterError) -> Waiting:
    """Say that a Pod is not any more what it was read as."""
    if isinstance(error, cluster.NotFoundError):
        return Waiting(conditions.POD_TERMINATING, "the Pod has just gone; another one follows", delay=AGAIN)
    text = f"the Pod could not be told of a change, which is tried again: {error}"
    return Waiting(conditions.POD_OUTDATED, printable(text), delay=AGAIN)


def _rejected(error: cluster.ClusterError) -> Stalled:
    return Stalled(conditions.POD_REJECTED, printable(f"{error}. Correct spec.template."))


def _forbidden(error: cluster.ClusterError) -> Waiting:
    remedy = "Correct spec.template, or have an admin raise the quota, right or standard that is named."
    return Waiting(conditions.POD_FORBIDDEN, printable(f"{error}. {remedy}"), delay=agent_config.RECHECK)

"""An agent's ConfigMap and Pod: made, told of changes, replaced; never two Pods, never somebody else's."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from mcp_operator import cluster, conditions, events, names, policies
from mcp_operator.events import Event
from mcp_operator.manifests import config as configs
from mcp_operator.manifests.pod import agent_pod
from mcp_operator.manifests.servers import RunningServer
from mcp_operator.models.server import Run
from mcp_operator.outcomes import Done, Outcome, Stalled, Waiting
from mcp_operator.reconcile import pods
from mcp_operator.status import printable
from mcp_operator.workqueue import backoff

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolman.config import Config
    from toolman.policy import Layer

    from mcp_operator.cluster import Manifest
    from mcp_operator.models.agent import MCPAgentSpec
    from mcp_operator.objects import Resource
    from mcp_operator.reconcile.agent_inputs import Server
    from mcp_operator.reconcile.services import Services

BACKOFF_FIRST = 1.0
"""Seconds until a Pod that ended is made anew; doubling."""
BACKOFF_CAP = 300.0
"""Seconds at most; the kubelet's own limit for containers."""
STEADY = 600.0
"""Seconds that a Pod must have lived for its end to count as the first."""
RECHECK = 30.0
"""Seconds until a quota, or a Pod that has our name, is looked at again: no event of ours tells."""

logger = logging.getLogger(__name__)


@dataclass
class _Ends:
    count: int = 0
    not_before: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What an agent's Pod is to be.

    Attributes:
        agent: Whose.
        servers: In the agent's order.
        layers: Who allows and denies what.
        pod: The Pod of the agent's name as it is now.
        hold: Why no other Pod may be made now; empty when one may.
    """

    agent: Resource[MCPAgentSpec]
    servers: Sequence[Server]
    layers: Sequence[Layer]
    pod: Manifest | None
    hold: str = ""


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
        agent = plan.agent
        wanted_config = configuration(plan)
        config_hash = configs.config_hash(wanted_config)
        wanted = self._wanted(plan, config_hash)
        allowed = None if plan.hold else wanted
        verdict = policies.pod_change(pods.facts(plan.pod, agent.uid, allowed, config_hash))
        if verdict.action == "leave":
            text = f"a Pod named {names.pod(agent.name)} is there and not ours: delete it or rename the MCPAgent"
            raise Stalled(conditions.POD_NAME_TAKEN, text, delay=RECHECK)
        self._write_config(agent, wanted_config)
        outcome = self._act(plan, verdict, allowed, config_hash, notes)
        if isinstance(outcome, Done) and plan.hold and pods.differs(plan.pod, wanted):
            return Waiting(conditions.SERVERS_NOT_READY, plan.hold, delay=None)
        return outcome

    def _wanted(self, plan: Plan, config_hash: str) -> Manifest | None:
        running = [server.running for server in plan.servers]
        placed = [server for server in running if server is not None]
        if len(placed) < len(running):
            return None
        return agent_pod(plan.agent, placed, config_hash, self._settings)

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
            raise Waiting(conditions.POD_TERMINATING, "an earlier Pod is ending; the next one follows")
        if verdict.action == "remove":
            self._note_end(agent.uid, pod)
            self._delete(agent, pod, f"{verdict.reason}: {pods.ended(pod)}", notes)
        if verdict.action == "replace" and wanted is not None:
            self._judge(wanted)
            self._delete(agent, pod, verdict.reason, notes)
        if verdict.action == "annotate":
            annotations = {names.ANNOTATION_CONFIG_HASH: config_hash}
            self._api.annotate_pod(agent.namespace, names.pod(agent.name), pod["metadata"]["uid"], annotations)
        return pods.outcome(pod, agent.spec.required_tools, self._clock())

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
                text = f"the Pod ended {ends.count} times; the next one follows after a delay"
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
        self._api.delete_pod(agent.namespace, names.pod(agent.name), pod["metadata"]["uid"])
        logger.info("MCPAgent/%s/%s: Pod deleted (%s)", agent.namespace, agent.name, why)
        notes.append(Event(events.POD_REPLACED, f"Deleted the Pod to make it anew: {why}", action="Replace"))
        raise Waiting(conditions.POD_TERMINATING, f"the Pod is being replaced: {why}", delay=2)

    def _note_end(self, uid: str, pod: Manifest) -> None:
        ends = self._ends.setdefault(uid, _Ends())
        now = self._clock()
        ends.count = 1 if pods.lifetime(pod, policies.format_time(now)) > STEADY else ends.count + 1
        ends.not_before = now + timedelta(seconds=backoff(ends.count - 1, BACKOFF_FIRST, BACKOFF_CAP))

    def _write_config(self, agent: Resource[MCPAgentSpec], wanted: Config) -> None:
        manifest = configs.config_map(agent, wanted)
        current = self._api.config_map(agent.namespace, manifest["metadata"]["name"])
        if current is not None:
            owner = cluster.controller(current)
            if owner.get("uid") != agent.uid and owner.get("kind") != cluster.AGENT.kind:
                text = (
                    f"ConfigMap {manifest['metadata']['name']} is there and not ours: delete it or rename the MCPAgent"
                )
                raise Stalled(conditions.CONFIG_NAME_TAKEN, text, delay=RECHECK)
            if owner.get("uid") != agent.uid:
                raise Waiting(conditions.POD_TERMINATING, "the ConfigMap of an earlier agent of this name is going")
            if current.get("data") == manifest["data"]:
                return
        self._api.apply_config_map(manifest)


def configuration(plan: Plan) -> Config:
    """Give what toolman is to read: while there is a Pod, the servers that are in it and no others.

    The users refused as callers are those of every server container that there is, also of servers that the agent no
    longer names: until the Pod is replaced they still run.
    """
    present = pods.server_names(plan.pod) if plan.pod is not None else None
    listed = [server.name for server in plan.servers if present is None or server.name in present]
    named = [RunningServer(name=name, image="", command=(), working_dir="", run=Run()) for name in listed]
    wanted = configs.toolman_config(plan.agent, named, plan.layers)
    users = max(len(plan.servers), len(present or ()))
    refused = tuple(names.server_uid(index) for index in range(users))
    return msgspec.structs.replace(wanted, listen=msgspec.structs.replace(wanted.listen, refuse_uids=refused))


def _rejected(error: cluster.ClusterError) -> Stalled:
    return Stalled(conditions.POD_REJECTED, printable(f"{error}. Correct spec.template."))


def _forbidden(error: cluster.ClusterError) -> Waiting:
    return Waiting(conditions.POD_FORBIDDEN, printable(str(error)), delay=RECHECK)

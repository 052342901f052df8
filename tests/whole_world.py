"""An MCPServer, an MCPAgent and a ToolPolicy from beginning to end: all that comes of them, to be compared."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from typing import Any

from fake_builder import BOUND
from fake_cluster import AGENT, POLICY, SERVER
from mcp_operator import names
from mcp_operator.events import Recorder
from mcp_operator.jobs import State
from mcp_operator.policies import format_time
from mcp_operator.reconcile.agent import AgentReconciler
from mcp_operator.reconcile.services import Services
from server_world import SETTINGS, World

OF_THE_SPEC = {"buildKey", "verifiedWith", "uid", "podUid", "observedGeneration", names.ANNOTATION_RUN}
"""Fields that are others whenever a spec is, whether that means anything or not."""
_HASH = re.compile(r"[0-9a-f]{64}")
_CERTIFICATE = re.compile(r"-----BEGIN.*END CERTIFICATE-----", re.DOTALL)
GIVEN = ("s1", "s2")
"""Secrets and ConfigMaps that are there, each with other values."""
KEYS = ("k1", "k2")


class WholeWorld(World):
    """Plays the life of a server and of an agent that uses it."""

    def __init__(self) -> None:
        super().__init__()
        self.trace: list[object] = []
        self._agents = AgentReconciler(
            Services(
                api=self.cluster,
                recorder=Recorder(self.cluster, self.clock),
                settings=SETTINGS,
                clock=self.clock,
                wake=self._wake,
            )
        )
        self.builder.repository_tags = {"v1.0.0": "c" * 40}
        for name in GIVEN:
            self._give(name)

    def live(self, server: dict[str, Any], agent: dict[str, Any], policy: dict[str, Any] | None) -> list[object]:
        """Let the three come, run, see a new commit, end and stay; give all that could be seen of it."""
        if policy is not None:
            self.cluster.add(POLICY, "cap", policy)
        self.cluster.add(SERVER, "one", server)
        self.cluster.add(AGENT, "dev", agent, labels={"tier": "gold"})
        self._settle("made")
        self._pod_runs()
        self._settle("running")
        self.builder.commit, self.builder.tools = "b" * 40, ("read", "write", "more")
        self.clock.forward(301)
        self._settle("a new commit")
        self._pod_ends()
        self._settle("ended")
        self.clock.forward(2000)
        self._settle("later")
        assert self.builds.close(BOUND)
        return [*self.trace, *map(_plain, (self.builder.asked, self.builder.requests))]

    def _settle(self, stage: str) -> None:
        self.cluster.writes.clear()
        delays = [self._server(), self._server(), self._agent(), self._server(), self._agent()]
        self.trace.append((stage, delays[-2:], list(self.cluster.writes), self._objects()))

    def _server(self) -> float | None:
        delay = self.look()
        found = self.cluster.get(SERVER, "team", "one")
        uid = found["metadata"]["uid"] if found is not None else ""
        if self.builds.view(uid) is not None:
            self.wait(uid, State.ENDED)
            delay = self.look()
        return delay

    def _agent(self) -> float | None:
        return self._agents.reconcile("team", "dev")

    def _pod_runs(self) -> None:
        with contextlib.suppress(KeyError):
            self._tell({"running": {"startedAt": format_time(self.clock())}}, "Running", "True")

    def _pod_ends(self) -> None:
        moment = format_time(self.clock())
        with contextlib.suppress(KeyError):
            ended = {"terminated": {"exitCode": 0, "startedAt": moment, "finishedAt": moment}}
            self._tell(ended, "Succeeded", "False")

    def _tell(self, state: dict[str, Any], phase: str, ready: str) -> None:
        pod = self.cluster.objects["pods", "team", "dev"]
        pod["status"] = {
            "phase": phase,
            "conditions": [{"type": "Ready", "status": ready}],
            "containerStatuses": [{"name": "agent", "ready": ready == "True", "state": state}],
        }

    def _objects(self) -> object:
        """Give everything that is there but what somebody else has written, and keys, which are others each time."""
        written = {(SERVER.plural, "one"), (AGENT.plural, "dev"), (POLICY.plural, "cap")}
        found = {}
        for place, raw in self.cluster.objects.items():
            is_hidden = "spec" if (place[0], place[2]) in written else "data" if place[0] == "secrets" else ""
            found["/".join(place)] = {key: value for key, value in raw.items() if key != is_hidden}
        return _plain(found)

    def _give(self, name: str) -> None:
        auth = {"auths": {"registry.example.com": {"username": name, "password": "x"}}}
        texts = {
            **{key: f"{name}-{key}" for key in KEYS},
            "username": name,
            "password": "x",
            ".dockerconfigjson": json.dumps(auth),
        }
        self.cluster.secrets["team", name] = {key: text.encode() for key, text in texts.items()}
        self.cluster.objects["configmaps", "team", name] = {
            "metadata": {"name": name},
            "data": {key: f"{name} {key}" for key in KEYS},
        }
        self.cluster.give("Secret", name, *texts, version=f"secret {name}")
        self.cluster.give("ConfigMap", name, *KEYS, version=f"config map {name}")


def _plain(value: object) -> object:
    """Give a value as JSON would, without what is another one each time."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        dropped = OF_THE_SPEC | ({"key"} if "startedAt" in value or "podUid" in value else set())  # of a build, a run
        return {key: _plain(each) for key, each in value.items() if key not in dropped}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return _CERTIFICATE.sub("PEM", _HASH.sub("HASH", str(value)))

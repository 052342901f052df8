"""Policies with the real operator and a real API server: their effect, their status, and what their end is told by."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import ports
import pytest
from kubectl import KubectlError
from mcp_operator import names
from operator_processes import agent, exists, is_ready, operators, server, wait

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kubectl import Kubectl
    from operator_processes import Operator
    from spare_apiserver import SpareApiServer

pytestmark = [pytest.mark.apiserver, pytest.mark.requirement("O-20")]

BY_NAME = "kubernetes.io/metadata.name"


class Team:
    """A namespace with a server that is ready and an agent that has a Pod, and policies about it alone."""

    def __init__(self, spare: SpareApiServer, kubectl: Kubectl, operator: Operator, port: int) -> None:
        self.spare = spare
        self.kubectl = kubectl
        self.operator = operator
        self.port = port

    def policy(self, name: str, **spec: Any) -> str:  # noqa: ANN401 - of a spec
        """Apply a policy about this namespace; give its name."""
        full = f"{name}-{self.kubectl.namespace}"
        target = {"namespaceSelector": {"matchLabels": {BY_NAME: self.kubectl.namespace}}, **spec.pop("target", {})}
        metadata = {"name": full}
        document = {"apiVersion": names.API_VERSION, "kind": "ToolPolicy", "metadata": metadata}
        self.kubectl.apply({**document, "spec": {"target": target, **spec}})
        return full

    def status(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.kubectl.get(kind, name).get("status", {})
        return found

    def reasons(self, kind: str, name: str, which: str) -> list[str]:
        listed = self.status(kind, name).get("conditions", [])
        return [each["reason"] for each in listed if each["type"] == which and each["status"] == "True"]

    @property
    def layers(self) -> list[str]:
        text = self.kubectl.get("configmap", names.config_map("dev"))["data"][names.CONFIG_FILE]
        return [layer["source"] for layer in json.loads(text)["layers"]]

    @property
    def events(self) -> dict[str, tuple[str, str]]:
        listed = json.loads(self.kubectl("get", "events.v1.events.k8s.io", "-o", "json"))["items"]
        return {each["reason"]: (each["type"], each["note"]) for each in listed}


@pytest.fixture(scope="module")
def team(spare_apiserver: SpareApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("policies")
    with spare_apiserver.namespace("policies") as kubectl, operators(spare_apiserver, folder) as started:
        port = ports.free()
        operator = started.start(TOOLMAN_READ_API_PORT=str(port))
        kubectl.apply(server("one"), agent("dev", "one"))
        wait(lambda: exists(kubectl, "pod", "dev"))
        wait(lambda: is_ready(kubectl, "mcpserver", "one"))
        yield Team(spare_apiserver, kubectl, operator, port)


def test_a_policy_takes_effect_and_its_end_is_a_warning_on_whom_it_capped(team: Team) -> None:
    name = team.policy("none", tools={"allow": []})
    wait(lambda: f"ToolPolicy/{name}" in team.layers)
    wait(lambda: team.status("mcpagent", "dev")["tools"]["visible"] == 0)
    assert {"name": name, "enforcement": "Enforce"} in team.status("mcpagent", "dev")["policies"]
    wait(lambda: team.status("toolpolicy", name).get("agents") == [f"{team.kubectl.namespace}/dev"])
    team.kubectl("delete", "toolpolicy", name)
    wait(lambda: "PolicyRemoved" in team.events)
    kind, note = team.events["PolicyRemoved"]
    assert kind == "Warning"
    assert note.startswith(f"ToolPolicy/{name} no longer caps this agent")
    assert f"ToolPolicy/{name}" not in team.layers


def test_a_misspelt_glob_is_seen_in_kubectl_get(team: Team) -> None:
    name = team.policy("typo", tools={"deny": ["no_such_tool"]})
    wait(lambda: team.reasons("toolpolicy", name, "MatchesNothing") == ["GlobsMatchNothing"])
    header, row = (line.split() for line in team.kubectl("get", "toolpolicy", name).splitlines())
    assert header[:4] == ["NAME", "READY", "STATUS", "ENFORCEMENT"]
    assert row[1] == "True"
    assert "no_such_tool" in row
    team.kubectl.wait("toolpolicy", name, "condition=Ready")
    team.kubectl("delete", "toolpolicy", name)


def test_a_source_that_is_not_allowed_is_not_built_and_is_again_when_the_policy_goes(team: Team) -> None:
    name = team.policy("sources", sources={"allow": ["git:https://git.test/one"]})
    wait(lambda: team.status("toolpolicy", name).get("observedGeneration") == 1)
    team.kubectl.apply(server("two"))
    wait(lambda: team.reasons("mcpserver", "two", "Stalled") == ["SourceNotAllowed"])
    assert not team.reasons("mcpserver", "two", "Built")
    assert is_ready(team.kubectl, "mcpserver", "one")
    team.kubectl("delete", "toolpolicy", name)
    wait(lambda: is_ready(team.kubectl, "mcpserver", "two"))


def test_a_server_whose_source_is_allowed_no_more_is_closed_to_its_agents(team: Team) -> None:
    name = team.policy("closed", sources={"allow": ["npm:*"]})
    wait(lambda: team.status("mcpagent", "dev")["tools"]["visible"] == 0)
    wait(lambda: team.reasons("mcpserver", "one", "Stalled") == ["SourceNotAllowed"])
    team.kubectl("delete", "toolpolicy", name)
    wait(lambda: team.status("mcpagent", "dev")["tools"]["visible"] > 0)
    wait(lambda: is_ready(team.kubectl, "mcpserver", "one"))


@pytest.mark.parametrize(
    "spec",
    [
        {"sources": {"allow": ["https://github.com/example/*"]}},
        {"sources": {"allow": ["git:"]}},
        {"sources": {"allow": ["svn:*"]}},
    ],
)
def test_a_source_without_its_kind_is_refused_when_it_is_applied(team: Team, spec: dict[str, Any]) -> None:
    with pytest.raises(KubectlError, match=r"spec\.sources\.allow\[0\]"):
        team.policy("wrong", **spec)


@pytest.mark.requirement("O-35")
def test_the_operator_serves_the_read_api_beside_its_work(team: Team) -> None:
    kubectl, url = team.kubectl, f"http://127.0.0.1:{team.port}/api/v1/agents?namespace={team.kubectl.namespace}"
    kubectl.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader"}})
    kubectl("create", "role", "reader", "--verb=list", "--resource=mcpagents.toolman.dev")
    kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={kubectl.namespace}:reader")
    token = team.spare.token(kubectl.namespace, "reader")
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx.get(url, headers=headers, timeout=30, trust_env=False)
    assert [each["name"] for each in answer.json()["items"]] == ["dev"]
    assert httpx.get(url, timeout=30, trust_env=False).status_code == 401
    assert token not in team.operator.log.read_text()

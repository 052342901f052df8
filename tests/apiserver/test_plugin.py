"""``kubectl toolman`` with a person's own rights on a real API server: what a tenant sees, and what he is told."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from agent_world import condition
from mcp_operator import cluster, kube, names
from mcp_operator.manifests import config as configs
from mcp_operator.models.agent import MCPAgentSpec
from mcp_operator.objects import parse
from mcp_operator.plugin import command
from toolman.policy import Layer, Rules

from toolman import config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kubectl import Kubectl
    from spare_apiserver import SpareApiServer

pytestmark = [pytest.mark.apiserver, pytest.mark.requirement("O-21")]

AGENT = {"servers": [{"name": "git"}], "template": {"spec": {"containers": [{"name": "agent", "image": "agent:1"}]}}}
TOOLS = [{"name": name, "hash": "sha256:0", "tokens": 100} for name in ("read", "write")]
LAYERS = (
    Layer(source="ToolPolicy/base", tools=Rules(deny=("write",))),
    Layer(source="MCPAgent/dev", servers=("git",)),
)


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


class Team:
    """A namespace as the operator has left it, seen by an admin, by a tenant who sees no policies, and by nobody."""

    def __init__(self, spare: SpareApiServer, kubectl: Kubectl) -> None:
        self.namespace = kubectl.namespace
        self._spare = spare
        policy = _object("ToolPolicy", f"base-{self.namespace}", {"tools": {"deny": ["write"]}})
        policy["spec"]["target"] = {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}}
        }
        kubectl.apply(
            _object("MCPServer", "git", {"source": {"npm": {"package": "x"}}}),
            _object("MCPAgent", "dev", AGENT),
            policy,
            *(
                {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
                for name in ("tenant", "nobody")
            ),
        )
        api, _ = kube.connect_as_person(str(spare.kubeconfig))
        image = {
            "reference": "r/x@sha256:0",
            "id": "1",
            "size": 1,
            "command": ["x"],
            "workingDir": "/",
            "buildKey": "1",
        }
        server = api.get(cluster.SERVER, self.namespace, "git")
        assert server is not None
        status = {"tools": TOOLS, "toolCount": 2, "image": image, "conditions": [condition("Ready", "True")]}
        api.patch_status(cluster.SERVER, server, status)
        raw = api.get(cluster.AGENT, self.namespace, "dev")
        assert raw is not None
        agent = parse(MCPAgentSpec, raw)
        kubectl.apply(configs.config_map(agent, config.Config(layers=LAYERS)))
        kubectl("create", "role", "view", "--verb=get,list", "--resource=mcpservers.toolman.dev,mcpagents.toolman.dev")
        kubectl("create", "role", "more", "--verb=get,list", "--resource=configmaps,pods")
        for role in ("view", "more"):
            kubectl("create", "rolebinding", role, f"--role={role}", f"--serviceaccount={self.namespace}:tenant")

    def config_of(self, account: str) -> Path:
        name = f"{account}-{self.namespace}"
        return self._spare.kubeconfig_of(name, token=self._spare.token(self.namespace, account))

    def run(self, config: Path, *words: str) -> int:
        return command.main([*words, "--kubeconfig", str(config), "-n", self.namespace])


@pytest.fixture(scope="module")
def team(spare_apiserver: SpareApiServer) -> Iterator[Team]:
    with spare_apiserver.namespace("askers") as kubectl:
        yield Team(spare_apiserver, kubectl)


def test_an_admin_sees_what_the_policies_themselves_say(
    team: Team, spare_apiserver: SpareApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert team.run(spare_apiserver.kubeconfig, "explain", "mcpagent/dev") == 0
    text = capsys.readouterr().out
    assert f"git/write  -          NO       Denied ToolPolicy/base-{team.namespace}" in text
    assert "git/read   git__read  yes" in text


def test_a_tenant_who_sees_no_policies_is_told_by_what_toolman_has(
    team: Team, capsys: pytest.CaptureFixture[str]
) -> None:
    assert team.run(team.config_of("tenant"), "tools", "dev") == 0
    text = capsys.readouterr().out
    assert "sees 1 of 2 tools, about 100 of 200 tokens" in text
    assert "git/write  Denied  ToolPolicy/base" in text
    assert team.run(team.config_of("tenant"), "explain", "dev") == 0
    assert "note: the layers are those that toolman has now" in capsys.readouterr().out


def test_somebody_without_rights_is_told_which_one_is_missing(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    config_of_nobody = team.config_of("nobody")
    for verb in (("status",), ("tools", "dev"), ("logs", "dev")):
        assert team.run(config_of_nobody, *verb) == 1
        shown = capsys.readouterr()
        assert shown.out == ""
        assert "cannot" in shown.err
        assert "Ask whoever administers the namespace for this right" in shown.err


def test_an_agent_without_a_pod_has_no_log(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    assert team.run(team.config_of("tenant"), "logs", "dev") == 1
    assert "no Pod runs for MCPAgent dev" in capsys.readouterr().err


def test_kubectl_finds_it_as_a_plugin(team: Team, spare_apiserver: SpareApiServer, tmp_path: Path) -> None:
    plugin = tmp_path / "kubectl-toolman"
    plugin.write_text(
        f"#!/bin/sh\nexec {sys.executable} -c 'from mcp_operator.plugin.command import main; exit(main())' \"$@\"\n"
    )
    plugin.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "KUBECONFIG": str(spare_apiserver.kubeconfig),
    }
    command_line = ["kubectl", "toolman", "status", "-n", team.namespace]
    done = subprocess.run(command_line, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "git      True" in done.stdout

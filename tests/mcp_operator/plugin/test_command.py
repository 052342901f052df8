"""What a person gets, and what he is told when he does not."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
import yaml
from agent_world import condition
from fake_cluster import AGENT, POLICY, SERVER
from mcp_operator import __main__, kube, names
from mcp_operator.models.policy import ToolPolicySpec
from mcp_operator.objects import parse
from mcp_operator.plugin import command
from plugin_world import AskingWorld

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.requirement("O-21")


@pytest.fixture
def world() -> AskingWorld:
    made = AskingWorld()
    made.policy("base", tools={"deny": ["write"]})
    return made


@pytest.fixture
def run(world: AskingWorld, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    def connect(kubeconfig: str, context: str) -> tuple[object, str]:
        assert (kubeconfig, context) == ("", "")
        return world.asked, "team"

    monkeypatch.setattr(kube, "connect_as_person", connect)
    return lambda *words: command.main(words)


def test_explain_says_it_for_people_and_programs(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("explain", "mcpagent/dev") == 0
    assert "files/write  -            NO       Denied ToolPolicy/base" in capsys.readouterr().out
    assert run("explain", "dev", "--tool", "files/write", "-o", "json") == 0
    (tool,) = json.loads(capsys.readouterr().out)["tools"]
    assert (tool["visible"], tool["by"]) == (False, "ToolPolicy/base")


def test_the_operators_own_command_explains_the_same(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("explain", "dev") == 0
    text = capsys.readouterr().out
    assert __main__.main(["explain", "mcpagent/dev"]) == 0
    assert capsys.readouterr().out == text


def test_tools_names_what_is_seen_its_tokens_and_who_denies_the_rest(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("tools", "dev") == 0
    text = capsys.readouterr().out
    assert text.startswith("MCPAgent team/dev sees 1 of 2 tools, about ")
    assert "files__read" in text
    assert "files/write  Denied  ToolPolicy/base" in text
    assert run("tools", "dev", "-o", "json") == 0
    assert len(json.loads(capsys.readouterr().out)["tools"]) == 2


@pytest.mark.requirement("O-15")
def test_status_counts_the_pods_of_other_workloads(
    world: AskingWorld, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    world.cluster.status(AGENT, "dev")["injected"] = {"count": 3, "pods": ["a", "b", "c"]}
    del world.cluster.status(AGENT, "dev")["podName"]
    assert run("status") == 0
    assert "3 injected" in capsys.readouterr().out


def test_status_is_one_screen_with_what_to_do(
    world: AskingWorld, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    broken = world.cluster.add(SERVER, "broken", {"source": {"npm": {"package": "x"}}})
    told = condition("Ready", "False", "CloneFailed") | {"message": "check spec.source"}
    broken["status"] = {"conditions": [told]}
    world.cluster.add(SERVER, "new", {"source": {"npm": {"package": "x"}}})
    policy = world.cluster.objects["toolpolicies", "", "base"]
    noted = condition("MatchesNothing", "True") | {"message": "no tool is matched by wirte"}
    policy["status"] = {"conditions": [condition("Ready", "True"), noted]}
    assert run("status") == 0
    text = capsys.readouterr().out
    assert "CloneFailed: check spec.source" in text
    assert "the operator has not looked at it yet" in text
    assert "base      Enforce      True   no tool is matched by wirte" in text
    assert run("status", "-o", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in found["servers"]] == ["broken", "files", "new"]
    assert found["agents"][0]["tools"] == "1/2"


def test_who_may_not_read_policies_still_sees_which_there_are(
    world: AskingWorld, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    world.asked.hidden.add(names.POLICIES)
    assert run("status", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out)["policies"] == [
        {"name": "base", "ready": "", "do": "", "enforcement": "Enforce"}
    ]


def test_an_empty_namespace_is_said_to_be_empty(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("status", "-n", "other") == 0
    assert capsys.readouterr().out == "no MCPServers and no MCPAgents in namespace other\n"


def test_an_admin_sees_all_namespaces_on_one_screen_and_policies_that_cap_nobody(
    world: AskingWorld, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    world.cluster.add(SERVER, "far", {"source": {"npm": {"package": "x"}}}, namespace="other")
    world.cluster.add(POLICY, "idle", {"enforcement": "Audit", "tools": {"deny": ["x"]}})
    assert run("status", "-A") == 0
    text = capsys.readouterr().out
    assert text.startswith("NAMESPACE  SERVERS")
    assert re.search(r"^other      far ", text, re.MULTILINE)
    assert re.search(r"^team       files ", text, re.MULTILINE)
    assert re.search(r"^idle +Audit", text, re.MULTILINE)
    assert run("status", "-A", "-o", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [(each["namespace"], each["name"]) for each in found["servers"]] == [("other", "far"), ("team", "files")]


def test_suggest_writes_a_policy_that_allows_what_was_called_and_caps_no_other_namespace(
    world: AskingWorld, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    record = b'{"tool":"files__read","server":"files","name":"read","decision":"allowed","outcome":"ok","ms":1}'
    world.asked.requests.pods = {"dev": ["dev"]}
    world.asked.requests.logs = {"dev": [[b"2026-01-01T00:00:00Z INFO x\n", b"2026-01-01T00:00:01Z " + record + b"\n"]]}
    assert run("suggest", "dev") == 0
    text = capsys.readouterr().out
    assert "# never called: write" in text
    assert "not understood" not in text
    document = yaml.safe_load(text)
    document["metadata"]["uid"] = "1"
    spec = parse(ToolPolicySpec, document).spec
    assert spec.tools is not None
    assert spec.tools.allow == ["read"]
    assert spec.target.servers == ["files"]
    assert spec.target.namespace_selector.match_labels == {"kubernetes.io/metadata.name": "team"}


@pytest.mark.parametrize(
    ("hidden", "words", "text"),
    [
        (names.AGENTS, ("tools", "dev"), 'is forbidden: User "tenant" cannot list it. Ask whoever administers'),
        ("", ("tools", "nobody"), "no MCPAgent nobody in namespace team; kubectl get mcpa -n team lists them"),
        ("", ("logs", "dev"), "no Pod runs for MCPAgent dev"),
    ],
)
def test_what_cannot_be_answered_is_an_error_with_what_to_do(
    world: AskingWorld,
    run: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    hidden: str,
    words: tuple[str, ...],
    text: str,
) -> None:
    world.asked.hidden.add(hidden)
    assert run(*words) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("kubectl toolman: ")
    assert text in shown.err


def test_without_a_cluster_it_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert command.main(["status", "--kubeconfig", str(tmp_path / "none")]) == 1
    assert "set KUBECONFIG or give --kubeconfig" in capsys.readouterr().err


def test_a_context_that_is_not_there_is_named_with_those_that_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config"
    file.write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
                "contexts": [{"name": "one", "context": {"cluster": "c", "user": "u", "namespace": "team"}}],
                "current-context": "one",
            }
        )
    )
    assert command.main(["status", "--kubeconfig", str(file), "--context", "two"]) == 1
    assert "has no context 'two'; it has one" in capsys.readouterr().err
    assert kube.connect_as_person(str(file))[1] == "team"


@pytest.mark.parametrize(
    "words",
    [
        ("explain", "mcpserver/git"),
        ("explain", "mcpagent/"),
        ("explain", "dev", "--tool", "git"),
        ("logs", "dev", "--since", "yesterday"),
        (),
    ],
)
def test_wrong_usage_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as refused:
        command.main(words)
    assert refused.value.code == 2


def test_interrupting_is_no_error_of_the_program(
    run: Callable[..., int], world: AskingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(world.asked, "list", interrupted)
    assert run("status") == command.EXIT_INTERRUPTED

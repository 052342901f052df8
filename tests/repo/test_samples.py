"""The samples are what the models take, and show what they say they show."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from mcp_operator import layers
from mcp_operator.manifests.template import unsafe
from mcp_operator.models.agent import MCPAgentSpec
from mcp_operator.models.policy import ToolPolicySpec
from mcp_operator.models.server import MCPServerSpec
from mcp_operator.objects import parse
from toolman.policy import decide

FOLDER = Path(__file__).parents[2] / "deploy" / "samples"
NAMESPACE_LABELS = {"kubernetes.io/metadata.name": "toolman-demo"}

pytestmark = pytest.mark.requirement("F-02")


def _samples() -> dict[str, list[dict[str, Any]]]:
    result = defaultdict(list)
    for path in sorted(FOLDER.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            document["metadata"].setdefault("uid", "of-a-sample")
            result[document["kind"]].append(document)
    return result


def test_the_agent_of_the_samples_gets_a_part_of_the_tools_and_each_layer_denies_some() -> None:
    samples = _samples()
    agent = parse(MCPAgentSpec, samples["MCPAgent"][0])
    servers = [parse(MCPServerSpec, each) for each in samples["MCPServer"]]
    ceilings = [parse(ToolPolicySpec, each) for each in samples["ToolPolicy"]]
    effective = layers.layers(NAMESPACE_LABELS, agent, servers, ceilings)
    verdicts = {tool: decide(effective, "git", "tools", tool) for tool in ("git_log", "git_commit", "git_branch")}
    assert verdicts["git_log"].allowed
    assert (verdicts["git_commit"].source, verdicts["git_commit"].reason) == ("ToolPolicy/read-only-git", "Denied")
    assert (verdicts["git_branch"].source, verdicts["git_branch"].reason) == ("MCPAgent/assistant", "NotListed")
    for required in agent.spec.required_tools:
        name, tool = required.split("/", 1)
        assert decide(effective, name, "tools", tool).allowed
    assert unsafe(agent.spec.template or {}, {"demo-secret"}) == []


def test_the_policy_of_the_samples_caps_its_own_namespace_only() -> None:
    samples = _samples()
    (ceiling,) = (parse(ToolPolicySpec, each) for each in samples["ToolPolicy"])
    agent = parse(MCPAgentSpec, samples["MCPAgent"][0])
    assert layers.caps(ceiling, NAMESPACE_LABELS, agent)
    assert not layers.caps(ceiling, {"kubernetes.io/metadata.name": "other"}, agent)

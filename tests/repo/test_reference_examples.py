"""The examples of the reference are what the models take, and none of their templates goes around toolman."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from mcp_operator import ceilings, placements
from mcp_operator.manifests.template import unsafe
from mcp_operator.models.agent import MCPAgentSpec
from mcp_operator.models.policy import ToolPolicySpec
from mcp_operator.models.server import MCPServerSpec
from mcp_operator.models.status import MCPServerStatus
from mcp_operator.objects import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcp_operator.models.base import Model

FOLDER = Path(__file__).parents[2] / "docs" / "reference" / "examples"
FILES = sorted(FOLDER.glob("*.yaml"))
MODELS: dict[str, type[Model]] = {"MCPServer": MCPServerSpec, "MCPAgent": MCPAgentSpec, "ToolPolicy": ToolPolicySpec}

pytestmark = pytest.mark.requirement("F-09")


def _documents(*files: Path) -> Iterator[dict[str, Any]]:
    for path in files:
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            document["metadata"]["uid"] = "of-an-example"
            yield document


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_example_fits_its_model_and_has_a_safe_template(path: Path) -> None:
    documents = list(_documents(path))
    assert documents[0]["kind"].lower() == path.stem.partition("-")[0]
    for document in documents:
        if document["kind"] in MODELS:
            spec = document["spec"]
            parse(MODELS[document["kind"]], document)
            template = spec.get("template") or spec.get("agent", {}).get("template") or {"spec": {"containers": [{}]}}
            assert unsafe(template) == []


def test_there_is_an_example_of_every_source_and_placement_and_of_each_way_an_agent_runs() -> None:
    servers = [parse(MCPServerSpec, each) for each in _documents(*FILES) if each["kind"] == "MCPServer"]
    assert {ceilings.source_of(each.spec)[0] for each in servers} == {"git", "npm", "pypi", "image", "remote"}
    assert {placements.placement(each.spec, MCPServerStatus()) for each in servers} >= {"Shared", "Remote"}
    agents = [parse(MCPAgentSpec, each).spec for each in _documents(*FILES) if each["kind"] == "MCPAgent"]
    assert {(each.restart_policy == "Always", each.template is None) for each in agents} == {
        (True, False),
        (True, True),
        (False, False),
    }


def test_every_part_of_a_policy_is_in_an_example() -> None:
    found = {part for each in _documents(*FILES) if each["kind"] == "ToolPolicy" for part in each["spec"]}
    assert found >= {"tools", "serverRequests", "sources", "limits", "enforcement", "target"}


def test_each_example_begins_with_what_it_shows_and_is_in_its_page() -> None:
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        page = (FOLDER.parent / f"{path.stem.partition('-')[0]}.md").read_text(encoding="utf-8")
        assert text.startswith("# ")
        assert "\n".join(line for line in text.splitlines() if not line.startswith("#")) in page

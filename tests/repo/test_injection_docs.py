"""``docs/injection.md``: its examples are what it says, and what it quotes is what is said."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from mcp_operator import certificates, conditions, events, names
from mcp_operator.admission import injecting
from mcp_operator.models.agent import MCPAgentSpec
from mcp_operator.models.status import LISTED_TOOLS
from mcp_operator.objects import parse

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "injection.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.requirement("O-15")


def _examples() -> dict[str, dict[str, Any]]:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


def test_the_examples_are_labelled_with_the_agent_that_is_shown_in_its_namespace() -> None:
    found = _examples()
    agent = found["MCPAgent"]
    agent["metadata"]["uid"] = "1"
    assert parse(MCPAgentSpec, agent).spec.template is None
    deployment, cron = found["Deployment"], found["CronJob"]
    templates = [deployment["spec"]["template"], cron["spec"]["jobTemplate"]["spec"]["template"]]
    for template in templates:
        assert template["metadata"]["labels"][names.LABEL_AGENT] == agent["metadata"]["name"]
        assert template["spec"]["containers"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= templates[0]["metadata"]["labels"].items()
    assert {each["metadata"]["namespace"] for each in found.values()} == {agent["metadata"]["namespace"]}


def test_what_it_names_is_what_there_is() -> None:
    for word in (conditions.POD_OUTDATED, conditions.INJECTION_DISABLED, events.AGENT_GONE, names.TOOLMAN_URL):
        assert f"`{word}`" in PAGE
    assert f"the first {LISTED_TOOLS};" in PAGE
    assert f"renewed {certificates.LEAF_RENEWAL_DAYS} days before" in PAGE.replace("\n  ", " ")


def test_every_refusal_that_it_explains_is_one() -> None:
    source = (
        Path(injecting.__file__).read_text()
        + (ROOT / "operator" / "src" / "mcp_operator" / "manifests" / "injection.py").read_text()
    )
    quoted = re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)
    said = [text.replace("MCPAgent NAME", "{who}") for text in quoted if text != "failed calling webhook"]
    assert len(said) == 5
    assert [text for text in said if text not in source] == []

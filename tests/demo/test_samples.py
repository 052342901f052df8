"""The samples are valid, and the demo reads their status as it is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from mcp_operator.models.agent import MCPAgentSpec
from mcp_operator.models.policy import ToolPolicySpec
from mcp_operator.models.server import MCPServerSpec

from demo import around, samples

if TYPE_CHECKING:
    from pydantic import BaseModel

pytestmark = pytest.mark.requirement("F-02")

MODELS: dict[str, type[BaseModel]] = {
    "MCPServer": MCPServerSpec,
    "MCPAgent": MCPAgentSpec,
    "ToolPolicy": ToolPolicySpec,
}


def documents() -> list[dict[str, Any]]:
    texts = [path.read_text() for path in sorted(samples.FOLDER.glob("*.yaml"))]
    return [document for text in texts for document in yaml.safe_load_all(text)]


def test_every_sample_fits_its_model() -> None:
    kinds = [document["kind"] for document in documents()]
    assert {"Namespace", "MCPServer", "MCPAgent", "ToolPolicy"} <= set(kinds)
    for document in documents():
        if model := MODELS.get(document["kind"]):
            model.model_validate(document["spec"])


def test_all_samples_live_in_one_namespace_which_comes_first() -> None:
    first, *others = documents()
    assert (first["kind"], first["metadata"]["name"]) == ("Namespace", samples.NAMESPACE)
    namespaced = [document for document in others if document["kind"] != "ToolPolicy"]
    assert {document["metadata"]["namespace"] for document in namespaced} == {samples.NAMESPACE}


def test_a_secret_of_the_samples_is_what_the_demo_looks_for() -> None:
    secrets = {
        (document["metadata"]["name"], *document["stringData"]) for document in documents() if "stringData" in document
    }
    assert secrets == {around.SECRET}


def test_the_image_of_the_sample_agent_is_replaced_and_nothing_else() -> None:
    text = "".join(path.read_text() for path in sorted(samples.FOLDER.glob("*.yaml")))
    replaced = samples.AGENT_IMAGE.sub("here/sample-agent@sha256:1", text)
    changed = [new for old, new in zip(text.splitlines(), replaced.splitlines(), strict=True) if old != new]
    assert [line.strip() for line in changed] == ["image: here/sample-agent@sha256:1"]


def resource(generation: int, observed: int, status: str = "True") -> dict[str, Any]:
    ready = {"type": "Ready", "status": status, "observedGeneration": observed}
    return {"metadata": {"generation": generation}, "status": {"conditions": [ready], "summary": "Build 3/9"}}


def test_a_condition_counts_only_for_the_object_as_it_is_now() -> None:
    assert samples.condition(resource(2, 2), "Ready")
    assert not samples.condition(resource(2, 1), "Ready")
    assert not samples.condition(resource(2, 2, "False"), "Ready")
    assert not samples.condition({"metadata": {"generation": 1}}, "Ready")


def test_an_object_without_status_is_said_to_wait_for_the_operator() -> None:
    assert samples.summary(resource(1, 1)) == "Build 3/9"
    assert samples.summary({"metadata": {}}) == "not seen by the operator yet"

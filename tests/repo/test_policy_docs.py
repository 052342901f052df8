"""``docs/policies.md`` and ``docs/read-api.md`` name what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml
from mcp_operator import conditions, events, names, source_globs
from mcp_operator.models.policy import ToolPolicySpec
from mcp_operator.objects import parse
from mcp_operator.plugin import command
from mcp_operator.readapi import app, callers, documents, serving

DOCS = Path(__file__).parents[2] / "docs"
POLICIES = (DOCS / "policies.md").read_text(encoding="utf-8")
READ_API = (DOCS / "read-api.md").read_text(encoding="utf-8")


@pytest.mark.requirement("O-20")
def test_the_example_is_a_policy() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", POLICIES, re.DOTALL)
    document = yaml.safe_load(example)
    document["metadata"]["uid"] = "1"
    assert parse(ToolPolicySpec, document).spec.sources is not None


@pytest.mark.requirement("O-20")
def test_every_kind_of_source_and_every_word_of_the_status_is_explained() -> None:
    words = (*get_args(source_globs.Kind), names.DEFAULT_ACCESS_LAYER, conditions.MATCHES_NOTHING)
    words += (conditions.SOURCE_NOT_ALLOWED, conditions.POLICY_INVALID, events.POLICY_REMOVED, events.ASKS_IN_VAIN)
    assert [word for word in words if f"`{word}`" not in POLICIES] == []


@pytest.mark.requirement("O-21")
def test_every_verb_of_the_plugin_is_shown() -> None:
    shown = set(re.findall(r"^kubectl toolman ([a-z]+)", POLICIES, re.MULTILINE))
    assert shown == set(command.VERBS)


@pytest.mark.requirement("O-35")
def test_every_path_field_and_bound_of_the_read_api_is_in_its_page() -> None:
    fields = {field for some in (*documents._FIELDS.values(), *documents._SPEC.values()) for field in some}
    left_out = {"suspend", "warnings"}  # of which an example has none
    assert {field for field in fields - left_out if field not in READ_API} == set()
    for kind in ("servers", "agents", "policies"):
        assert f"`/api/v1/{kind}`" in READ_API
    assert f"from 1 to {app.MOST}\n(default {app.LIMIT})" in READ_API
    assert f"more than {serving.CONNECTIONS} requests" in READ_API
    assert callers.REMEMBERED == 10.0

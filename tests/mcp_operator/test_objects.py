from __future__ import annotations

from typing import Any

import pytest
from mcp_operator.models.policy import ToolPolicySpec
from mcp_operator.models.server import MCPServerSpec
from mcp_operator.objects import InvalidSpecError, Versions, parse

pytestmark = [pytest.mark.requirement("O-36")]


def policy(version: str | None, name: str = "cap", **spec: object) -> dict[str, Any]:
    metadata = {"name": name, "uid": f"uid-{name}", **({"resourceVersion": version} if version else {})}
    return {"metadata": metadata, "spec": {"tools": {}, **spec}}


def test_each_version_of_an_object_is_read_once() -> None:
    versions = Versions(ToolPolicySpec, 10)
    first = versions.parse(policy("1"))
    assert versions.parse(policy("1")) is first
    other = versions.parse(policy("2", enforcement="Audit"))
    assert (first.spec.enforcement, other.spec.enforcement) == ("Enforce", "Audit")
    assert versions.parse(policy("1", "another")).name == "another"


def test_what_has_no_version_and_what_cannot_be_read_is_read_anew() -> None:
    versions = Versions(ToolPolicySpec, 10)
    assert versions.parse(policy(None)) is not versions.parse(policy(None))
    for _ in range(2):
        with pytest.raises(InvalidSpecError, match=r"spec\.colour"):
            versions.parse(policy("3", colour="red"))


def test_the_versions_that_are_kept_are_bounded() -> None:
    versions = Versions(ToolPolicySpec, 1)
    first = versions.parse(policy("1"))
    versions.parse(policy("2"))
    assert versions.parse(policy("1")) is not first


def test_defaults_are_not_copied_for_each_object() -> None:
    raw = {"metadata": {"name": "files", "uid": "1"}, "spec": {"source": {"npm": {"package": "files"}}}}
    assert parse(MCPServerSpec, raw).spec.run is parse(MCPServerSpec, raw).spec.run

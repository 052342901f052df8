"""The definitions are structural schemas that say everything that the models say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from mcp_operator import crds, names
from mcp_operator.models.server import MCPServerSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.requirement("F-04")

EVERY_KIND = pytest.mark.parametrize("kind", crds.KINDS, ids=lambda kind: kind.kind)


def _nodes(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, part in node.get("properties", {}).items():
        yield from _nodes(part, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in node:
            yield from _nodes(node[key], f"{path}[]")


def _schema(kind: crds.Kind) -> dict[str, Any]:
    (version,) = crds.manifest(kind)["spec"]["versions"]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema


@EVERY_KIND
def test_a_schema_holds_nothing_that_kubernetes_does_not_take(kind: crds.Kind) -> None:
    for path, node in _nodes(_schema(kind)):
        assert not {"title", "$ref", "$defs", "anyOf", "allOf", "const"} & set(node), path
        assert node.get("additionalProperties") is not False, path
        assert "type" in node or node.get("x-kubernetes-int-or-string"), path


@EVERY_KIND
def test_every_field_says_what_it_is(kind: crds.Kind) -> None:
    root = _schema(kind)["properties"]
    silent = [
        path
        for part in ("spec", "status")
        for path, node in _nodes(root[part], part)
        if not path.endswith("[]") and not path.endswith("[].name") and not node.get("description")
    ]
    assert silent == []


@EVERY_KIND
def test_a_definition_is_served_with_status_short_name_and_category(kind: crds.Kind) -> None:
    manifest = crds.manifest(kind)
    (version,) = manifest["spec"]["versions"]
    assert manifest["metadata"]["name"] == f"{kind.plural}.{names.GROUP}"
    assert version["subresources"] == {"status": {}}
    assert manifest["spec"]["names"]["shortNames"] == [kind.short]
    assert manifest["spec"]["names"]["categories"] == ["toolman"]
    assert manifest["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


@EVERY_KIND
def test_every_column_shows_a_field_that_exists(kind: crds.Kind) -> None:
    known = {path.removeprefix(".") for path, _ in _nodes(_schema(kind))}
    for column in kind.columns:
        if not column.path.startswith((".metadata.", ".status.conditions[?")):
            assert column.path.removeprefix(".") in known


def test_short_names_and_scopes_are_the_promised_ones() -> None:
    assert [(kind.kind, kind.short, kind.scope) for kind in crds.KINDS] == [
        ("MCPServer", "mcps", "Namespaced"),
        ("MCPAgent", "mcpa", "Namespaced"),
        ("ToolPolicy", "tpol", "Cluster"),
    ]


def test_an_optional_field_is_optional_and_not_nullable() -> None:
    commit = crds.schema(MCPServerSpec)["properties"]["source"]["properties"]["git"]["properties"]["ref"]
    assert commit["properties"]["commit"]["type"] == "string"
    assert "required" not in commit
    assert commit["default"] == {}


def test_a_default_repeats_nothing_that_its_fields_fill_in() -> None:
    spec = crds.schema(MCPServerSpec)["properties"]
    assert spec["tools"]["default"] == {}
    assert spec["tools"]["properties"]["changes"]["default"] == "Auto"


def test_a_default_with_rules_is_whole_since_the_rules_are_asked_before_anything_is_filled_in() -> None:
    resources = crds.schema(MCPServerSpec)["properties"]["run"]["properties"]["resources"]
    assert resources["default"] == {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}


def test_nothing_is_filled_into_a_status() -> None:
    for kind in crds.KINDS:
        assert all("default" not in node for _, node in _nodes(_schema(kind)["properties"]["status"]))


def test_alternatives_are_refused_rather_than_half_described() -> None:
    with pytest.raises(TypeError, match="alternatives"):
        crds._resolved({"anyOf": [{"type": "string"}, {"type": "integer"}]}, {})


def test_one_value_becomes_an_enumeration() -> None:
    assert crds._structural({"const": "a", "type": "string"}, {}) == {"type": "string", "enum": ["a"]}

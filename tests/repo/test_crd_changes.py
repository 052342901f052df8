from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from mcp_operator import crds

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import crd_changes  # noqa: E402 - scripts are no package

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.requirement("O-38")]

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["url"],
    "properties": {
        "url": {"type": "string", "maxLength": 10, "pattern": "^https"},
        "mode": {"type": "string", "enum": ["a", "b"], "default": "a"},
        "count": {"type": "integer", "minimum": 1, "maximum": 5},
        "list": {"type": "array", "maxItems": 3, "items": {"type": "string"}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "map": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 5}},
    },
}


def definition(schema: dict[str, Any]) -> dict[str, Any]:
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "things", "kind": "Thing", "shortNames": ["th"]}
    return {"spec": {"group": "test", "scope": "Namespaced", "names": names, "versions": [version]}}


def changed(change: Callable[[dict[str, Any]], object]) -> list[str]:
    after = copy.deepcopy(SCHEMA)
    change(after)
    return crd_changes.taken_away(definition(SCHEMA), definition(after))


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s["properties"].update(new={"type": "string", "maxLength": 1}),
        lambda s: s["properties"]["mode"].update(enum=["a", "b", "c"]),
        lambda s: s["properties"]["mode"].pop("enum"),
        lambda s: s["properties"]["url"].pop("pattern"),
        lambda s: s["properties"]["count"].update(minimum=0, maximum=9),
        lambda s: s.update(required=[]),
        lambda s: s["properties"]["url"].update(description="other words"),
    ],
)
def test_additions_and_what_is_looser_are_fine(change: Callable[[dict[str, Any]], object]) -> None:
    assert changed(change) == []


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda s: s["properties"].pop("mode"), ".mode was removed"),
        (lambda s: s["properties"]["mode"].update(enum=["a"]), ".mode allows fewer values: ['a']"),
        (lambda s: s["properties"]["url"].update(enum=["x"]), ".url allows fewer values: ['x']"),
        (lambda s: s["properties"]["url"].update(pattern="^http"), ".url has another pattern: ^http"),
        (lambda s: s["properties"]["url"].update(maxLength=9), ".url has a lower maxLength: 9"),
        (lambda s: s["properties"]["url"].update(minLength=1), ".url has a higher minLength: 1"),
        (lambda s: s["properties"]["count"].update(minimum=2), ".count has a higher minimum: 2"),
        (lambda s: s["properties"]["list"].update(maxItems=2), ".list has a lower maxItems: 2"),
        (lambda s: s["properties"]["map"]["additionalProperties"].update(maxLength=4), ".map[] has a lower maxLength"),
        (lambda s: s["properties"]["list"]["items"].update(type="integer"), ".list[] has another type: string before"),
        (lambda s: s["properties"]["mode"].update(default="b"), ".mode has another default: 'a' before, 'b' now"),
        (lambda s: s["properties"]["mode"].pop("default"), ".mode has another default: 'a' before, None now"),
        (lambda s: s["properties"]["free"].clear(), ".free lost x-kubernetes-preserve-unknown-fields"),
        (lambda s: s.update(required=["url", "mode"]), ".mode became required"),
        (lambda s: s.update({"x-kubernetes-validations": [{"rule": "false"}]}), " has another rule: false"),
    ],
)
def test_what_is_taken_away_is_named(change: Callable[[dict[str, Any]], object], line: str) -> None:
    assert any(each.startswith(line) for each in changed(change))


def test_versions_and_names_stay() -> None:
    after = definition(SCHEMA)
    after["spec"]["versions"][0]["served"] = False
    after["spec"]["names"]["shortNames"] = []
    lines = crd_changes.taken_away(definition(SCHEMA), after)
    assert lines == ["spec.names.shortNames changed", "version v1 is not served"]


@pytest.mark.parametrize("kind", crds.KINDS, ids=lambda kind: kind.crd)
def test_nothing_is_taken_away_from_the_last_release(kind: crds.Kind) -> None:
    before = yaml.safe_load((ROOT / "deploy" / "released" / f"{kind.crd}.yaml").read_text())
    after = json.loads(json.dumps(crds.manifest(kind)))
    assert crd_changes.taken_away(before, after) == []

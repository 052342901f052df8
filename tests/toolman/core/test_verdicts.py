from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from gateway_world import EVERYTHING, item, layer, offers, server, settings
from toolman.core import verdicts
from toolman.core.verdicts import Judged, Stock, judge
from toolman.policy import Layer, Limits

from toolman import config, manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolman.policy import Enforcement
    from toolman.upstreams.offers import Item

pytestmark = pytest.mark.requirement("T-10")


def judged(*layers: Layer, tools: Sequence[str | Item] = ("a", "b", "c"), **changes: Any) -> Judged:  # noqa: ANN401
    chosen = settings(server(**changes), layers=layers or (EVERYTHING,))
    return judge(chosen, chosen.servers[0], Stock(offers(tools)))


def bounded(source: str = "B", enforcement: Enforcement = "enforce", **limits: int) -> Layer:
    known: dict[str, Any] = dict(limits)
    return Layer(source=source, enforcement=enforcement, limits=Limits(**known))


def said(found: Judged) -> dict[str, tuple[bool, str, str]]:
    return {thing.item.name: thing.verdict[:3] for thing in found.things}


def test_each_kind_is_decided_by_its_own_rules_on_the_servers_own_name() -> None:
    rules = layer(tools={"deny": ["a"]}, prompts={"deny": ["p"]}, resources={"deny": ["file:///x", "file:///{secret}"]})
    chosen = settings("s", layers=[rules])
    things = offers(["a", "p"], prompts=["a", "p"], resources=["file:///x", "a:b"], templates=["file:///{secret}"])
    found = judge(chosen, chosen.servers[0], Stock(things)).things
    assert [(thing.kind, thing.item.name) for thing in found if not thing.verdict.allowed] == [
        ("tools", "a"),
        ("prompts", "p"),
        ("resources", "file:///x"),
        ("templates", "file:///{secret}"),
    ]


@pytest.mark.parametrize("name", ["A", "a ", "\uff41", "a\u0301", "s__a", "a\0"])
def test_a_name_that_looks_like_a_denied_one_is_another_name(name: str) -> None:
    found = judged(layer(tools={"deny": ["a", "\u00e1"]}), tools=[name])
    assert found.things[0].verdict.allowed
    found = judged(layer(tools={"allow": ["a", "\u00e1"]}), tools=[name])
    assert not found.things[0].verdict.allowed


def test_without_a_layer_about_a_server_nothing_of_it_is_allowed() -> None:
    found = judged(layer(servers=("other",)))
    assert set(said(found).values()) == {(False, "NoLayer", "")}


@pytest.mark.requirement("T-13")
class TestPins:
    def recorded(self, *tools: tuple[str, dict[str, str]]) -> tuple[manifest.Tool, ...]:
        return tuple(manifest.Tool(name, manifest.tool_hash(dict(tool, name=name))) for name, tool in tools)

    def test_a_tool_that_differs_or_is_new_is_hidden(self) -> None:
        pinned = self.recorded(("a", {"description": "x"}), ("b", {"description": "x"}))
        tools = [item("a", description="x"), item("b", description="y"), item("c")]
        found = judged(tools=tools, manifest=pinned)
        assert said(found) == {
            "a": (True, "Allowed", ""),
            "b": (False, "Pinned", "manifest"),
            "c": (False, "Pinned", "manifest"),
        }
        assert [thing.pin for thing in found.things] == ["same", "differs", "added"]

    def test_audit_reports_and_hides_nothing(self) -> None:
        found = judged(manifest=self.recorded(("a", {"description": "x"})), pin="audit")
        assert all(thing.verdict.allowed for thing in found.things)
        assert [thing.verdict.would_deny for thing in found.things] == [("manifest",)] * 3

    def test_off_compares_nothing(self) -> None:
        found = judged(manifest=(), pin="off")
        assert [thing.pin for thing in found.things] == ["", "", ""]
        assert all(thing.verdict.allowed for thing in found.things)

    def test_an_empty_manifest_hides_everything(self) -> None:
        assert not any(thing.verdict.allowed for thing in judged(manifest=()).things)

    def test_the_reason_of_policy_comes_first(self) -> None:
        assert said(judged(layer(tools={"deny": ["a"]}), manifest=()))["a"] == (False, "Denied", "L")

    def test_what_the_manifest_has_and_the_server_does_not_list_is_missing(self) -> None:
        pinned = self.recorded(("a", {}), ("z", {}))
        assert judged(manifest=pinned).missing == ("z",)
        chosen = settings(server(manifest=pinned))
        assert judge(chosen, chosen.servers[0], Stock(offers(), is_there=False)).missing == ()


@pytest.mark.requirement("T-12")
class TestBounds:
    def shown(self, found: Judged, *layers: Layer, others: tuple[Judged, ...] = ()) -> list[str]:
        changed = verdicts.cut(layers, [found, *others])
        return [thing.item.name for thing in found.things if changed.get(thing, thing.verdict).allowed]

    def test_tools_behind_the_bound_are_denied_by_its_layer(self) -> None:
        found = judged()
        changed = verdicts.cut([bounded(max_tools=2)], [found])
        assert [(thing.item.name, verdict[:3]) for thing, verdict in changed.items()] == [("c", (False, "Limit", "B"))]

    def test_the_tightest_layer_counts(self) -> None:
        assert self.shown(judged(), bounded("A", max_tools=2), bounded("B", max_tools=1)) == ["a"]

    def test_a_layer_counts_over_all_servers_that_it_is_about(self) -> None:
        first, second = judged(name="x"), judged(name="y")
        layers = [bounded(max_tools=4)]
        changed = verdicts.cut(layers, [first, second])
        assert {(thing.server, thing.item.name) for thing in changed} == {("y", "b"), ("y", "c")}
        assert self.shown(second, Layer(source="B", servers=("y",), limits=Limits(max_tools=3)), others=(first,)) == [
            "a",
            "b",
            "c",
        ]

    def test_a_denied_tool_takes_no_room(self) -> None:
        found = judged(layer(tools={"deny": ["a"]}))
        assert self.shown(found, bounded(max_tools=2)) == ["b", "c"]

    def test_a_tool_that_does_not_fit_does_not_hide_smaller_ones_behind_it(self) -> None:
        found = judged(tools=[item("a"), item("huge", description="x" * 10_000), item("b")])
        assert self.shown(found, bounded(max_list_tokens=100)) == ["a", "b"]

    def test_tokens_are_those_of_the_tools_as_they_are_shown(self) -> None:
        found = judged()
        assert [thing.tokens for thing in found.things] == [manifest.tokens(len(b'{"name":"s__a"}'))] * 3
        assert self.shown(found, bounded(max_list_tokens=2 * found.things[0].tokens)) == ["a", "b"]

    def test_a_layer_in_audit_mode_hides_nothing_and_says_what_it_would(self) -> None:
        found = judged()
        changed = verdicts.cut([bounded(enforcement="audit", max_tools=2)], [found])
        assert [(verdict.allowed, verdict.would_deny) for verdict in changed.values()] == [(True, ("B",))]


INVALID = {"type": "object", "properties": {"a": {"type": "object", "x-mcp-header": "A"}}}


@pytest.mark.parametrize(
    ("upstream", "era", "reason"),
    [
        (config.Http(url="http://x/mcp"), "modern", "Unusable"),
        (config.Http(url="http://x/mcp"), "legacy", "Allowed"),
        (config.Process(command=("x",)), "modern", "Allowed"),
    ],
)
@pytest.mark.requirement("T-02")
def test_a_tool_whose_headers_cannot_be_written_is_left_out_where_there_are_headers(
    upstream: config.Upstream, era: str, reason: str
) -> None:
    chosen = settings(server(upstream=upstream))
    things = offers([item("a", inputSchema=INVALID)], hello={"era": era})
    assert judge(chosen, chosen.servers[0], Stock(things)).things[0].verdict.reason == reason

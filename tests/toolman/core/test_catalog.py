from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from gateway_world import EVERYTHING, item, layer, listed, offers, server, settings, view
from msgspec import Raw
from toolman.config import Listen, Secret
from toolman.core.catalog import MAX_TTL, View
from toolman.core.verdicts import COLLISION, Kind, Stock, judge
from toolman.policy import Layer, Limits, Rules
from toolman.upstreams import Hello
from toolman.upstreams.offers import Item, Offers

from toolman import jsonrpc, manifest

pytestmark = pytest.mark.requirement("T-07")


def raw(text: bytes, key: str = "name") -> Item:
    members = jsonrpc.members(text, frozenset())
    return Item(json.loads(bytes(members[key])), members)


def test_lists_are_in_the_order_of_the_configuration_and_then_of_the_server() -> None:
    seen = view(settings("b", "a"), {"a": offers(["z", "y"], prompts=["p"]), "b": offers(["t"], prompts=["q"])})
    assert listed(seen) == ["b__t", "a__z", "a__y"]
    assert listed(seen, "prompts") == ["b__q", "a__p"]


@pytest.mark.requirement("T-05")
def test_nothing_but_the_name_of_a_tool_changes() -> None:
    text = (
        b'{"x-unknown": 9007199254740993, "name": "t", "inputSchema": {"default":null , "a": 1.0},"_meta":{"n":1e400}}'
    )
    seen = view(settings("s"), {"s": offers([raw(text)])})
    shown = (
        b'{"x-unknown":9007199254740993,"name":"s__t","inputSchema":{"default":null , "a": 1.0},"_meta":{"n":1e400}}'
    )
    assert seen.listing("tools") == b'{"tools":[' + shown + b"]}"


@pytest.mark.requirement("T-05")
def test_resources_and_templates_stay_as_they_are() -> None:
    text = b'{"uri":"file:///\\u00e4","x":[1.0],"name":"n"}'
    seen = view(settings("s"), {"s": Offers(Hello("legacy", "2025-11-25"), resources=(raw(text, "uri"),))})
    assert seen.listing("resources") == b'{"resources":[' + text + b"]}"
    assert seen.resources["file:///\u00e4"].wire == b'"file:///\\u00e4"'


def test_a_list_that_a_server_wrote_on_many_lines_is_one_line() -> None:
    seen = view(settings("s"), {"s": offers([raw(b'{"name":"t","inputSchema":{\n\r"a":1}}')])})
    assert b"\n" not in seen.listing("tools")
    assert json.loads(seen.listing("tools"))["tools"][0]["inputSchema"] == {"a": 1}


@pytest.mark.requirement("T-10")
def test_a_list_and_a_route_come_from_the_same_decision() -> None:
    layers = [Layer(source="A", tools=Rules(allow=("r*",))), Layer(source="B", tools=Rules(deny=("rm",)))]
    seen = view(settings("s", layers=layers), {"s": offers(["read", "rm", "write"])})
    assert listed(seen) == ["s__read"] == list(seen.tools)
    route = seen.tools["s__read"]
    assert (route.server, route.name, route.wire) == ("s", "read", b'"read"')
    assert {(entry.name, entry.reason, entry.source) for entry in seen.hidden.values()} == {
        ("rm", "Denied", "B"),
        ("write", "NotListed", "A"),
    }


@pytest.mark.requirement("T-11")
def test_a_layer_in_audit_mode_is_named_with_what_it_would_deny() -> None:
    audit = Layer(source="A", enforcement="audit", tools=Rules(deny=("t",)))
    seen = view(settings("s", layers=[EVERYTHING, audit]), {"s": offers(["t"])})
    assert seen.tools["s__t"].decision.would_deny == ("A",)
    assert seen.entries()[0].would_deny == ("A",)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("tools", {"tools": ["t"]}),
        ("prompts", {"prompts": ["t"]}),
        ("resources", {"resources": ["t"]}),
        ("templates", {"templates": ["t"]}),
    ],
)
def test_two_visible_things_of_one_name_are_both_hidden(kind: Kind, given: dict[str, Any]) -> None:
    seen = view(settings("a", "b", naming="plain"), {"a": offers(**given), "b": offers(**given)})
    assert listed(seen, kind) == []
    assert seen.collisions == [(kind, "t")]
    assert seen.hidden[kind, "t"].reason == COLLISION


def test_names_that_become_one_by_replacing_characters_collide() -> None:
    seen = view(settings("s"), {"s": offers(["a.b", "a_b", "c"])})
    assert listed(seen) == ["s__c"]
    assert seen.collisions == [("tools", "s__a_b")]


def test_a_prefix_cannot_be_faked() -> None:
    layers = [layer(servers=("a",), tools={"deny": ["*"]}), EVERYTHING]
    seen = view(settings("a", "a-b", layers=layers), {"a": offers(["b__c", "c"]), "a-b": offers(["c", "_a__c"])})
    assert listed(seen) == ["a-b__c", "a-b___a__c"]


def test_a_denied_tool_takes_no_name_away() -> None:
    layers = [EVERYTHING, layer(servers=("b",), tools={"deny": ["t"]})]
    seen = view(settings("a", "b", naming="plain", layers=layers), {"a": offers(["t"]), "b": offers(["t"])})
    assert seen.tools["t"].server == "a"


def test_names_that_differ_in_case_or_in_unicode_are_two() -> None:
    seen = view(settings("s", naming="plain"), {"s": offers(["t", "T", "\u00e9", "e\u0301"])})
    assert listed(seen) == ["t", "T", "\u00e9", "e\u0301"]


def test_an_endpoint_for_one_server_has_that_one_alone_and_the_same_names() -> None:
    chosen, offered = settings("a", "b"), {"a": offers(["t"], resources=["x:1"]), "b": offers(["t"], resources=["x:2"])}
    seen = view(chosen, offered, "b")
    assert listed(seen) == ["b__t"]
    assert listed(seen, "resources") == ["x:2"]
    assert seen.owner("x:1") is None
    assert view(chosen, offered).owner("x:1") == ("a", view(chosen, offered).resources["x:1"].decision)


def test_on_an_endpoint_for_one_server_no_other_server_takes_names_away() -> None:
    chosen, offered = settings("a", "b", naming="plain"), {"a": offers(["t"]), "b": offers(["t"])}
    assert listed(view(chosen, offered)) == []
    assert listed(view(chosen, offered, "a")) == ["t"]


@pytest.mark.requirement("T-12")
def test_endpoints_for_one_server_are_no_way_around_what_bounds_all() -> None:
    few = Layer(source="few", limits=Limits(max_tools=3))
    chosen, offered = settings("a", "b", layers=[few]), {"a": offers(["1", "2"]), "b": offers(["1", "2"])}
    assert listed(view(chosen, offered)) == ["a__1", "a__2", "b__1"]
    assert listed(view(chosen, offered, "b")) == ["b__1"]
    assert view(chosen, offered).hidden["tools", "b__2"].reason == "Limit"


@pytest.mark.requirement("T-01")
class TestModernListings:
    def read(self, seen: View, kind: Kind = "tools") -> dict[str, Any]:
        found: dict[str, Any] = json.loads(seen.modern_listing(kind))
        return found

    def test_a_list_says_how_long_it_holds_and_who_says_so(self) -> None:
        found = self.read(view(settings("s"), {"s": offers(["t"])}))
        assert (found["resultType"], found["ttlMs"], found["cacheScope"]) == ("complete", MAX_TTL, "private")
        assert found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "toolman"
        assert [tool["name"] for tool in found["tools"]] == ["s__t"]

    def test_templates_have_their_own_key(self) -> None:
        found = self.read(view(settings("s"), {"s": offers(templates=["file:///{x}"])}), "templates")
        assert found["resourceTemplates"] == [{"uriTemplate": "file:///{x}"}]

    def test_the_shortest_bound_of_the_servers_counts(self) -> None:
        given = {"a": offers(["t"], ttl=3000), "b": offers(["t"], ttl=100), "c": offers(["t"])}
        assert self.read(view(settings("a", "b", "c"), given))["ttlMs"] == 100
        assert self.read(view(settings("a"), {"a": offers(ttl=10**9)}))["ttlMs"] == MAX_TTL

    def test_caches_may_share_a_list_if_all_servers_say_so_and_nobody_must_show_a_token(self) -> None:
        both, one = (
            {"a": offers(is_public=True), "b": offers(is_public=True)},
            {"a": offers(is_public=True), "b": offers()},
        )
        assert self.read(view(settings("a", "b"), both))["cacheScope"] == "public"
        assert self.read(view(settings("a", "b"), one))["cacheScope"] == "private"
        guarded = settings("a", "b", listen=Listen(token=Secret(file="/x")))
        assert self.read(view(guarded, both))["cacheScope"] == "private"

    def test_it_is_written_once(self) -> None:
        seen = view(settings("s"), {"s": offers(["t"])})
        assert seen.modern_listing("tools") is seen.modern_listing("tools")
        assert seen.listing("tools") is seen.listing("tools")


def test_changes_are_of_the_kinds_whose_lists_differ() -> None:
    before = view(settings("s"), {"s": offers(["t"], prompts=["p"], templates=["x:{a}"])})
    same = view(settings("s"), {"s": offers(["t"], prompts=["p"], templates=["x:{a}"], ttl=1)})
    after = view(settings("s"), {"s": offers(["t", "u"], prompts=["p"], templates=["x:{b}"])})
    assert same.changes(before) == []
    assert after.changes(before) == ["resources", "tools"]
    after.follow(before)
    assert after.generation == {"tools": 2, "prompts": 1, "resources": 2}


@pytest.mark.parametrize("kind", ["tools", "prompts", "resources", "templates"])
def test_one_thing_of_any_kind_is_something(kind: str) -> None:
    given: dict[str, Any] = {kind: ["x:1"]}
    assert view(settings("s"), {"s": offers(**given)}).has_anything
    assert not view(settings("s", layers=[]), {"s": offers(**given)}).has_anything


def test_extensions_are_those_of_one_server() -> None:
    told = {"capabilities": b'{"extensions":{"x/y":{},"x/z":{}}}'}
    chosen = settings("a", "b", layers=[layer(extensions={"deny": ["x/z"]})])
    assert view(chosen, {"a": offers(hello=told), "b": offers()}).extensions("modern") == {"x/y": "a"}
    assert view(chosen, {"a": offers(hello=told), "b": offers(hello=told)}).extensions("modern") == {}


def test_a_change_of_what_is_hidden_is_none() -> None:
    chosen = settings("s", layers=[layer(tools={"deny": ["x*"]})])
    assert view(chosen, {"s": offers(["t", "x1"])}).changes(view(chosen, {"s": offers(["t"])})) == []


def test_a_route_knows_which_arguments_headers_mirror() -> None:
    schema = {"type": "object", "properties": {"r": {"type": "string", "x-mcp-header": "Region"}}}
    seen = view(settings("s"), {"s": offers([item("t", inputSchema=schema), item("u")])})
    assert [each.token for each in seen.tools["s__t"].mirrored] == ["Region"]
    assert seen.tools["s__u"].mirrored == ()


def test_annotations_that_are_not_valid_break_nothing() -> None:
    schema = {"type": "object", "properties": {"r": {"type": "object", "x-mcp-header": "no header"}}}
    seen = view(settings("s"), {"s": offers([item("t", inputSchema=schema)])})
    assert listed(seen) == ["s__t"]
    assert seen.tools["s__t"].mirrored == ()


@pytest.mark.requirement("T-13")
def test_entries_tell_everything_about_everything() -> None:
    recorded = (manifest.Tool("t", manifest.tool_hash({"name": "t"})), manifest.Tool("gone", "sha256:0"))
    chosen = settings(server(manifest=recorded), layers=[layer(prompts={"deny": ["p"]})])
    seen = view(chosen, {"s": offers(["t", "new"], prompts=["p"], resources=["x:1"])})
    found = {(entry.kind, entry.name): entry for entry in seen.entries()}
    assert (found["tools", "t"].hash, found["tools", "t"].pin) == (recorded[0].hash, "same")
    assert (found["tools", "new"].reason, found["tools", "new"].pin) == ("Pinned", "added")
    assert (found["tools", "gone"].reason, found["tools", "gone"].pin) == ("Missing", "missing")
    assert (found["prompts", "p"].reason, found["prompts", "p"].source) == ("Denied", "L")
    assert found["resources", "x:1"].allowed
    assert seen.pinned == {("s", "new"), ("s", "gone")}
    assert json.loads(msgspec.json.encode(found["tools", "gone"])) == {
        "server": "s",
        "kind": "tools",
        "name": "gone",
        "exposed": "",
        "allowed": False,
        "reason": "Missing",
        "source": "manifest",
        "pin": "missing",
    }


def test_tokens_are_counted_before_and_after() -> None:
    chosen = settings("s", layers=[layer(tools={"deny": ["b"]})])
    seen = view(chosen, {"s": offers(["a", "b"])})
    assert seen.tokens() == (4, 8)
    assert seen.total == 2


def test_what_a_server_that_is_away_offered_is_not_shown_and_what_it_can_is_remembered() -> None:
    chosen = settings("s")
    known = Offers(offers().hello)
    seen = View(chosen, [judge(chosen, chosen.servers[0], Stock(known, is_there=False))])
    assert listed(seen) == []
    assert json.loads(seen.advertise("legacy").capabilities)["prompts"] == {"listChanged": True}


def test_a_name_with_half_a_character_is_one_that_can_be_decided_on_and_called() -> None:
    members = {"name": Raw(b'"\\ud800x"')}
    seen = view(settings("s"), {"s": Offers(Hello("legacy", "2025-11-25"), tools=(Item("\ufffdx", members),))})
    assert listed(seen) == ["s___x"]
    assert seen.tools["s___x"].wire == b'"\\ud800x"'


@pytest.mark.requirement("T-10")
def test_a_server_of_which_nothing_is_visible_says_nothing_to_agents() -> None:
    told = offers(["t"], hello={"instructions": "call t"})
    assert view(settings("s"), {"s": told}).advertise("legacy").instructions == "call t"
    denied = view(settings("s", layers=[layer(tools={"deny": ["*"]})]), {"s": told})
    assert denied.advertise("legacy").instructions is None
    unknown = view(settings("s", layers=[]), {"s": told})
    assert unknown.speakers == ()
    assert json.loads(unknown.advertise("legacy").capabilities) == {"tools": {"listChanged": True}}

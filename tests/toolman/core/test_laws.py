"""What holds for every view, whatever layers and servers there are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from gateway_world import item, listed, offers, settings, view
from hypothesis import given
from hypothesis import strategies as st
from toolman.core.verdicts import KINDS
from toolman.policy import Layer, Limits, Rules, decide

if TYPE_CHECKING:
    from toolman.core.catalog import View
    from toolman.upstreams.offers import Offers

    from toolman import config

pytestmark = [pytest.mark.requirement("T-07"), pytest.mark.requirement("T-10"), pytest.mark.requirement("T-11")]

NAMES = st.text("abAB_.*\u00e9", min_size=1, max_size=3)
GLOBS = st.lists(NAMES, max_size=3).map(tuple)
RULES = st.builds(Rules, allow=st.none() | GLOBS, deny=GLOBS)
LIMITS = st.builds(Limits, max_tools=st.none() | st.integers(1, 4), max_list_tokens=st.none() | st.integers(1, 30))
LAYERS = st.builds(
    Layer,
    source=st.sampled_from(["A", "B", "C"]),
    enforcement=st.sampled_from(["enforce", "audit"]),
    servers=st.sampled_from([("*",), ("a",), ("b*",), ()]),
    tools=RULES,
    prompts=RULES,
    resources=RULES,
    limits=LIMITS,
)
OFFERS = st.builds(
    lambda tools, prompts, resources: offers([item(name) for name in tools], prompts=prompts, resources=resources),
    st.lists(NAMES, unique=True, max_size=6),
    st.lists(NAMES, unique=True, max_size=3),
    st.lists(NAMES, unique=True, max_size=3),
)
SERVED = st.fixed_dictionaries({"a": OFFERS, "b": OFFERS})
LAYERED = st.lists(LAYERS, max_size=3)


def made(layers: list[Layer], served: dict[str, Offers], naming: config.Naming = "prefixed") -> View:
    return view(settings("a", "b", layers=layers, naming=naming), served)


def shown(seen: View) -> set[tuple[str, str, str]]:
    """Give kind, server and own name of everything that is visible."""
    return {(kind, route.server, route.name) for kind in KINDS for route in getattr(seen, kind).values()}


@given(layers=LAYERED, served=SERVED, naming=st.sampled_from(["prefixed", "plain"]))
def test_everything_visible_is_allowed_listed_and_routed_alike(
    layers: list[Layer], served: dict[str, Offers], naming: config.Naming
) -> None:
    seen = made(layers, served, naming)
    for kind in KINDS:
        routes = getattr(seen, kind)
        assert listed(seen, kind) == list(routes)
        assert json.loads(seen.modern_listing(kind)).items() >= json.loads(seen.listing(kind)).items()
        for route in routes.values():
            of = "resources" if kind == "templates" else kind
            assert decide(layers, route.server, of, route.name).allowed
    assert shown(seen) == {(entry.kind, entry.server, entry.name) for entry in seen.entries() if entry.allowed}


@given(layers=LAYERED, more=LAYERS, served=SERVED)
def test_another_layer_never_allows_what_was_denied(
    layers: list[Layer], more: Layer, served: dict[str, Offers]
) -> None:
    denied = {(e.kind, e.server, e.name) for e in made(layers, served).entries() if e.reason in {"Denied", "NotListed"}}
    assert not denied & shown(made([*layers, more], served))


@given(layers=LAYERED, more=LAYERS, served=SERVED)
def test_a_layer_in_audit_mode_changes_nothing_that_is_visible(
    layers: list[Layer], more: Layer, served: dict[str, Offers]
) -> None:
    audit = Layer(source="audit", enforcement="audit", servers=more.servers, tools=more.tools, limits=more.limits)
    before, after = made(layers, served), made([*layers, audit], served)
    assert all(before.listing(kind) == after.listing(kind) for kind in KINDS)


@given(layers=LAYERED, served=SERVED, naming=st.sampled_from(["prefixed", "plain"]))
def test_no_two_visible_things_have_one_name_and_each_clash_is_reported(
    layers: list[Layer], served: dict[str, Offers], naming: config.Naming
) -> None:
    seen = made(layers, served, naming)
    entries = seen.entries()
    clashes = [(entry.kind, entry.exposed) for entry in entries if entry.reason == "Collision"]
    assert sorted(set(clashes)) == seen.collisions
    assert all(clashes.count(clash) > 1 for clash in clashes)
    assert not {(kind, name) for kind in KINDS for name in getattr(seen, kind)} & set(clashes)


@given(layers=LAYERED, served=SERVED)
def test_no_more_is_visible_than_each_layer_has_room_for(layers: list[Layer], served: dict[str, Offers]) -> None:
    tools = {
        (entry.server, entry.name): entry.tokens for entry in made(layers, served).entries() if entry.kind == "tools"
    }
    visible = [thing for thing in shown(made(layers, served)) if thing[0] == "tools"]
    for each in (layer for layer in layers if layer.enforcement == "enforce"):
        about = [
            name
            for _, *name in visible
            if decide([Layer(source="x", servers=each.servers)], name[0], "tools", "x").allowed
        ]
        assert each.limits.max_tools is None or len(about) <= each.limits.max_tools
        cost = sum(tools[server, name] for server, name in about)
        assert each.limits.max_list_tokens is None or cost <= each.limits.max_list_tokens


@given(layers=LAYERED, served=SERVED)
def test_scopes_together_show_no_more_than_everything(layers: list[Layer], served: dict[str, Offers]) -> None:
    chosen = settings("a", "b", layers=layers)
    parts = shown(view(chosen, served, "a")) | shown(view(chosen, served, "b"))
    everything = view(chosen, served)
    tools = {thing for thing in parts if thing[0] == "tools"}
    clashes = {(entry.kind, entry.server, entry.name) for entry in everything.entries() if entry.reason == "Collision"}
    assert tools <= shown(everything) | clashes


@given(served=SERVED)
def test_without_a_layer_nothing_is_visible(served: dict[str, Offers]) -> None:
    assert shown(made([], served)) == set()

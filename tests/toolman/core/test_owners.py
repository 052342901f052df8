from __future__ import annotations

import pytest
from gateway_world import EVERYTHING, layer, offers, settings, view
from toolman.core.resources import MAX_URI

pytestmark = [pytest.mark.requirement("T-10"), pytest.mark.requirement("T-07")]


def test_a_listed_uri_is_its_servers_even_if_anothers_template_matches() -> None:
    given = {"a": offers(templates=["x:{y}"]), "b": offers(resources=["x:1"])}
    seen = view(settings("a", "b"), given)
    assert seen.owner("x:1") == ("b", seen.resources["x:1"].decision)


def test_an_unlisted_uri_is_that_of_the_server_whose_template_matches() -> None:
    seen = view(settings("a", "b"), {"a": offers(templates=["x:{y}"]), "b": offers(templates=["z:{y}"])})
    assert [(owner := seen.owner(uri)) and owner[0] for uri in ("x:1", "z:1", "w:1")] == ["a", "b", None]


def test_what_the_templates_of_two_servers_match_is_nobodys() -> None:
    seen = view(settings("a", "b"), {"a": offers(templates=["x:{y}"]), "b": offers(templates=["x:{+z}"])})
    assert seen.owner("x:1") is None
    denial = seen.denial("x:1")
    assert denial is not None
    assert denial.verdict.reason == "Collision"


def test_what_two_servers_list_is_nobodys() -> None:
    seen = view(
        settings("a", "b"), {"a": offers(resources=["x:1"]), "b": offers(resources=["x:1"], templates=["x:{y}"])}
    )
    assert seen.owner("x:1") is None


def test_a_denied_claim_leaves_the_uri_to_the_other_server() -> None:
    given = {"a": offers(templates=["x:{y}"]), "b": offers(templates=["x:{y}"])}
    seen = view(settings("a", "b", layers=[EVERYTHING, layer(servers=("a",), resources={"deny": ["x:1"]})]), given)
    assert seen.owner("x:1") is not None
    assert (seen.owner("x:1") or ("",))[0] == "b"


def test_a_uri_that_no_server_lists_and_no_template_matches_is_nobodys() -> None:
    assert view(settings("a"), {"a": offers(resources=["x:1"])}).owner("x:2") is None
    assert view(settings("a"), {"a": offers()}).owner("any:thing") is None


def test_policy_decides_on_the_uri_itself() -> None:
    chosen = settings("a", layers=[layer(resources={"allow": ["file:///data/*"]})])
    seen = view(chosen, {"a": offers(templates=["file:///{+path}"])})
    assert seen.templates == {}
    assert seen.owner("file:///data/x") is not None
    assert seen.owner("file:///etc/passwd") is None
    assert seen.owner("file:///data/../etc/passwd") is None


def test_a_denied_template_opens_nothing() -> None:
    chosen = settings("a", layers=[layer(resources={"deny": ["db://{table}"]})])
    seen = view(chosen, {"a": offers(templates=["db://{table}", "db://{+any}"])})
    assert seen.owner("db://users") is None
    assert seen.owner("db://users/1") is not None


def test_a_denied_resource_stays_denied_whatever_template_matches() -> None:
    chosen = settings("a", layers=[layer(resources={"deny": ["x:1"]})])
    seen = view(chosen, {"a": offers(resources=["x:1"], templates=["x:{y}"])})
    assert seen.owner("x:1") is None
    denial = seen.denial("x:1")
    assert denial is not None
    assert (denial.server, denial.verdict.reason, denial.verdict.source) == ("a", "Denied", "L")


def test_a_visible_uri_has_no_denial_and_neither_has_an_unknown_one() -> None:
    seen = view(settings("a", "b"), {"a": offers(resources=["x:1"]), "b": offers()})
    assert seen.denial("x:1") is None
    assert seen.denial("y:1") is None


def test_a_uri_without_end_is_nobodys() -> None:
    assert view(settings("a"), {"a": offers(templates=["{+x}"])}).owner("x" * (MAX_URI + 1)) is None


def test_a_flood_of_templates_is_looked_at_within_bounds() -> None:
    flood = [f"x{number}:{{a}}" + "b" * 1_000 for number in range(1_000)]
    seen = view(settings("a", "b"), {"a": offers(templates=[*flood, "y:{a}"]), "b": offers()})
    assert seen.owner("x0:1" + "b" * 1_000) is not None
    assert seen.owner("y:1") is None


def test_what_would_be_denied_is_told_with_the_owner() -> None:
    audit = layer("A", resources={"deny": ["x:*"]})
    chosen = settings("a", layers=[EVERYTHING, type(audit)(source="A", enforcement="audit", resources=audit.resources)])
    seen = view(chosen, {"a": offers(templates=["x:{y}"])})
    owner = seen.owner("x:1")
    assert owner is not None
    assert owner[1].would_deny == ("A",)

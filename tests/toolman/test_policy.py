from __future__ import annotations

from fnmatch import fnmatchcase

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some
from toolman.policy import ALLOWED, NO_LAYER, Decision, Kind, Layer, Limits, Rules, decide, matches, tightest

pytestmark = pytest.mark.requirement("T-10")

names = some.text("ab_/é\0", max_size=4)
globs = some.text("ab_*?", min_size=1, max_size=3)
rules = some.builds(
    Rules,
    allow=some.none() | some.lists(globs, max_size=2).map(tuple),
    deny=some.lists(globs, max_size=2).map(tuple),
)
layers = some.builds(
    Layer,
    source=some.sampled_from("ABC"),
    enforcement=some.sampled_from(["enforce", "audit"]),
    servers=some.sampled_from([("*",), ("git",), ("other",)]),
    tools=rules,
)


def layer(source: str, allow: tuple[str, ...] | None = None, deny: tuple[str, ...] = (), *servers: str) -> Layer:
    return Layer(source=source, servers=servers or ("*",), tools=Rules(allow=allow, deny=deny))


def audit(source: str, deny: tuple[str, ...] = ("*",)) -> Layer:
    return Layer(source=source, enforcement="audit", tools=Rules(deny=deny))


def test_without_a_layer_nothing_is_allowed() -> None:
    assert decide([], "git", "tools", "x") == NO_LAYER


def test_a_layer_about_another_server_allows_nothing() -> None:
    assert decide([layer("A", ("*",), (), "other")], "git", "tools", "x") == NO_LAYER


def test_a_layer_without_an_opinion_allows() -> None:
    assert decide([layer("A")], "git", "tools", "x") == ALLOWED


def test_deny_wins_over_allow() -> None:
    assert decide([layer("A", ("*",), ("rm",))], "git", "tools", "rm") == Decision(
        allowed=False, reason="Denied", source="A"
    )


def test_an_allow_list_denies_what_it_does_not_list_even_if_it_is_empty() -> None:
    for allow in ((), ("read*",)):
        decision = decide([layer("A", allow)], "git", "tools", "write")
        assert (decision.allowed, decision.reason) == (False, "NotListed")


def test_every_layer_must_allow_and_the_first_that_does_not_is_named() -> None:
    layers = [layer("A", ("*",)), layer("B", None, ("x",)), layer("C", ())]
    assert decide(layers, "git", "tools", "x").source == "B"
    assert decide(layers, "git", "tools", "y").source == "C"


def test_a_layer_speaks_about_its_servers_only() -> None:
    layers = [layer("A", None, ("*",), "other*"), layer("B")]
    assert decide(layers, "git", "tools", "x").allowed
    assert not decide(layers, "others", "tools", "x").allowed


@pytest.mark.parametrize("kind", ["tools", "prompts", "resources", "extensions", "server_requests"])
def test_each_kind_has_rules_of_its_own(kind: Kind) -> None:
    only = msgspec.structs.replace(Layer(source="A"), **{kind: Rules(deny=("x",))})
    assert decide([only], "git", kind, "x").reason == "Denied"
    others: tuple[Kind, ...] = ("tools", "prompts", "resources", "extensions", "server_requests")
    assert all(decide([only], "git", other, "x").allowed for other in others if other != kind)


@pytest.mark.requirement("T-11")
def test_a_layer_in_audit_mode_denies_nothing_and_says_what_it_would() -> None:
    decision = decide([audit("A"), layer("B"), audit("C", ("y",))], "git", "tools", "x")
    assert decision == Decision(allowed=True, reason="Allowed", would_deny=("A",))


@pytest.mark.requirement("T-11")
def test_a_layer_in_audit_mode_grants_nothing() -> None:
    assert decide([audit("A", ())], "git", "tools", "x") == NO_LAYER


@pytest.mark.requirement("T-11")
def test_what_is_denied_says_who_else_would_deny_it() -> None:
    decision = decide([layer("A", ()), audit("B")], "git", "tools", "x")
    assert (decision.source, decision.would_deny) == ("A", ("B",))


@pytest.mark.parametrize(
    ("glob", "name", "matched"),
    [
        ("git_*", "git_status", True),
        ("git_*", "GIT_status", False),
        ("git_*", "xgit_status", False),
        ("a", "a\n", False),
        ("a", "a\0", False),
        ("é", "e\u0301", False),
        ("a", "\u0430", False),
        ("a?c", "abc", True),
        ("[ab]", "b", True),
        ("*", "", True),
        ("*", "a\nb", True),
    ],
)
def test_globs_match_whole_names_case_sensitively(glob: str, name: str, matched: bool) -> None:  # noqa: FBT001
    assert decide([layer("A", (glob,))], "git", "tools", name).allowed is matched


@given(some.text("ab*?[]!-^\n", max_size=12), some.text("ab[]!-^\n", max_size=8))
def test_a_glob_matches_what_the_standard_librarys_does(glob: str, name: str) -> None:
    assert matches([glob], name) == fnmatchcase(name, glob)


@given(some.lists(layers, max_size=4), layers, names)
def test_one_more_layer_never_allows_what_was_denied_by_another(given: list[Layer], more: Layer, name: str) -> None:
    before = decide(given, "git", "tools", name)
    for position in range(len(given) + 1):
        after = decide([*given[:position], more, *given[position:]], "git", "tools", name)
        assert not after.allowed or before.allowed or before.reason == "NoLayer"


@given(some.lists(layers, max_size=4), names)
def test_the_order_of_layers_never_changes_the_verdict(given: list[Layer], name: str) -> None:
    verdict = decide(given, "git", "tools", name).allowed
    assert decide(given[::-1], "git", "tools", name).allowed is verdict


@pytest.mark.requirement("T-12")
def test_the_tightest_limit_of_all_enforcing_layers_about_the_server_counts() -> None:
    layers = [
        Layer(source="A", limits=Limits(calls_per_minute=60, max_tools=5)),
        Layer(source="B", limits=Limits(calls_per_minute=10)),
        Layer(source="C", enforcement="audit", limits=Limits(calls_per_minute=1)),
        Layer(source="D", servers=("other",), limits=Limits(max_tools=1)),
    ]
    assert tightest(layers, "git") == {"calls_per_minute": (10, "B"), "max_tools": (5, "A")}

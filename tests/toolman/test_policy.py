from __future__ import annotations

import pytest
from toolman.policy import ALLOWED, Decision, Layer, Rules, decide

pytestmark = pytest.mark.requirement("F-07")


def layer(source: str, allow: tuple[str, ...] | None = None, deny: tuple[str, ...] = (), *servers: str) -> Layer:
    return Layer(source=source, servers=servers or ("*",), tools=Rules(allow=allow, deny=deny))


def test_without_layers_everything_is_allowed() -> None:
    assert decide([], "git", "tools", "x") == ALLOWED


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
    layers = [layer("A", None, ("*",), "other*")]
    assert decide(layers, "git", "tools", "x").allowed
    assert not decide(layers, "others", "tools", "x").allowed


@pytest.mark.parametrize(
    ("glob", "name", "matched"),
    [
        ("git_*", "git_status", True),
        ("git_*", "GIT_status", False),
        ("git_*", "xgit_status", False),
        ("a", "a\n", False),
        ("a?c", "abc", True),
        ("[ab]", "b", True),
        ("*", "", True),
        ("*", "a\nb", True),
    ],
)
def test_globs_match_whole_names_case_sensitively(glob: str, name: str, matched: bool) -> None:  # noqa: FBT001
    assert decide([layer("A", (glob,))], "git", "tools", name).allowed is matched

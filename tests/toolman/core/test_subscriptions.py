from __future__ import annotations

import pytest
from toolman.core.subscriptions import Home, Subscriptions

pytestmark = pytest.mark.requirement("T-03")

HERE: Home = ("s", None)


@pytest.fixture
def wanted() -> list[tuple[Home, frozenset[str]]]:
    return []


@pytest.fixture
def found(wanted: list[tuple[Home, frozenset[str]]]) -> Subscriptions[str]:
    return Subscriptions(lambda home, uris: wanted.append((home, uris)))


def test_a_server_is_asked_once_for_what_many_follow(
    found: Subscriptions[str], wanted: list[tuple[Home, frozenset[str]]]
) -> None:
    for who in ("a", "b", "a"):
        found.add(HERE, "x:1", who)
    found.add(HERE, "x:2", "a")
    assert wanted == [(HERE, frozenset({"x:1"})), (HERE, frozenset({"x:1", "x:2"}))]
    found.remove(HERE, "x:1", "a")
    assert len(wanted) == 2
    found.remove(HERE, "x:1", "b")
    assert wanted[2:] == [(HERE, frozenset({"x:2"}))]


def test_who_is_gone_follows_nothing(found: Subscriptions[str], wanted: list[tuple[Home, frozenset[str]]]) -> None:
    found.add(HERE, "x:1", "a")
    found.add(("t", "a"), "x:2", "a")
    found.drop("a")
    found.drop("a")
    assert found.count("a") == 0
    assert found.uris(HERE) == found.uris(("t", "a")) == frozenset()
    assert wanted[-1][1] == wanted[-2][1] == frozenset()
    assert found._homes == {}
    assert found._of == {}


def test_what_was_never_followed_is_not_given_up(found: Subscriptions[str]) -> None:
    found.remove(HERE, "x:1", "a")
    found.add(HERE, "x:1", "b")
    found.remove(HERE, "x:1", "a")
    assert found.followers(HERE, "x:1") == {"b"}


def test_who_follows_the_whole_hears_of_its_parts(found: Subscriptions[str]) -> None:
    found.add(HERE, "file:///a", "whole")
    found.add(HERE, "file:///a/", "slash")
    found.add(HERE, "file:///a/b", "part")
    found.add(HERE, "file:///ab", "other")
    assert found.followers(HERE, "file:///a/b") == {"whole", "slash", "part"}
    assert found.followers(HERE, "file:///a") == {"whole"}
    assert found.followers(("t", None), "file:///a") == set()

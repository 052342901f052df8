from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from mcp_operator.cluster import AGENT, POLICY
from mcp_operator.readapi.callers import ENTRIES, REMEMBERED, TOKEN_LENGTH, Caller, Callers, Question

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.requirement("O-35")

USER = {
    "username": "system:serviceaccount:team:reader",
    "uid": "1",
    "groups": ["system:authenticated"],
    "extra": {"authentication.kubernetes.io/pod-name": ["reader"]},
}


class Reviews:
    def __init__(self) -> None:
        self.tokens: dict[str, Any] = {"good": {"authenticated": True, "user": USER}}
        self.allowed = True
        self.asked: list[Any] = []

    def token_review(self, token: str) -> Mapping[str, Any]:
        self.asked.append(token)
        found: Mapping[str, Any] = self.tokens.get(token, {"authenticated": False})
        return found

    def access_review(self, spec: Mapping[str, Any]) -> bool:
        self.asked.append(spec)
        return self.allowed


class World:
    def __init__(self) -> None:
        self.now = 100.0
        self.reviews = Reviews()
        self.callers = Callers(self.reviews, lambda: self.now)

    def caller(self) -> Caller:
        found = self.callers.who("good")
        assert found is not None
        return found


@pytest.fixture
def world() -> World:
    return World()


def test_a_caller_is_whom_the_cluster_says_with_all_that_it_says(world: World) -> None:
    assert world.caller() == Caller(
        username="system:serviceaccount:team:reader",
        uid="1",
        groups=("system:authenticated",),
        extra=(("authentication.kubernetes.io/pod-name", ("reader",)),),
    )


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"authenticated": False, "user": USER},
        {"authenticated": "true", "user": USER},
        {"authenticated": True},
        {"authenticated": True, "user": {"username": ""}},
    ],
)
def test_whoever_the_cluster_does_not_know_is_nobody(world: World, status: Mapping[str, Any]) -> None:
    world.reviews.tokens["odd"] = status
    assert world.callers.who("odd") is None


@pytest.mark.parametrize("token", ["", "x" * (TOKEN_LENGTH + 1)])
def test_what_is_no_token_is_not_even_asked_about(world: World, token: str) -> None:
    assert world.callers.who(token) is None
    assert world.reviews.asked == []


def test_rights_are_asked_for_the_very_caller_and_thing(world: World) -> None:
    question = Question(verb="get", kind=AGENT, namespace="team", name="dev")
    assert world.callers.may(world.caller(), question)
    assert world.reviews.asked[-1] == {
        "user": "system:serviceaccount:team:reader",
        "uid": "1",
        "groups": ["system:authenticated"],
        "extra": {"authentication.kubernetes.io/pod-name": ["reader"]},
        "resourceAttributes": {
            "verb": "get",
            "group": "toolman.dev",
            "version": "v1alpha1",
            "resource": "mcpagents",
            "namespace": "team",
            "name": "dev",
        },
    }


def test_answers_are_remembered_for_seconds_and_then_asked_for_again(world: World) -> None:
    question = Question(verb="list", kind=POLICY)
    for _ in range(3):
        assert world.callers.may(world.caller(), question)
    assert len(world.reviews.asked) == 2
    world.reviews.allowed = False
    world.reviews.tokens.clear()
    world.now += REMEMBERED - 1
    assert world.callers.may(world.caller(), question)
    world.now += 1
    assert not world.callers.may(Caller(username="system:serviceaccount:team:reader"), question)
    assert world.callers.who("good") is None


def test_one_answer_is_never_taken_for_another(world: World) -> None:
    caller = world.caller()
    world.callers.may(caller, Question(verb="get", kind=AGENT, namespace="team", name="dev"))
    world.reviews.allowed = False
    for verb, namespace, name in (("list", "team", "dev"), ("get", "other", "dev"), ("get", "team", "ops")):
        assert not world.callers.may(caller, Question(verb=verb, kind=AGENT, namespace=namespace, name=name))
    other = Caller(username=caller.username, uid=caller.uid, groups=(*caller.groups, "more"), extra=caller.extra)
    assert not world.callers.may(other, Question(verb="get", kind=AGENT, namespace="team", name="dev"))


def test_what_is_remembered_is_bounded_and_holds_no_token(world: World) -> None:
    for number in range(ENTRIES + 10):
        world.callers.who(f"guess-{number}")
    world.caller()
    memory = world.callers._known._answers
    assert len(memory) == ENTRIES
    assert "good" not in repr(memory)
    assert "guess" not in repr(memory)

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fake_builder import BOUND, failure
from fake_cluster import AGENT
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.reconcile.commits import INTERVAL, PLACEHOLDER, RECHECK_FIRST, RETRY_FIRST
from mcp_operator.workqueue import Key
from server_world import World

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.builder.let_go.set()
    assert made.builds.close(BOUND)


def test_a_branch_that_moved_is_built_after_the_interval(world: World) -> None:
    uid = world.apply()
    world.build(uid)
    world.builder.commit = "b" * 40
    world.look()
    assert len(world.builder.requests) == 1
    world.clock.forward(INTERVAL)
    world.build(uid)
    assert world.status["source"] == {"commit": "b" * 40}


@pytest.mark.requirement("F-08")
@pytest.mark.parametrize(
    ("transient", "flag", "delay"), [(True, "Reconciling", RETRY_FIRST), (False, "Stalled", RECHECK_FIRST)]
)
def test_a_source_that_is_not_there_is_told_with_its_cause(
    world: World,
    transient: bool,  # noqa: FBT001 - a column of the table
    flag: str,
    delay: float,
) -> None:
    world.builder.resolve_error = BuildError(
        "RefNotFound", "no branch x", step=Step.FETCH, hint="Check spec.source.git.ref.", transient=transient
    )
    world.apply()
    assert world.look() == delay
    assert world.condition("SourceReady") == ("False", "RefNotFound")
    assert world.condition(flag) == ("True", "RefNotFound")
    ready = next(each for each in world.status["conditions"] if each["type"] == "Ready")
    assert ready["message"] == "no branch x. Check spec.source.git.ref."
    world.look()
    assert world.builder.questions == 1
    world.clock.forward(delay)
    world.look()
    assert world.builder.questions == 2


@pytest.mark.requirement("F-08")
def test_a_git_host_that_is_down_takes_nothing_out_of_service(world: World) -> None:
    world.build(world.apply())
    world.builder.resolve_error = BuildError("HostUnreachable", "no answer", step=Step.FETCH, transient=True)
    world.clock.forward(INTERVAL)
    world.look()
    assert world.condition("Ready")[0] == "True"
    assert world.condition("SourceReady") == ("False", "HostUnreachable")
    assert world.condition("Pushed")[0] == "True"


def test_a_git_host_that_is_down_does_not_hide_that_the_spec_is_not_in_service(world: World) -> None:
    world.build(world.apply())
    world.builder.resolve_error = BuildError("HostUnreachable", "no answer", step=Step.FETCH, transient=True)
    world.apply(source={"git": {"url": "https://git.test/two"}})
    world.look()
    assert world.condition("Ready") == ("False", "HostUnreachable")


@pytest.mark.requirement("F-08")
def test_an_engine_that_is_down_takes_nothing_out_of_service(world: World) -> None:
    world.build(world.apply())
    world.builder.key_error = failure("EngineUnavailable", transient=True)
    world.look()
    assert world.condition("Ready")[0] == "True"
    world.apply(build={"runtime": "node"})
    world.look()
    assert world.condition("Ready") == ("False", "EngineUnavailable")


def test_a_spec_that_does_not_fit_is_told_by_field(world: World) -> None:
    world.apply(build={"colour": "blue"})
    world.look()
    assert world.condition("Ready") == ("False", "InvalidSpec")
    assert "spec.build.colour" in world.status["conditions"][0]["message"]


def test_the_handshake_gets_placeholders_for_what_comes_from_secrets(world: World) -> None:
    token = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    world.build(world.apply(run={"env": [{"name": "A", "value": "1"}, token], "args": ["--fast"]}))
    assert world.builder.requests[0].env == {"A": "1", "TOKEN": PLACEHOLDER}
    assert world.builder.requests[0].args == ("--fast",)


@pytest.mark.requirement("B-12")
def test_what_the_advice_of_a_failed_build_names_reaches_the_next_build(world: World) -> None:
    asked = {"runtime": "dockerfile", "dockerfile": "docker/Dockerfile", "systemPackages": ["git", "libpq5"]}
    world.build(world.apply(build=asked))
    request = world.builder.requests[0]
    assert (request.runtime, request.dockerfile) == ("dockerfile", "docker/Dockerfile")
    assert request.system_packages == ("git", "libpq5")


def test_agents_are_looked_at_when_their_servers_spec_changes_even_if_git_is_down(world: World) -> None:
    world.cluster.add(AGENT, "dev", {"servers": [{"name": "one"}]})
    world.cluster.add(AGENT, "other", {"servers": [{"name": "two"}]})
    world.builder.resolve_error = failure("HostUnreachable", transient=True)
    world.apply(tools={"deny": ["write"]})
    world.look()
    assert Key("MCPAgent", "team", "dev") in world.woken
    assert Key("MCPAgent", "team", "other") not in world.woken

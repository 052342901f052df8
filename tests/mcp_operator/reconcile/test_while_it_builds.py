"""While a build runs: what stays in service and ready, what is asked meanwhile, and what must not be lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fake_builder import BOUND, failure
from mcp_operator.images.contract import Step
from mcp_operator.jobs import State
from mcp_operator.reconcile.image_step import KEY_RETRY, WITHOUT_FILES

if TYPE_CHECKING:
    from server_world import World


def _hold_up(world: World) -> None:
    world.builder.let_go.clear()
    world.builder.started.clear()


def _started(world: World) -> None:
    world.look()
    assert world.builder.started.wait(BOUND)
    world.look()


@pytest.mark.requirement("O-02")
def test_a_server_that_is_verified_again_with_other_settings_stays_ready_and_says_so(world: World) -> None:
    uid = world.apply()
    world.build(uid)
    _hold_up(world)
    world.apply(run={"env": [{"name": "MODE", "value": "fast"}]})
    _started(world)
    assert world.condition("Ready") == ("True", "Building")
    assert world.condition("Reconciling") == ("True", "Building")
    assert "is in service" in world.message("Ready")
    assert world.status["summary"] == "Ready, Build 3/9"
    world.builder.error = failure("NotAnMcpServer", step=Step.VERIFY)
    world.builder.let_go.set()
    world.wait(uid, State.ENDED)
    world.look()
    assert world.condition("Ready") == ("False", "NotAnMcpServer")


@pytest.mark.requirement("O-38")
def test_what_an_earlier_operator_called_otherwise_is_as_verified_as_it_was(world: World) -> None:
    world.build(world.apply())
    called = world.status["image"]["verifiedWith"]
    world.status["image"]["verifiedWith"] = "of another version"
    world.look()
    assert world.status["image"]["verifiedWith"] == called
    assert len(world.builder.requests) == 1


@pytest.mark.requirement("O-02")
@pytest.mark.parametrize("earlier", ["another revision", "a failure"])
def test_what_agents_do_not_have_yet_is_not_ready_while_it_is_built(world: World, earlier: str) -> None:
    uid = world.apply()
    world.builder.error = failure("CompileFailed") if earlier == "a failure" else None
    world.build(uid)
    world.builder.error = None
    _hold_up(world)
    world.builder.commit = "b" * 40 if earlier == "another revision" else world.builder.commit
    world.annotate(reconcile="now")
    world.apply(build={"tags": ["latest"]}, run={"args": ["--other"]})
    _started(world)
    assert world.condition("Ready") == ("False", "Building")


@pytest.mark.requirement("O-30")
def test_a_build_that_takes_longer_than_its_sources_interval_is_waited_for_and_not_looked_at_all_the_time(
    world: World,
) -> None:
    world.builder.let_go.clear()
    uid = world.apply(source={"git": {"url": "https://git.test/one", "interval": "30s"}})
    _started(world)
    world.clock.forward(31)
    assert world.look() is None
    assert world.builder.questions == 1
    world.builder.let_go.set()
    world.wait(uid, State.ENDED)
    assert world.look() == 0, "now it is time to ask again"
    world.look()
    assert world.builder.questions == 2


@pytest.mark.requirement("O-30")
def test_a_host_that_fails_meanwhile_costs_no_build(world: World) -> None:
    uid = world.apply()
    world.build(uid)
    _hold_up(world)
    world.slow = []
    world.clock.forward(400)
    world.look()  # it is asked, and nobody has answered yet
    world.apply(run={"args": ["--other"]})
    _started(world)
    world.builder.resolve_error = failure("HostUnreachable", step=Step.FETCH, transient=True)
    world.answer()
    world.look()
    view = world.builds.view(uid)
    assert view is not None
    assert view.state is not State.ENDED
    world.builder.let_go.set()
    world.wait(uid, State.ENDED)
    world.look()
    assert world.status["image"]["buildKey"] == world.status["build"]["key"]


@pytest.mark.requirement("O-31")
def test_what_was_built_is_kept_while_nobody_can_tell_what_it_was_built_on(world: World) -> None:
    uid = world.apply()
    world.look()
    world.wait(uid, State.ENDED)
    world.builder.key_error = failure("EngineUnavailable", transient=True)
    assert world.look() == KEY_RETRY
    assert "image" not in world.status
    world.builder.key_error = None
    world.look()
    assert world.condition("Ready") == ("True", "Succeeded")
    assert len(world.builder.requests) == 1


@pytest.mark.requirement("O-31")
def test_an_engine_that_goes_away_while_the_end_is_written_down_is_no_bug(world: World) -> None:
    uid = world.apply()
    world.look()
    world.wait(uid, State.ENDED)
    asked: list[object] = []
    answer = world.builder.key

    def key(*args: object, **options: object) -> str:
        asked.append(args)
        world.builder.key_error = failure("EngineUnavailable", transient=True) if len(asked) > 1 else None
        return answer(*args, **options)  # type: ignore[arg-type]  # handed on as they came

    world.builder.key = key  # type: ignore[method-assign]  # for as long as this server lives
    assert world.look() == KEY_RETRY
    assert world.condition("Built") == ("False", "EngineUnavailable")
    world.builder.key = answer  # type: ignore[method-assign]
    world.builder.key_error = None
    world.look()
    assert world.condition("Ready") == ("True", "Succeeded")
    assert len(world.builder.requests) == 1


@pytest.mark.requirement("O-05")
def test_a_server_that_may_lack_its_files_is_told_that_they_are_not_there_when_it_is_tried_out(world: World) -> None:
    world.builder.error = failure("NotAnMcpServer", step=Step.VERIFY)
    file = {"path": "/etc/one.conf", "content": "x"}
    world.build(world.apply(run={"files": [file]}))
    assert world.status["build"]["hint"] == f"Look at the log. {WITHOUT_FILES}"
    assert WITHOUT_FILES in world.message("Verified")
    world.apply(run={"args": ["--other"]})
    world.build(str(world.cluster.objects["mcpservers", "team", "one"]["metadata"]["uid"]))
    assert world.status["build"]["hint"] == "Look at the log."


@pytest.mark.requirement("O-05")
def test_what_a_variable_holds_meanwhile_is_of_the_kind_that_its_name_says(world: World) -> None:
    names = ("DATABASE_URL", "PORT", "API_TOKEN")
    given = [{"name": name, "valueFrom": {"secretKeyRef": {"name": "all", "key": name}}} for name in names]
    world.build(world.apply(run={"env": given}))
    env = world.builder.requests[0].env
    assert env["DATABASE_URL"].startswith("postgresql://")
    assert env["PORT"].isdigit()
    assert set(env) == set(names)

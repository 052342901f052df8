from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fake_builder import BOUND, COMMIT, failure
from fake_cluster import AGENT
from mcp_operator import cluster
from mcp_operator.images.contract import GitSource, Step
from mcp_operator.jobs import State
from mcp_operator.reconcile import manifests_store
from mcp_operator.reconcile.revisions import INTERVAL
from mcp_operator.workqueue import Key

if TYPE_CHECKING:
    from server_world import World


@pytest.mark.requirement("F-05", "F-08")
def test_a_new_server_is_built_and_its_image_and_tools_are_in_the_status(world: World) -> None:
    uid = world.apply()
    world.build(uid)
    status = world.status
    assert [world.condition(kind)[0] for kind in ("SourceReady", "Built", "Verified", "Pushed", "Ready")] == [
        "True"
    ] * 5
    assert status["image"]["reference"] == f"registry.test/mcp/team/one@sha256:{COMMIT[:8]}"
    assert status["source"] == {"name": "git:https://git.test/one", "revision": COMMIT, "commit": COMMIT}
    assert [tool["name"] for tool in status["tools"]] == ["read", "write"]
    assert (status["toolCount"], status["summary"], status["observedGeneration"]) == (2, "Ready", 1)
    assert world.cluster.reasons == ["BuildStarted", "ImageBuilt", "Ready"]


@pytest.mark.requirement("F-08")
def test_what_is_going_on_is_shown_while_it_builds(world: World) -> None:
    world.builder.let_go.clear()
    world.apply()
    world.look()
    assert world.builder.started.wait(BOUND)
    world.look()
    assert world.status["summary"] == "Build 3/9"
    assert world.status["build"]["detail"] == "RUN pip install ."
    assert world.condition("Built") == ("False", "Building")
    assert world.condition("Verified") == ("Unknown", "NotReached")
    assert world.condition("Reconciling") == ("True", "Building")


@pytest.mark.requirement("F-08")
def test_reconciling_again_writes_nothing_and_tells_nothing(world: World) -> None:
    world.build(world.apply())
    writes, events = len(world.cluster.writes), len(world.cluster.events)
    for _ in range(3):
        assert world.look() == INTERVAL
    assert (len(world.cluster.writes), len(world.cluster.events)) == (writes, events)
    assert world.builder.questions == 1


@pytest.mark.requirement("F-08")
def test_a_failed_build_says_step_cause_and_what_to_do_and_is_not_tried_again(world: World) -> None:
    world.builder.error = failure("CompileFailed")
    uid = world.apply()
    world.build(uid)
    build = world.status["build"]
    assert (build["failedStep"], build["reason"], build["hint"]) == ("Build", "CompileFailed", "Look at the log.")
    assert build["logTail"] == "[31mpip: no[0m\nsecond line"
    assert world.status["summary"] == "Build failed: CompileFailed"
    assert world.condition("Built") == ("False", "CompileFailed")
    assert world.condition("Stalled") == ("True", "CompileFailed")
    world.clock.forward(100_000)
    for _ in range(3):
        world.look()
    assert len(world.builder.requests) == 1
    assert world.cluster.reasons == ["BuildStarted", "BuildFailed"]


def test_a_failed_build_is_not_tried_again_after_a_restart_either(world: World) -> None:
    world.builder.error = failure("CompileFailed")
    world.build(world.apply())
    world.restart()
    world.look()
    assert len(world.builder.requests) == 1
    assert world.condition("Built") == ("False", "CompileFailed")


@pytest.mark.requirement("F-08")
def test_a_build_that_failed_for_a_passing_reason_is_tried_again_later(world: World) -> None:
    world.builder.error = failure("RegistryUnreachable", step=Step.PUSH, transient=True)
    uid = world.apply()
    world.build(uid)
    assert world.condition("Pushed") == ("False", "RegistryUnreachable")
    assert world.condition("Reconciling")[0] == "True"
    assert world.look() == 15
    world.builder.error = None
    world.clock.forward(16)
    world.build(uid)
    assert world.condition("Ready") == ("True", "Succeeded")
    assert world.status["build"]["attempts"] == 2


@pytest.mark.requirement("F-08")
def test_the_last_good_image_stays_in_service_when_the_next_build_fails(world: World) -> None:
    uid = world.apply()
    world.build(uid)
    good = world.status["image"]
    world.builder.error = failure("CompileFailed")
    world.apply(build={"command": ["other"]}, source={"git": {"url": "https://git.test/two"}})
    world.build(uid)
    assert world.status["image"] == good
    assert world.condition("Ready") == ("False", "CompileFailed")
    ready = next(each for each in world.status["conditions"] if each["type"] == "Ready")
    assert f"Commit {COMMIT} stays in service" in ready["message"]


def test_going_back_to_what_the_image_in_service_was_built_from_needs_no_build(world: World) -> None:
    uid = world.apply()
    world.build(uid)
    world.builder.error = failure()
    world.apply(source={"git": {"url": "https://git.test/two"}})
    world.build(uid)
    world.apply()
    world.look()
    assert world.condition("Ready") == ("True", "Succeeded")
    assert len(world.builder.requests) == 2


@pytest.mark.requirement("F-08")
def test_a_new_spec_cancels_the_build_that_runs(world: World) -> None:
    world.builder.let_go.clear()
    uid = world.apply()
    world.look()
    assert world.builder.started.wait(BOUND)
    world.apply(source={"git": {"url": "https://git.test/two"}})
    world.builder.started.clear()
    world.look()
    assert world.builder.started.wait(BOUND)
    sources = [request.source for request in world.builder.builds]
    assert [source.url for source in sources if isinstance(source, GitSource)] == [
        "https://git.test/one",
        "https://git.test/two",
    ]
    world.builder.let_go.set()
    world.wait(uid, State.ENDED)


@pytest.mark.requirement("F-08")
def test_deleting_in_the_middle_of_a_build_cancels_it_and_removes_what_it_made(world: World) -> None:
    world.builder.let_go.clear()
    uid = world.apply()
    world.look()
    assert world.builder.started.wait(BOUND)
    world.cluster.remove("mcpservers", "one")
    world.look()
    with world._ended:
        assert world._ended.wait_for(lambda: world.builds.cancel(uid), BOUND)
    world.look()
    assert world.builder.forgotten == [uid]
    assert not [place for place in world.cluster.objects if place[0] == "mcpservers"]
    world.look()
    assert world.builder.forgotten == [uid]


def test_removing_what_a_deleted_server_left_is_tried_again_when_the_engine_is_down(world: World) -> None:
    uid = world.apply()
    world.build(uid)
    world.cluster.remove("mcpservers", "one")
    world.builder.forget_error = failure("EngineUnavailable", transient=True)
    delay = world.look()
    assert delay is not None
    world.builder.forget_error = None
    assert world.look() is None
    assert world.builder.forgotten == [uid]


def test_another_server_of_the_same_name_is_built_anew_and_the_first_is_cleaned_up(world: World) -> None:
    first = world.apply()
    world.build(first)
    world.cluster.remove("mcpservers", "one")
    second = world.apply()
    world.build(second)
    assert world.builder.forgotten == [first]
    assert [request.uid for request in world.builder.requests] == [first, second]


@pytest.mark.requirement("F-08")
def test_a_build_that_an_ended_operator_left_unfinished_starts_again_by_itself(world: World) -> None:
    world.builder.let_go.clear()
    uid = world.apply()
    world.look()
    assert world.builder.started.wait(BOUND)
    assert world.builds.close(BOUND)
    assert "finishedAt" not in world.status["build"]
    world.builder.let_go.set()
    world.restart()
    world.build(uid)
    assert world.condition("Ready") == ("True", "Succeeded")


def test_agents_are_looked_at_when_an_image_is_there(world: World) -> None:
    world.cluster.add(AGENT, "dev", {"servers": [{"name": "one"}]})
    uid = world.apply()
    world.look()
    world.wait(uid, State.ENDED)
    world.woken.clear()
    world.look()
    assert Key("MCPAgent", "team", "dev") in world.woken


def test_a_status_stays_small_whatever_a_server_answers(world: World) -> None:
    world.builder.tools = (*(f"tool-{number}" for number in range(700)), "x" * 5000)
    world.build(world.apply())
    assert len(world.status["tools"]) == 50
    assert world.status["toolCount"] == 701
    known = manifests_store.read(world.cluster, "team", "one", world.status["toolsHash"])
    assert known is not None
    assert len(known) == 701


def test_a_result_is_not_lost_when_the_status_cannot_be_written(world: World) -> None:
    uid = world.apply()
    world.look()
    world.wait(uid, State.ENDED)
    world.cluster.failures["status MCPServer"] = ConnectionError("down")
    with pytest.raises(ConnectionError):
        world.look()
    world.look()
    assert world.condition("Ready") == ("True", "Succeeded")
    assert len(world.builder.requests) == 1


@pytest.mark.requirement("O-13")
def test_an_agent_that_is_written_in_a_server_is_made_and_told_among_its_conditions(world: World) -> None:
    template = {"spec": {"containers": [{"name": "agent", "image": "agent:1"}]}}
    world.build(world.apply(agent={"template": template}))
    child = world.cluster.objects["mcpagents", "team", "one"]
    assert child["spec"]["servers"] == [{"name": "one", "tools": {"deny": []}}]
    assert world.condition("AgentApplied") == ("True", "Succeeded")
    assert world.condition("Ready")[0] == "True"
    child["metadata"]["ownerReferences"] = []
    world.look()
    assert world.condition("AgentApplied") == ("False", "AgentNameTaken")
    assert world.condition("Ready") == ("False", "AgentNameTaken")


@pytest.mark.requirement("B-14")
def test_only_another_image_that_it_was_built_on_has_a_server_built_again(world: World) -> None:
    world.builder.bases = {"python": "sha256:p1", "node": "sha256:n1"}
    world.builder.used = {"python": "sha256:p1"}
    uid = world.apply()
    world.build(uid)
    assert world.status["image"]["bases"] == {"python": "sha256:p1"}
    assert world.status["image"]["buildKey"] == world.status["build"]["key"]

    world.builder.bases["node"] = "sha256:n2"
    for _ in range(3):
        world.look()
    assert world.condition("Ready") == ("True", "Succeeded")
    assert len(world.builder.requests) == 1
    world.wait(uid, None)

    world.builder.bases["python"] = world.builder.used["python"] = "sha256:p2"
    world.build(uid)
    assert len(world.builder.requests) == 2
    assert world.status["image"]["bases"] == {"python": "sha256:p2"}
    world.restart()
    assert world.look() == INTERVAL
    assert len(world.builder.requests) == 2


@pytest.mark.requirement("B-14")
def test_an_image_that_was_built_on_what_has_moved_meanwhile_is_built_again(world: World) -> None:
    world.builder.bases = {"python": "sha256:p2"}
    world.builder.used = {"python": "sha256:p1"}
    uid = world.apply()
    world.look()
    world.wait(uid, State.ENDED)
    world.builder.used = {"python": "sha256:p2"}
    world.look()
    world.build(uid)

    assert len(world.builder.requests) == 2
    assert world.status["image"]["bases"] == {"python": "sha256:p2"}
    assert world.condition("Ready") == ("True", "Succeeded")


@pytest.mark.requirement("B-14")
def test_after_a_failure_any_base_image_may_be_the_remedy(world: World) -> None:
    world.builder.bases = {"python": "sha256:p1", "node": "sha256:n1"}
    world.builder.used = {"python": "sha256:p1"}
    world.build(world.apply())
    world.builder.error = failure("RuntimeVersion")
    uid = world.apply(source={"git": {"url": "https://git.test/two"}})
    world.build(uid)
    for _ in range(3):
        world.look()
    assert len(world.builder.requests) == 2

    world.builder.error = None
    world.builder.bases["node"] = "sha256:n2"
    world.builder.used = {"node": "sha256:n2"}
    world.build(uid)

    assert world.condition("Ready") == ("True", "Succeeded")
    assert world.status["image"]["bases"] == {"node": "sha256:n2"}


def test_a_server_of_which_nobody_knows_what_it_was_built_on_is_not_built_for_ever(world: World) -> None:
    world.builder.bases = {"python": "sha256:p1"}
    world.build(world.apply())
    for _ in range(3):
        world.look()

    assert len(world.builder.requests) == 1
    assert world.condition("Ready") == ("True", "Succeeded")


@pytest.mark.requirement("O-32")
def test_in_a_namespace_that_is_going_builds_end_and_nothing_is_written(world: World) -> None:
    world.builder.let_go.clear()
    uid = world.apply()
    world.look()
    world.wait(uid, State.RUNNING)
    world.cluster.writes.clear()
    world.cluster.ending.add("team")
    with pytest.raises(cluster.EndingError):
        world.look()
    world.wait(uid, None)
    assert world.cluster.writes == []

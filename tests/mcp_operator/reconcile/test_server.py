from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from fake_builder import BOUND, COMMIT, FakeBuilder, FakeClock, failure
from fake_cluster import AGENT, SERVER, FakeCluster
from mcp_operator.events import Recorder
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.jobs import Builds, State
from mcp_operator.reconcile.commits import INTERVAL, PLACEHOLDER, RECHECK_FIRST, RETRY_FIRST, Commits
from mcp_operator.reconcile.server import ServerReconciler
from mcp_operator.reconcile.services import Services
from mcp_operator.settings import Settings
from mcp_operator.workqueue import Key

if TYPE_CHECKING:
    from collections.abc import Iterator

SPEC: dict[str, Any] = {"source": {"git": {"url": "https://git.test/one"}}}
SETTINGS = Settings(registry="registry.test", image_toolman="t", image_wrapper="w")
ONE = Key("MCPServer", "team", "one")


class World:
    """A reconciler over a cluster in memory, a builder and a clock."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.builder = FakeBuilder()
        self.clock = FakeClock()
        self.woken: list[Key] = []
        self._ended = threading.Condition()
        self.restart()

    def restart(self) -> None:
        """Begin with nothing in memory, as a new process does."""
        self.builds = Builds(self.builder, 2, self._wake)
        self.builds.open()
        services = Services(
            api=self.cluster,
            recorder=Recorder(self.cluster, self.clock),
            settings=SETTINGS,
            clock=self.clock,
            wake=self._wake,
        )
        commits = Commits(self.builder, self.clock)
        self.reconciler = ServerReconciler(services, self.builds, self.builder, commits)

    def apply(self, **spec: Any) -> str:
        """Apply the MCPServer; give its UID."""
        return str(self.cluster.add(SERVER, "one", {**SPEC, **spec})["metadata"]["uid"])

    def look(self) -> float | None:
        """Reconcile once."""
        return self.reconciler.reconcile("team", "one")

    def build(self, uid: str) -> None:
        """Reconcile until the build has ended and is written down."""
        self.look()
        self.wait(uid, State.ENDED)
        self.look()

    def wait(self, uid: str, state: State | None) -> None:
        """Wait until a server's build is in a state, or gone."""

        def reached() -> bool:
            view = self.builds.view(uid)
            return (view.state if view is not None else None) is state

        with self._ended:
            assert self._ended.wait_for(reached, BOUND)

    def condition(self, kind: str) -> tuple[str, str]:
        return self.cluster.condition(SERVER, "one", kind)

    @property
    def status(self) -> dict[str, Any]:
        return self.cluster.status(SERVER, "one")

    def _wake(self, key: Key, delay: float) -> None:
        del delay
        with self._ended:
            self.woken.append(key)
            self._ended.notify_all()


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.builder.let_go.set()
    assert made.builds.close(BOUND)


@pytest.mark.requirement("F-05", "F-08")
def test_a_new_server_is_built_and_its_image_and_tools_are_in_the_status(world: World) -> None:
    uid = world.apply()
    world.build(uid)
    status = world.status
    assert [world.condition(kind)[0] for kind in ("SourceReady", "Built", "Verified", "Pushed", "Ready")] == ["True"] * 5
    assert status["image"]["reference"] == f"registry.test/mcp/team/one@sha256:{COMMIT[:8]}"
    assert status["source"] == {"commit": COMMIT}
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
def test_a_new_spec_cancels_the_build_that_runs(world: World) -> None:
    world.builder.let_go.clear()
    uid = world.apply()
    world.look()
    assert world.builder.started.wait(BOUND)
    world.apply(source={"git": {"url": "https://git.test/two"}})
    world.builder.started.clear()
    world.look()
    assert world.builder.started.wait(BOUND)
    assert [request.source.url for request in world.builder.requests] == ["https://git.test/one", "https://git.test/two"]
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


def test_agents_are_looked_at_when_their_servers_spec_changes_even_if_git_is_down(world: World) -> None:
    world.cluster.add(AGENT, "dev", {"servers": [{"name": "one"}]})
    world.cluster.add(AGENT, "other", {"servers": [{"name": "two"}]})
    world.builder.resolve_error = failure("HostUnreachable", transient=True)
    world.apply(tools={"deny": ["write"]})
    world.look()
    assert Key("MCPAgent", "team", "dev") in world.woken
    assert Key("MCPAgent", "team", "other") not in world.woken


def test_agents_are_looked_at_when_an_image_is_there(world: World) -> None:
    world.cluster.add(AGENT, "dev", {"servers": [{"name": "one"}]})
    uid = world.apply()
    world.look()
    world.wait(uid, State.ENDED)
    world.woken.clear()
    world.look()
    assert Key("MCPAgent", "team", "dev") in world.woken


def test_a_status_stays_small_whatever_a_server_answers(world: World) -> None:
    world.builder.tools = (*(f"tool-{number}" for number in range(200)), "x" * 5000)
    world.build(world.apply())
    assert len(world.status["tools"]) == 50
    assert world.status["toolCount"] == 201


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

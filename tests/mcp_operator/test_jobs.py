from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from fake_builder import BOUND, FakeBuilder, failure
from mcp_operator.images.contract import BuildRequest, GitSource, Step
from mcp_operator.jobs import Builds, Request, State
from mcp_operator.workqueue import Key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcp_operator.images.contract import BuildResult, Progress


class Woken:
    """Remembers who was woken, and lets a test wait for a state."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.keys: list[tuple[Key, float]] = []

    def __call__(self, key: Key, delay: float) -> None:
        with self.changed:
            self.keys.append((key, delay))
            self.changed.notify_all()


@pytest.fixture
def builder() -> FakeBuilder:
    return FakeBuilder()


@pytest.fixture
def woken() -> Woken:
    return Woken()


@pytest.fixture
def builds(builder: FakeBuilder, woken: Woken) -> Iterator[Builds]:
    made = Builds(builder, 1, woken)
    made.open()
    yield made
    builder.let_go.set()
    assert made.close(BOUND)


def ensure(builds: Builds, uid: str, key: str = "key", namespace: str = "team") -> None:
    request = BuildRequest(source=GitSource(url="https://x"), repository="r", deployment_id=uid, uid=uid)
    builds.ensure(Key("MCPServer", namespace, uid), key, request)


def wait_for(builds: Builds, woken: Woken, uid: str, state: State) -> None:
    def reached() -> bool:
        view = builds.view(uid)
        return view is not None and view.state is state

    with woken.changed:
        assert woken.changed.wait_for(reached, BOUND)


def test_a_build_runs_and_its_result_stays_until_it_is_written_down(
    builds: Builds, woken: Woken, builder: FakeBuilder
) -> None:
    ensure(builds, "one")
    wait_for(builds, woken, "one", State.ENDED)
    ensure(builds, "one")
    view = builds.view("one")
    assert view is not None
    assert view.result is not None
    assert len(builder.requests) == 1
    builds.settle("one", "another key")
    assert builds.view("one") is not None
    builds.settle("one", "key")
    assert builds.view("one") is None


@pytest.mark.requirement("F-08")
def test_further_builds_wait_and_say_where_they_stand(builds: Builds, woken: Woken, builder: FakeBuilder) -> None:
    builder.let_go.clear()
    for uid in ("one", "two", "three"):
        ensure(builds, uid)
    wait_for(builds, woken, "one", State.RUNNING)
    positions = {uid: view.position for uid in ("one", "two", "three") if (view := builds.view(uid)) is not None}
    assert positions == {"one": 0, "two": 1, "three": 2}
    builder.let_go.set()
    wait_for(builds, woken, "three", State.ENDED)


@pytest.mark.requirement("B-13")
def test_a_namespace_with_many_builds_keeps_no_other_one_waiting(
    builds: Builds, woken: Woken, builder: FakeBuilder
) -> None:
    builder.let_go.clear()
    for uid in ("a1", "a2", "a3", "a4"):
        ensure(builds, uid, namespace="many")
    ensure(builds, "b1", namespace="few")
    ensure(builds, "c1", namespace="other")
    ensure(builds, "b2", namespace="few")

    waiting = {uid: view.position for uid in ("a2", "a3", "a4", "b1", "b2", "c1") if (view := builds.view(uid))}
    assert sorted(waiting, key=waiting.__getitem__) == ["b1", "c1", "a2", "b2", "a3", "a4"]
    assert sorted(waiting.values()) == [1, 2, 3, 4, 5, 6]

    builder.let_go.set()
    for uid in waiting:
        wait_for(builds, woken, uid, State.ENDED)
    assert [request.uid for request in builder.requests] == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


def test_progress_is_seen_while_it_runs(builds: Builds, woken: Woken, builder: FakeBuilder) -> None:
    builder.let_go.clear()
    ensure(builds, "one")
    assert builder.started.wait(BOUND)
    view = builds.view("one")
    assert view is not None
    assert (view.step, view.detail) == (Step.BUILD, "step 3/9 : RUN pip install .")
    assert (Key("MCPServer", "team", "one"), 1.0) in woken.keys


@pytest.mark.requirement("F-08")
def test_another_key_cancels_the_build_that_runs_and_starts_when_that_has_tidied_up(
    builds: Builds, woken: Woken, builder: FakeBuilder
) -> None:
    builder.let_go.clear()
    ensure(builds, "one", "old")
    assert builder.started.wait(BOUND)
    ensure(builds, "one", "new")
    with woken.changed:
        assert woken.changed.wait_for(lambda: len(builder.requests) == 2, BOUND)
    view = builds.view("one")
    assert view is not None
    assert view.key == "new"
    builder.let_go.set()
    wait_for(builds, woken, "one", State.ENDED)


@pytest.mark.requirement("F-08")
def test_a_cancelled_build_gives_no_result_and_wakes_its_owner_at_its_end(
    builds: Builds, woken: Woken, builder: FakeBuilder
) -> None:
    builder.let_go.clear()
    ensure(builds, "one")
    assert builder.started.wait(BOUND)
    assert not builds.cancel("one")
    assert builds.view("one") is None
    with woken.changed:
        assert woken.changed.wait_for(lambda: builds.cancel("one"), BOUND)
    assert woken.keys[-1] == (Key("MCPServer", "team", "one"), 0)


def test_a_failure_is_kept_as_it_is(builds: Builds, woken: Woken, builder: FakeBuilder) -> None:
    builder.error = failure("CompileFailed")
    ensure(builds, "one")
    wait_for(builds, woken, "one", State.ENDED)
    view = builds.view("one")
    assert view is not None
    assert view.error is builder.error


def test_a_bug_in_the_builder_is_a_failure_that_is_tried_again(
    builds: Builds, woken: Woken, builder: FakeBuilder
) -> None:
    builder.error = RuntimeError("a bug")
    ensure(builds, "one")
    wait_for(builds, woken, "one", State.ENDED)
    view = builds.view("one")
    assert view is not None
    assert view.error is not None
    assert (view.error.reason, view.error.transient) == ("InternalError", True)


def test_nothing_starts_before_what_an_earlier_operator_left_is_removed(builder: FakeBuilder, woken: Woken) -> None:
    builds = Builds(builder, 1, woken)
    ensure(builds, "one")
    view = builds.view("one")
    assert view is not None
    assert view.state is State.QUEUED
    builds.open()
    wait_for(builds, woken, "one", State.ENDED)


def test_closing_cancels_all_and_waits_for_them(builds: Builds, woken: Woken, builder: FakeBuilder) -> None:
    builder.let_go.clear()
    ensure(builds, "one")
    ensure(builds, "two")
    assert builder.started.wait(BOUND)
    assert builds.close(BOUND)
    assert len(builder.requests) == 1
    assert woken.keys


def test_a_cancelled_build_whose_connections_were_cut_is_no_bug(
    builds: Builds, woken: Woken, builder: FakeBuilder, caplog: pytest.LogCaptureFixture
) -> None:
    class Cut(FakeBuilder):
        def build(self, request: Request, progress: Progress, cancelled: threading.Event) -> BuildResult:
            del request, progress
            self.started.set()
            assert cancelled.wait(BOUND)
            raise ConnectionResetError

    cut = builds._builder = Cut()
    assert builder is not cut
    ensure(builds, "one")
    assert cut.started.wait(BOUND)
    builds.cancel("one")
    with woken.changed:
        assert woken.changed.wait_for(lambda: builds.cancel("one"), BOUND)
    assert "Traceback" not in caplog.text

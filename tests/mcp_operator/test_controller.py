from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import pytest
from mcp_operator import cluster
from mcp_operator.controller import Controller
from mcp_operator.metrics import Metrics
from mcp_operator.workqueue import Key, WorkQueue

if TYPE_CHECKING:
    from collections.abc import Callable

BOUND = 10


class Scripted:
    """Does what a test says, a step a call; says when it has come to the end."""

    def __init__(self, *steps: Callable[[], float | None]) -> None:
        self.steps = list(steps)
        self.done = threading.Event()

    def reconcile(self, _namespace: str, _name: str, /) -> float | None:
        step = self.steps.pop(0)
        if not self.steps:
            self.done.set()
        return step()


def fail(error: Exception) -> Callable[[], float | None]:
    def step() -> float | None:
        raise type(error)(*error.args)  # a new one each time, as a bug would

    return step


def run(queue: WorkQueue, reconciler: Scripted, *keys: Key) -> Controller:
    controller = Controller(queue, {"A": reconciler}, workers=2)
    controller.start()
    for key in keys:
        queue.add(key)
    return controller


@pytest.mark.requirement("F-08")
@pytest.mark.parametrize("error", [cluster.UnreachableError("down"), cluster.ConflictError("changed"), KeyError("bug")])
def test_what_went_wrong_is_tried_again(error: Exception) -> None:
    reconciler = Scripted(fail(error), lambda: None)
    controller = run(WorkQueue(), reconciler, Key("A", "", "one"))
    assert reconciler.done.wait(BOUND)
    assert controller.stop(BOUND)


def test_an_object_that_asks_for_it_is_looked_at_again() -> None:
    reconciler = Scripted(lambda: 0.01, lambda: None)
    controller = run(WorkQueue(), reconciler, Key("A", "", "one"))
    assert reconciler.done.wait(BOUND)
    assert controller.stop(BOUND)


@pytest.mark.requirement("F-08")
def test_one_object_that_hangs_does_not_delay_another() -> None:
    stuck, other = threading.Event(), threading.Event()

    class Reconciler:
        def reconcile(self, _namespace: str, name: str, /) -> float | None:
            if name == "stuck":
                assert stuck.wait(BOUND)
            else:
                other.set()
            return None

    queue = WorkQueue()
    controller = Controller(queue, {"A": Reconciler()}, workers=2)
    controller.start()
    queue.add(Key("A", "", "stuck"))
    queue.add(Key("A", "", "other"))
    assert other.wait(BOUND)
    stuck.set()
    assert controller.stop(BOUND)


def test_a_bug_is_logged_with_its_trace_once_and_a_network_fault_without(caplog: pytest.LogCaptureFixture) -> None:
    bug = KeyError("a bug")
    network = cluster.UnreachableError("down")
    reconciler = Scripted(fail(bug), fail(bug), fail(network), lambda: None)
    with caplog.at_level(logging.INFO):
        controller = run(WorkQueue(), reconciler, Key("A", "", "one"))
        assert reconciler.done.wait(BOUND)
        assert controller.stop(BOUND)
    assert caplog.text.count("Traceback") == 1
    assert "the same failure again" in caplog.text
    assert "down; again in" in caplog.text


def test_stopping_says_when_a_worker_hangs() -> None:
    started, stuck = threading.Event(), threading.Event()

    def hang() -> None:
        started.set()
        assert stuck.wait(BOUND)

    controller = run(WorkQueue(), Scripted(hang), Key("A", "", "one"))
    assert started.wait(BOUND)
    assert not controller.stop(0.01)
    stuck.set()
    assert controller.stop(BOUND)


@pytest.mark.requirement("O-30")
def test_an_api_server_that_says_when_to_come_back_is_left_alone_until_then() -> None:
    busy = cluster.UnreachableError("too many requests")
    busy.retry_after = 7.0
    time = [100.0]
    queue = WorkQueue(lambda: time[0])
    done = threading.Event()

    class Reconciler:
        def reconcile(self, _namespace: str, _name: str, /) -> float | None:
            done.set()
            raise busy

    controller = Controller(queue, {"A": Reconciler()}, workers=1)
    controller.start()
    queue.add(Key("A", "", "one"))
    assert done.wait(BOUND)
    assert controller.stop(BOUND)
    assert queue._due == {Key("A", "", "one"): 107.0}


@pytest.mark.requirement("O-35")
def test_how_long_a_look_took_and_what_came_of_it_is_measured() -> None:
    metrics = Metrics()
    queue = WorkQueue()
    reconciler = Scripted(
        fail(cluster.ConflictError("changed")), fail(cluster.ForbiddenError("no")), fail(KeyError("bug")), lambda: None
    )
    controller = Controller(queue, {"A": reconciler}, workers=1, metrics=metrics)
    controller.start()
    queue.add(Key("A", "", "one"))
    assert reconciler.done.wait(BOUND)
    assert controller.stop(BOUND)
    results = {name: metrics.reconcile_seconds.count("A", name) for name in ("conflict", "refused", "bug", "done")}
    assert results == dict.fromkeys(results, 1)


@pytest.mark.requirement("O-35")
def test_a_worker_that_hangs_is_named_and_one_that_works_is_not() -> None:
    started, let_go = threading.Event(), threading.Event()

    def hang() -> None:
        started.set()
        assert let_go.wait(BOUND)

    controller = run(WorkQueue(), Scripted(hang), Key("A", "ns", "one"))
    assert started.wait(BOUND)
    assert controller.stuck() == ""
    assert controller.busy() == 1
    assert controller.stuck(limit=-1).startswith("A/ns/one has been looked at")
    let_go.set()
    assert controller.stop(BOUND)
    assert controller.stuck(limit=-1) == ""


@pytest.mark.requirement("O-36")
def test_who_comes_now_and_then_comes_a_little_later_each_time_and_never_before_it_is_time() -> None:
    time = [0.0]
    queue = WorkQueue(lambda: time[0])
    keys = [Key("A", "", str(number)) for number in range(20)]
    looked = threading.Barrier(2)

    class Reconciler:
        def reconcile(self, _namespace: str, name: str, /) -> float | None:
            if name == keys[-1].name:
                looked.wait(BOUND)
            return 100.0

    controller = Controller(queue, {"A": Reconciler()}, workers=1)
    for key in keys:
        queue.add(key)
    controller.start()
    looked.wait(BOUND)
    assert controller.stop(BOUND)
    due = []
    for time[0] in (99.9, 105.0, 110.1):
        due.append(queue.waiting()[0])
    assert due[0] == 0
    assert 0 < due[1] < due[2] == len(keys)


@pytest.mark.requirement("O-32")
def test_of_what_is_in_a_namespace_that_is_going_nothing_is_said_and_nothing_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue, reconciler = WorkQueue(), Scripted(fail(cluster.EndingError("going")))
    with caplog.at_level(logging.INFO):
        controller = run(queue, reconciler, Key("A", "team", "one"))
        assert reconciler.done.wait(BOUND)
        assert controller.stop(BOUND)
    assert caplog.messages == []
    assert queue._due == {}

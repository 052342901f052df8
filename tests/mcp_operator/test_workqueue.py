from __future__ import annotations

import threading

import pytest
from mcp_operator.workqueue import BACKOFF_CAP, BACKOFF_FIRST, Key, WorkQueue, backoff

BOUND = 10
ONE, TWO = Key("MCPServer", "team", "one"), Key("MCPServer", "team", "two")


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def ready(queue: WorkQueue) -> Key | None:
    """Give a key that is due now, without waiting for one."""
    return queue._take()[0]


@pytest.mark.requirement("F-08")
def test_a_key_that_is_added_twice_is_worked_on_once() -> None:
    queue = WorkQueue(Time())
    queue.add(ONE)
    queue.add(ONE)
    assert ready(queue) == ONE
    assert ready(queue) is None


def test_a_key_is_never_with_two_workers_and_comes_again_when_it_changed_meanwhile() -> None:
    queue = WorkQueue(Time())
    queue.add(ONE)
    assert ready(queue) == ONE
    queue.add(ONE)
    queue.add(TWO)
    assert ready(queue) == TWO
    assert ready(queue) is None
    queue.done(ONE)
    assert ready(queue) == ONE


def test_a_delayed_key_comes_when_it_is_due() -> None:
    time = Time()
    queue = WorkQueue(time)
    queue.add(ONE, 5)
    assert ready(queue) is None
    time.now = 5
    assert ready(queue) == ONE


def test_an_event_moves_a_delayed_key_up_and_a_later_appointment_does_not_move_it_back() -> None:
    queue = WorkQueue(Time())
    queue.add(ONE, 100)
    queue.add(ONE)
    queue.add(ONE, 50)
    assert ready(queue) == ONE
    queue.done(ONE)
    assert ready(queue) is None


def test_failures_delay_a_key_more_and_more_and_a_success_forgets_them() -> None:
    queue = WorkQueue(Time())
    assert [queue.retry(ONE) for _ in range(3)] == [BACKOFF_FIRST, BACKOFF_FIRST * 2, BACKOFF_FIRST * 4]
    assert queue.retry(TWO) == BACKOFF_FIRST
    queue.succeeded(ONE)
    assert queue.retry(ONE) == BACKOFF_FIRST


def test_backing_off_has_a_limit() -> None:
    assert backoff(10_000, BACKOFF_FIRST, BACKOFF_CAP) == BACKOFF_CAP


def test_closing_sends_waiting_workers_home() -> None:
    queue = WorkQueue()
    got: list[Key | None] = []
    worker = threading.Thread(target=lambda: got.append(queue.get()))
    worker.start()
    queue.close()
    worker.join(BOUND)
    assert got == [None]


def test_a_waiting_worker_gets_a_key_that_is_added() -> None:
    queue = WorkQueue()
    got: list[Key | None] = []
    worker = threading.Thread(target=lambda: got.append(queue.get()))
    worker.start()
    queue.add(ONE, 0.02)
    worker.join(BOUND)
    assert got == [ONE]
    assert str(ONE) == "MCPServer/team/one"

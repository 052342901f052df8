from __future__ import annotations

import threading

import pytest
from mcp_operator.workqueue import BACKOFF_CAP, BACKOFF_FIRST, Key, Lanes, WorkQueue, backoff, is_uncalled

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


@pytest.mark.requirement("O-35")
def test_it_says_how_many_keys_are_due_and_for_how_long() -> None:
    time = Time()
    queue = WorkQueue(time)
    assert queue.waiting() == (0, 0.0)
    queue.add(ONE)
    queue.add(TWO, 50)
    time.now = 3
    assert queue.waiting() == (1, 3.0)
    assert ready(queue) == ONE
    queue.add(ONE)
    assert queue.waiting() == (0, 0.0)  # a worker has it


def test_lanes_keep_kinds_apart() -> None:
    time = Time()
    servers, others = WorkQueue(time), WorkQueue(time)
    lanes = Lanes(others, {"MCPServer": servers})
    lanes.add(ONE)
    lanes.add(Key("MCPAgent", "team", "dev"))
    lanes.add(TWO)
    time.now = 2
    assert lanes.waiting() == (3, 2.0)
    assert ready(others) == Key("MCPAgent", "team", "dev")
    assert ready(servers) == ONE


@pytest.mark.requirement("O-36")
def test_a_worker_knows_when_the_latest_event_came_for_what_it_has_in_hand() -> None:
    time = Time()
    queue = WorkQueue(time)
    queue.add(ONE)
    time.now = 4
    queue.add(ONE)
    time.now = 9
    assert ready(queue) == ONE
    queue.add(ONE)  # during the work: that is for the next look
    assert queue.woken(ONE) == 4
    queue.done(ONE)
    assert ready(queue) == ONE
    assert queue.woken(ONE) == 9
    queue.done(ONE)
    queue.add(ONE, 10)
    time.now = 30
    assert ready(queue) == ONE
    assert queue.woken(ONE) == 19  # when it was due, not when the appointment was made


@pytest.mark.requirement("O-36")
def test_who_comes_again_without_any_event_may_be_given_what_is_a_little_older() -> None:
    time = Time()
    queue = WorkQueue(time, tolerance=30)
    queue.add(ONE, 100)
    time.now = 100
    assert ready(queue) == ONE
    assert queue.woken(ONE) == 70


@pytest.mark.requirement("O-36", "O-20")
def test_after_an_event_nobody_is_given_what_is_older_not_even_when_he_has_failed_meanwhile() -> None:
    time = Time()
    queue = WorkQueue(time, tolerance=30)
    queue.add(ONE, 100)
    time.now = 50
    queue.add(ONE)
    assert ready(queue) == ONE
    assert queue.woken(ONE) == 50
    delay = queue.retry(ONE)
    queue.done(ONE)
    time.now += delay
    assert ready(queue) == ONE
    assert queue.woken(ONE) >= 50


def of(namespace: str, count: int, kind: str = "MCPAgent") -> list[Key]:
    return [Key(kind, namespace, str(number)) for number in range(count)]


@pytest.mark.requirement("O-30")
def test_a_namespace_with_many_keys_leaves_workers_to_the_others() -> None:
    queue = WorkQueue(Time(), share=2)
    many, few = of("many", 4), of("few", 2)
    for key in [*many, *few]:
        queue.add(key)
    assert [ready(queue) for _ in range(5)] == [*many[:2], *few, None]
    queue.done(few[0])
    assert ready(queue) is None
    queue.done(many[1])
    assert [ready(queue), ready(queue)] == [many[2], None]
    queue.done(many[0])
    queue.done(many[2])
    assert [ready(queue), ready(queue)] == [many[3], None]


@pytest.mark.requirement("O-30")
def test_what_waits_for_its_namespaces_share_is_not_lost_when_it_is_asked_for_again() -> None:
    time = Time()
    queue = WorkQueue(time, share=1)
    first, second, third = of("team", 3)
    for key in (first, second, third):
        queue.add(key, 5)
    time.now = 10
    assert [ready(queue), ready(queue)] == [first, None]
    queue.add(second)
    queue.add(first)  # it has changed meanwhile
    queue.done(first)
    taken = []
    while (found := ready(queue)) is not None:
        taken.append(found)
        queue.done(found)
    assert sorted(taken) == [first, second, third]


@pytest.mark.requirement("O-20")
def test_urgent_keys_and_those_of_no_namespace_have_no_share() -> None:
    queue = WorkQueue(Time(), urgent={"Layers"}, share=1)
    keys = [*of("team", 2, "Layers"), *of("", 2, "ToolPolicy"), *of("team", 1)]
    for key in keys:
        queue.add(key)
    assert [ready(queue) for _ in range(6)] == [*keys, None]


@pytest.mark.requirement("O-30")
def test_a_worker_that_waits_hears_that_its_namespaces_share_is_free() -> None:
    queue = WorkQueue(share=1)
    first, second = of("team", 2)
    queue.add(first)
    queue.add(second)
    assert queue.get() == first
    taken: list[Key | None] = []
    worker = threading.Thread(target=lambda: taken.append(queue.get()), daemon=True)
    worker.start()
    queue.done(first)
    worker.join(BOUND)
    assert taken == [second]


@pytest.mark.requirement("O-36", "O-30")
def test_a_worker_knows_whether_anything_has_called_for_the_look() -> None:
    time = Time()
    queue = WorkQueue(time)

    def called() -> bool:
        assert ready(queue) == ONE
        with queue.in_hand(ONE):
            return not is_uncalled()

    queue.add(ONE, 10)
    time.now = 10
    assert not called()
    delay = queue.retry(ONE)
    queue.done(ONE)
    queue.add(ONE)
    assert called()
    queue.retry(ONE)  # it has failed: what it was called for is still to be done
    queue.done(ONE)
    time.now += 2 * delay
    assert called()
    assert not is_uncalled()


@pytest.mark.requirement("O-14", "O-36")
def test_what_is_urgent_goes_before_all_that_is_due_and_never_before_it_is_due_itself() -> None:
    time = Time()
    queue = WorkQueue(time, urgent={"Layers"})
    soon = Key("Layers", "", "team")
    queue.add(ONE)
    queue.add(TWO)
    queue.add(soon, 5)
    assert ready(queue) == ONE
    time.now = 5
    queue.add(ONE)
    queue.done(ONE)
    assert [ready(queue) for _ in range(4)] == [soon, TWO, ONE, None]


def test_a_key_that_comes_again_while_it_is_worked_on_is_taken_once() -> None:
    queue = WorkQueue(Time())
    queue.add(ONE)
    assert ready(queue) == ONE
    for _ in range(2):
        queue.add(ONE)
        assert ready(queue) is None
    queue.done(ONE)
    assert [ready(queue), ready(queue)] == [ONE, None]

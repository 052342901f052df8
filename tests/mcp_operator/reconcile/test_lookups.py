from __future__ import annotations

import contextlib
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest
from fake_builder import BOUND, FakeClock
from mcp_operator.images.contract import BuildCancelled, BuildError, Step
from mcp_operator.outcomes import Problem, Stalled, Waiting
from mcp_operator.reconcile.lookups import RETRY_CAP, RETRY_FIRST, Answer, Lookups, PendingError, Question, Threads
from mcp_operator.workqueue import Key

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.requirement("O-01")

ONE = Key("MCPServer", "team", "one")
DOWN = BuildError("HostUnreachable", "no answer", step=Step.FETCH, transient=True)


class World:
    """Questions are kept until a test has them answered."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.jobs: list[Callable[[], None]] = []
        self.woken: list[Key] = []
        self.replies: list[Answer | Exception] = []
        self.delays: list[float] = []
        self.lookups = Lookups(lambda _, job: self.jobs.append(job), self.clock, self._wake, jitter=lambda: 1.0)

    def ask(self, *, subject: str = "a", token: str = "", busy: bool = False) -> Answer:
        question = Question(subject=subject, token=token, interval=300, ask=self._reply)
        return self.lookups.answer(ONE, "uid", question, busy=busy)

    def reply(self, *replies: Answer | Exception) -> None:
        """Have the questions answered that wait."""
        self.replies.extend(replies)
        while self.jobs:
            self.jobs.pop(0)()

    def _wake(self, key: Key, delay: float) -> None:
        self.woken.append(key)
        self.delays.append(delay)

    def _reply(self) -> Answer:
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply


@pytest.fixture
def world() -> World:
    return World()


def test_nobody_waits_for_an_answer_and_who_asked_is_woken_by_it(world: World) -> None:
    with pytest.raises(PendingError):
        world.ask()
    with pytest.raises(PendingError):
        world.ask()
    assert len(world.jobs) == 1
    world.reply(Answer(revision="1"))
    assert world.woken == [ONE]
    assert world.ask().revision == "1"
    assert world.lookups.delay("uid") == 300


def test_an_answer_that_is_too_old_is_still_given_while_it_is_asked_for_anew(world: World) -> None:
    with pytest.raises(PendingError):
        world.ask()
    world.reply(Answer(revision="1"))
    world.clock.forward(300)
    assert world.ask().revision == "1"
    assert len(world.jobs) == 1
    assert world.lookups.delay("uid") is None
    world.reply(Answer(revision="2"))
    assert world.ask().revision == "2"


@pytest.mark.requirement("O-36")
def test_an_answer_that_is_the_same_again_wakes_nobody_before_it_is_to_be_asked_for_anew(world: World) -> None:
    with pytest.raises(PendingError):
        world.ask()
    for revision, delay in (("1", 0), ("1", 300), ("2", 0)):
        world.reply(Answer(revision=revision))
        assert world.delays[-1] == delay
        world.clock.forward(300)
        world.ask()


@pytest.mark.requirement("O-36")
def test_a_problem_and_its_end_are_told_at_once(world: World) -> None:
    with pytest.raises(PendingError):
        world.ask()
    world.reply(Answer(revision="1"))
    for reply in (Waiting("X", "y", delay=7), Waiting("X", "y", delay=7), Answer(revision="1")):
        world.clock.forward(300)
        with contextlib.suppress(Waiting):
            world.ask()
        world.reply(reply)
        assert world.delays[-1] == 0


def test_nothing_is_asked_anew_while_a_build_runs(world: World) -> None:
    with pytest.raises(PendingError):
        world.ask()
    world.reply(Answer(revision="1"))
    world.clock.forward(1000)
    assert world.ask(busy=True, token="now").revision == "1"
    assert not world.jobs


def test_a_host_that_does_not_answer_leaves_a_build_that_runs_the_answer_that_it_was_started_with(world: World) -> None:
    with pytest.raises(PendingError):
        world.ask()
    world.reply(Answer(revision="1"))
    world.clock.forward(300)
    world.ask()
    world.reply(DOWN)
    assert world.ask(busy=True).revision == "1"
    with pytest.raises(Waiting):
        world.ask()


def test_with_another_subject_or_token_the_last_answer_is_not_given(world: World) -> None:
    with pytest.raises(PendingError):
        world.ask()
    world.reply(Answer(revision="1"))
    with pytest.raises(PendingError):
        world.ask(token="now")
    world.reply(Answer(revision="2"))
    with pytest.raises(PendingError):
        world.ask(subject="b", token="now", busy=True)


def test_an_answer_that_nobody_waits_for_any_more_is_dropped(world: World) -> None:
    with pytest.raises(PendingError):
        world.ask()
    late = world.jobs.pop()
    with pytest.raises(PendingError):
        world.ask(subject="b")
    world.reply(Answer(revision="b"))
    world.replies = [Answer(revision="a")]
    late()
    assert world.ask(subject="b").revision == "b"


def test_who_does_not_answer_is_asked_less_and_less_often(world: World) -> None:
    delays = []
    for _ in range(9):
        with pytest.raises((PendingError, Problem)):
            world.ask()
        world.reply(DOWN)
        with pytest.raises(Waiting) as told:
            world.ask()
        delays.append(told.value.delay)
        world.clock.forward(told.value.delay or 0)
    assert delays[:3] == [RETRY_FIRST, 2 * RETRY_FIRST, 4 * RETRY_FIRST]
    assert delays[-1] == RETRY_CAP


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (DOWN, Waiting),
        (BuildError("RefNotFound", "no", step=Step.FETCH), Stalled),
        (Stalled("X", "y", delay=7), Stalled),
    ],
)
def test_a_problem_is_told_until_it_is_asked_again(world: World, reply: Exception, kind: type[Problem]) -> None:
    with pytest.raises(PendingError):
        world.ask()
    world.reply(reply)
    with pytest.raises(kind):
        world.ask()


def test_a_bug_in_asking_does_not_leave_a_server_without_an_answer(world: World) -> None:
    with pytest.raises(PendingError):
        world.ask()
    world.reply(KeyError("bug"))
    with pytest.raises(Waiting) as told:
        world.ask()
    assert told.value.reason == "InternalError"
    assert told.value.delay == RETRY_CAP


def test_an_operator_that_ends_says_nothing(world: World) -> None:
    with pytest.raises(PendingError):
        world.ask()
    world.reply(BuildCancelled())
    assert not world.woken


def test_a_server_that_is_gone_is_forgotten(world: World) -> None:
    with pytest.raises(PendingError):
        world.ask()
    world.lookups.forget("uid")
    world.reply(Answer(revision="1"))
    assert not world.woken
    assert world.lookups.delay("uid") is None


@pytest.mark.requirement("O-30")
def test_a_namespace_whose_hosts_never_answer_delays_no_other() -> None:
    hang, started, free = threading.Event(), threading.Semaphore(0), threading.Event()
    threads = Threads(limit=4, share=2)

    def stuck() -> None:
        started.release()
        assert hang.wait(BOUND)

    for _ in range(10):
        threads.run("bad", stuck)
    assert started.acquire(timeout=BOUND)
    assert started.acquire(timeout=BOUND)
    threads.run("good", free.set)
    assert free.wait(BOUND)
    assert not started.acquire(blocking=False)
    hang.set()
    for _ in range(8):
        assert started.acquire(timeout=BOUND)


@pytest.mark.requirement("O-30")
def test_many_namespaces_whose_hosts_hardly_answer_leave_room_for_another() -> None:
    answers, free = [threading.Event() for _ in range(8)], threading.Event()
    threads = Threads(limit=4, share=2)

    def wait(answer: threading.Event) -> None:
        assert answer.wait(BOUND)

    for number, answer in enumerate(answers):
        threads.run(f"bad-{number % 2}", partial(wait, answer))
    threads.run("good", free.set)
    answers[0].set()
    assert free.wait(BOUND), "it has none under way, so it comes before those that waited longer"
    for answer in answers:
        answer.set()


def test_more_questions_than_threads_wait_in_their_order() -> None:
    go, done = threading.Event(), threading.Semaphore(0)
    order: list[int] = []
    threads = Threads(limit=1, share=1)

    def job(number: int) -> None:
        assert go.wait(BOUND)
        order.append(number)
        done.release()

    for number in range(5):
        threads.run("team", lambda number=number: job(number))  # type: ignore[misc]  # binds the loop's value
    go.set()
    for _ in range(5):
        assert done.acquire(timeout=BOUND)
    assert order == [0, 1, 2, 3, 4]

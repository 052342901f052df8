from __future__ import annotations

import threading

import pytest
from mcp_operator.images.budget import Budget
from mcp_operator.images.contract import BuildCancelled, BuildError, Step
from mcp_operator.images.reasons import Reason


def test_a_budget_with_time_left_lets_a_step_go_on() -> None:
    budget = Budget(60)

    budget.check(Step.BUILD)

    assert not budget.over()
    assert 0 < budget.remaining() <= 60


@pytest.mark.requirement("F-08")
def test_used_up_time_names_the_step_and_the_setting() -> None:
    with pytest.raises(BuildError) as caught:
        Budget(0).check(Step.BUILD)

    assert caught.value.reason == Reason.TIMED_OUT
    assert caught.value.step == Step.BUILD
    assert "timeoutSeconds" in caught.value.hint


def test_a_cancel_counts_before_the_time() -> None:
    cancelled = threading.Event()
    cancelled.set()

    with pytest.raises(BuildCancelled):
        Budget(0, cancelled).check(Step.BUILD)


def test_a_part_ends_with_the_whole_and_is_cancelled_with_it() -> None:
    cancelled = threading.Event()
    part = Budget(5, cancelled).at_most(60)

    assert part.remaining() <= 5
    cancelled.set()
    assert part.over()


def test_the_guard_stops_a_block_that_waits() -> None:
    cancelled = threading.Event()
    stopped = threading.Event()
    cancelled.set()

    with Budget(60, cancelled).guard(stopped.set):
        assert stopped.wait(10)


def test_the_guard_does_nothing_to_a_block_that_ends() -> None:
    stopped = threading.Event()

    with Budget(60).guard(stopped.set):
        pass

    assert not stopped.is_set()

"""What the client wrote is counted rightly: an outage that loses calls must not look like one that does not."""

from __future__ import annotations

import pytest

from chaos.calls import Record, Window

pytestmark = pytest.mark.requirement("O-31")

LANE = "local, one by one"


def _record(ended: float, outcome: str, lane: str = LANE, why: str = "a") -> Record:
    return Record(lane, lane.partition(",")[0], int(ended * 10), ended - 0.1, ended, outcome, why)


def _window(*records: Record) -> Window:
    return Window("it", 0.0, 20.0, list(records))


def test_whatever_is_not_answered_is_lost_and_what_says_nothing_is_unclear() -> None:
    window = _window(*(_record(1.0, each) for each in ("answered", "error", "hung", "wrong")))
    assert [each.outcome for each in window.lost] == ["error", "hung", "wrong"]
    assert [each.outcome for each in window.unclear] == ["hung", "wrong"]
    assert window.answered == 1
    assert str(window).splitlines()[0] == "| it | 4 | 1 | 1 | 1 | 1 | 19.0 s |"


def test_recovery_is_from_the_first_failure_of_a_lane_to_its_answer_after_the_last() -> None:
    shared = "shared, wrapper"
    window = _window(
        _record(1.0, "answered"),
        _record(2.0, "error"),
        _record(3.0, "answered"),
        _record(4.0, "error"),
        _record(6.5, "answered"),
        _record(5.0, "error", shared),
        _record(6.0, "answered", shared),
    )
    assert window.recovery == 4.5
    assert window.of("shared").recovery == 1.0
    assert _window(_record(1.0, "answered")).recovery == 0.0


def test_errors_are_told_by_lane() -> None:
    window = _window(_record(1.0, "error", why="one"), _record(2.0, "error", why="two"), _record(3.0, "answered"))
    assert window.lost_on("one by one") == {LANE: ["one", "two"]}
    assert window.lost_on("wrapper") == {}
    assert window.instances == {"a"}

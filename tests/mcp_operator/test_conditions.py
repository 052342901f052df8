from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mcp_operator import conditions
from mcp_operator.outcomes import Done, Outcome, Stalled, Waiting

if TYPE_CHECKING:
    from mcp_operator.models.status import Condition

ORDER = ("SourceReady", "Built", "Verified")
GOOD: dict[str, Outcome] = {kind: Done(conditions.SUCCEEDED) for kind in ORDER}


def summarise(
    outcomes: dict[str, Outcome],
    previous: list[Condition] | None = None,
    *,
    now: str = "2026-01-01T00:00:00Z",
    ready: Outcome | None = None,
) -> dict[str, Condition]:
    found = conditions.summarise(previous or [], outcomes, order=ORDER, generation=3, now=now, ready=ready)
    return {condition.type: condition for condition in found}


@pytest.mark.requirement("F-08")
def test_all_done_is_ready_and_neither_stalled_nor_reconciling() -> None:
    found = summarise(GOOD)
    assert {kind: condition.status for kind, condition in found.items()} == dict.fromkeys(("Ready", *ORDER), "True")
    assert found["Ready"].observed_generation == 3


def test_the_first_problem_is_what_ready_says_and_later_steps_are_unknown() -> None:
    found = summarise({"SourceReady": Done("Succeeded"), "Built": Stalled("CompileFailed", "tsc: no")})
    assert (found["Ready"].status, found["Ready"].reason, found["Ready"].message) == (
        "False",
        "CompileFailed",
        "tsc: no",
    )
    assert found["Verified"].status == "Unknown"
    assert found["Stalled"].status == "True"
    assert "Reconciling" not in found


def test_waiting_is_reconciling_and_stalling_is_stronger() -> None:
    waiting = summarise({"SourceReady": Waiting("HostUnreachable", "no answer")})
    assert waiting["Reconciling"].reason == "HostUnreachable"
    both = summarise({"SourceReady": Waiting("HostUnreachable", ""), "Built": Stalled("CompileFailed", "")})
    assert "Reconciling" not in both
    assert both["Stalled"].reason == "CompileFailed"


def test_something_can_be_ready_though_a_step_waits() -> None:
    found = summarise({**GOOD, "SourceReady": Waiting("HostUnreachable", "")}, ready=Done("HostUnreachable", "as was"))
    assert found["Ready"].status == "True"
    assert found["SourceReady"].status == "False"
    assert found["Reconciling"].status == "True"


def test_nothing_found_out_is_not_ready() -> None:
    assert summarise({})["Ready"].status == "False"


def test_the_transition_time_changes_with_the_status_only() -> None:
    first = list(summarise(GOOD, now="2026-01-01T00:00:00Z").values())
    same = summarise({**GOOD, "Built": Done("Succeeded", "again")}, first, now="2026-01-02T00:00:00Z")
    assert same["Built"].last_transition_time == "2026-01-01T00:00:00Z"
    assert same["Built"].message == "again"
    failed = summarise({**GOOD, "Built": Stalled("X", "")}, first, now="2026-01-03T00:00:00Z")
    assert failed["Built"].last_transition_time == "2026-01-03T00:00:00Z"
    assert failed["SourceReady"].last_transition_time == "2026-01-01T00:00:00Z"


def test_every_reason_is_one_camel_case_word_and_documented() -> None:
    lines = Path(conditions.__file__).read_text(encoding="utf-8").splitlines()
    constants = [number for number, line in enumerate(lines) if ': Final = "' in line]
    assert len(constants) > 30
    for number in constants:
        value = lines[number].split('"')[1]
        assert value.isalpha()
        assert value[0].isupper()
        assert lines[number + 1].startswith('"""'), value

from __future__ import annotations

import pytest
from lab import progress


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.44, "0.4 s"), (9.94, "9.9 s"), (12.4, "12 s"), (60, "1 min 0 s"), (190.2, "3 min 10 s")]
)
def test_durations_are_written_for_people(seconds: float, text: str) -> None:
    assert progress.duration(seconds) == text


def test_a_short_step_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.step("short"):
        pass
    assert capsys.readouterr().err == ""


def test_a_long_step_says_that_it_runs_and_how_long_it_took(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr(progress, "INTERVAL_SECONDS", 0.01)
    heard = ""
    with progress.step("compiling"):
        while heard.count("\n") < 2:
            heard += capsys.readouterr().err
    lines = (heard + capsys.readouterr().err).splitlines()
    assert lines[0] == "lab: compiling ..."
    assert all(line.startswith("lab: compiling: ") and line.endswith(" s") for line in lines[1:])


def test_a_step_that_fails_says_so_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="why"), progress.step("pushing"):
        raise ValueError("why")
    assert capsys.readouterr().err.startswith("lab: pushing: FAILED after 0.0 s")

"""Every step shows its name, that it is alive, and its time."""

from __future__ import annotations

import re

import pytest

from demo.console import Console, DemoError

pytestmark = pytest.mark.requirement("F-02")


def test_a_step_shows_its_start_and_how_long_it_took(capsys: pytest.CaptureFixture[str]) -> None:
    with Console().step("Build"):
        pass
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "[ 0:00]  Build ..."
    assert re.fullmatch(r" +Build: \d\.\d s", lines[1])


def test_a_failing_step_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DemoError), Console().step("Build"):
        raise DemoError("no")
    assert "Build: failed after" in capsys.readouterr().out


def test_a_long_step_shows_that_it_is_alive(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FIRST_SECONDS", "INTERVAL_SECONDS"):
        monkeypatch.setattr(f"demo.console.{name}", 0.01)
    shown = ""
    with Console().step("Build"):
        for _ in range(100_000):  # until it was seen; bounded by capture, which is slow enough
            shown += capsys.readouterr().out
            if "... Build:" in shown:
                break
    assert "... Build:" in shown


def test_a_claim_that_does_not_hold_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.check("the sky is blue", holds=True, seen="it is")
    console.check("pigs fly", holds=False, seen="they walk\nand swim")
    assert console.failures == ["pigs fly"]
    assert capsys.readouterr().out.splitlines() == [
        "  ok    the sky is blue",
        "      it is",
        "  FAIL  pigs fly",
        "      they walk",
        "      and swim",
    ]

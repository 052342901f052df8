from __future__ import annotations

import datetime as dt
import stat
from typing import TYPE_CHECKING

import pytest
from mcp_operator.images import build_logs
from mcp_operator.images.build_logs import Log
from mcp_operator.images.contract import Step

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requirement("B-11")


class Clock:
    """Advances a second with each look."""

    def __init__(self) -> None:
        self._now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

    def __call__(self) -> dt.datetime:
        self._now += dt.timedelta(seconds=1)
        return self._now


class Heard:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def step(self, step: Step, detail: str) -> None:
        self.all.append(f"{step} {detail}")

    def log(self, line: str) -> None:
        self.all.append(line)


def test_each_line_has_its_time_and_no_secret_and_is_passed_on(tmp_path: Path) -> None:
    heard = Heard()
    with Log(tmp_path / "logs", "a/b c", heard, clock=Clock()) as log:
        log.step(Step.BUILD, "step 1/2 : FROM x")
        log.log("API_TOKEN=s3cretvalue")
        log.log("\x1b[31mred\ntwo")

    assert log.path.name.startswith("20260101T000001000000-a-b-c-")
    assert log.path.name.endswith(".build.log")
    assert log.path.read_text().splitlines() == [
        "2026-01-01T00:00:02.000+00:00 == Build: step 1/2 : FROM x",
        "2026-01-01T00:00:03.000+00:00 API_TOKEN=***",
        "2026-01-01T00:00:04.000+00:00 red",
        "2026-01-01T00:00:05.000+00:00 two",
    ]
    assert heard.all[0] == "Build step 1/2 : FROM x"
    assert len(heard.all) == 3


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    with Log(tmp_path / "logs", "x") as log:
        assert stat.S_IMODE(log.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(log.path.parent.stat().st_mode) == 0o700


def test_a_log_is_cut_where_it_is_too_long_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_logs, "MAX_BYTES", 100)
    heard = Heard()
    with Log(tmp_path, "x", heard) as log:
        for _ in range(10):
            log.log("y" * 40)

    text = log.path.read_text()
    assert text.count("y" * 40) == 1
    assert text.endswith("size limit\n")
    assert len(heard.all) == 10


def test_the_newest_logs_stay(tmp_path: Path) -> None:
    clock = Clock()
    other = tmp_path / "other.txt"
    other.touch()
    made = []
    for number in range(5):
        with Log(tmp_path, str(number), keep=3, clock=clock) as log:
            made.append(log.path)

    assert sorted(tmp_path.glob("*.build.log")) == made[2:]
    assert build_logs.newest(tmp_path) == made[-1]
    assert other.exists()
    assert build_logs.prune(tmp_path, 0) == made[2:]
    assert build_logs.newest(tmp_path) is None


def test_after_its_end_a_log_takes_nothing_more(tmp_path: Path) -> None:
    with Log(tmp_path, "..") as log:
        pass
    log.log("late")

    assert log.path.read_text() == ""
    assert "-build-" in log.path.name

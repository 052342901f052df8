from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from toolman import audit

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requirement("T-31")


def record(tool: str) -> audit.Record:
    return audit.Record(
        time=audit.now(), session="s", tool=tool, decision="denied", reason="Unknown", outcome="refused", ms=0.1
    )


def names(path: Path) -> list[str]:
    return [json.loads(line)["tool"] for line in path.read_text().splitlines()]


async def test_a_record_is_one_line_whatever_the_tool_is_called(capfd: pytest.CaptureFixture[str]) -> None:
    log = audit.Audit()
    log.write(record('x\n{"decision":"allowed"}\u2028'))
    log.write(record("y"))
    await asyncio.sleep(0)
    lines = capfd.readouterr().out.encode().splitlines()
    assert [json.loads(line)["tool"] for line in lines] == ['x\n{"decision":"allowed"}\u2028', "y"]
    assert json.loads(lines[0])["time"].endswith("Z")


async def test_a_file_is_appended_to_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    for tool in ("a", "b"):
        log = audit.Audit(str(path))
        log.write(record(tool))
        log.close()
    assert names(path) == ["a", "b"]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_file_that_was_moved_away_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_REOPEN", 0.0)
    path = tmp_path / "audit.log"
    log = audit.Audit(str(path))
    log.write(record("a"))
    log.flush()
    path.rename(tmp_path / "old")
    log.write(record("b"))
    log.close()
    assert (names(tmp_path / "old"), names(path)) == (["a"], ["b"])


async def test_another_sink_gets_what_comes_from_then_on(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    log = audit.Audit(str(first))
    log.write(record("a"))
    log.use(str(second))
    log.write(record("b"))
    log.use("none")
    log.write(record("c"))
    log.close()
    assert (names(first), names(second)) == (["a"], ["b"])


async def test_a_log_that_cannot_be_written_is_said_once_and_again_after_it_could(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = audit.Audit(str(tmp_path / "no" / "such"))
    for _ in range(2):
        log.write(record("x"))
        log.flush()
    assert caplog.text.count("cannot be written") == 1
    (tmp_path / "no").mkdir()
    log.write(record("y"))
    log.close()
    assert names(tmp_path / "no" / "such") == ["y"]

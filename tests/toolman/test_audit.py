from __future__ import annotations

import asyncio
import json
import os

import pytest

from toolman import audit

pytestmark = pytest.mark.requirement("F-07")


def record(tool: str) -> audit.Record:
    return audit.Record(
        time=audit.now(), session="s", tool=tool, decision="denied", reason="Unknown", outcome="refused", ms=0.1
    )


async def test_a_record_is_one_line_whatever_the_tool_is_called() -> None:
    reading, writing = os.pipe()
    log = audit.Audit(writing)
    log.write(record('x\n{"decision":"allowed"}\u2028'))
    log.write(record("y"))
    await asyncio.sleep(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as read:
        lines = read.read().splitlines()
    assert [json.loads(line)["tool"] for line in lines] == ['x\n{"decision":"allowed"}\u2028', "y"]
    assert json.loads(lines[0])["time"].endswith("Z")


async def test_a_log_that_is_closed_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    log = audit.Audit(writing)
    for _ in range(2):
        log.write(record("x"))
        log.flush()
    os.close(writing)
    assert caplog.text.count("cannot be written") == 1

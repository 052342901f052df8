"""Who is refused cannot fill the log."""

from __future__ import annotations

import logging

import pytest
from toolman.server import REFUSALS_INTERVAL, Refusals


@pytest.mark.requirement("F-06")
def test_a_flood_of_refused_callers_is_a_line_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "toolman.server")
    refusals = Refusals()
    for number in range(1000):
        refusals.note("it runs as user 7", 100.0 + number / 1000)
    refusals.note("it runs as user 7", 101.0 + REFUSALS_INTERVAL)
    assert [record.message.split("(")[1] for record in caplog.records] == [
        "1 since the last such line)",
        "1000 since the last such line)",
    ]

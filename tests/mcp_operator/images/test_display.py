from __future__ import annotations

import contextlib
import io
import os
import pty
import threading
from itertools import count

import pytest
from mcp_operator.images import display
from mcp_operator.images.contract import Step
from mcp_operator.images.display import State

pytestmark = pytest.mark.requirement("B-11")


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def drain(terminal: int, heard: list[bytes]) -> None:
    """Read a terminal to its end, which is an error on Linux."""
    with contextlib.suppress(OSError):
        while piece := os.read(terminal, 65536):
            heard.append(piece)


@pytest.mark.parametrize(
    ("detail", "state"),
    [
        ("step 3/9 : RUN npm ci", State("RUN npm ci", 2, 9, "step 3 of 9")),
        ("127.0.0.1:5000/x/y: 1.5 of 3.0 MB", State("127.0.0.1:5000/x/y", 1.5, 3.0, "1.5 of 3.0 MB")),
        ("pulling x, 9.0 of 3.0 MB", State("pulling x", 3.0, 3.0, "9.0 of 3.0 MB")),
        ("1.2.3 of 4 MB", State("1.2.3 of 4 MB")),
        ("handshake", State("handshake")),
        ("TOKEN=s3cretvalue \x1b[31m", State("TOKEN=***")),
    ],
)
def test_a_detail_says_how_far_it_is(detail: str, state: State) -> None:
    found = display.read(detail)

    assert found._replace(text=found.text.rstrip()) == state


def test_without_a_terminal_there_are_lines_with_the_seconds_since_the_start() -> None:
    out = io.StringIO()
    ticks = count()
    progress = display.Lines(out, lambda: float(next(ticks)))

    progress.step(Step.FETCH, "cloning https://me:s3cretvalue@example.com/x")
    progress.step(Step.BUILD, "step 1/2 : FROM x")
    progress.log("Step 1/2 : FROM x")
    progress.step(Step.PUSH, "x: 1.0 of 2.0 MB")

    assert out.getvalue().splitlines() == [
        "    1.0s Fetch: cloning https://***@example.com/x",
        "    2.0s   Step 1/2 : FROM x",
    ]


def test_what_is_no_terminal_gets_lines() -> None:
    with display.on(io.StringIO()) as progress:
        assert isinstance(progress, display.Lines)


def test_a_terminal_without_rich_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "HAS_RICH", False)

    with display.on(Terminal()) as progress:
        assert isinstance(progress, display.Lines)


def test_a_terminal_shows_step_instruction_count_time_and_the_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    outer, inner = pty.openpty()
    heard: list[bytes] = []
    reader = threading.Thread(target=drain, args=(outer, heard))
    reader.start()
    with os.fdopen(inner, "w") as out, display.on(out) as progress:
        progress.step(Step.BUILD, "step 3/9 : RUN npm ci [bold]")
        progress.log("added 12 packages, API_KEY=s3cretvalue")

    reader.join(10)
    os.close(outer)
    shown = b"".join(heard).decode()
    for part in ("Build", "step 3 of 9", "RUN npm ci", "[bold]", "0:00:0", "added 12 packages", "***"):
        assert part in shown
    assert "s3cretvalue" not in shown

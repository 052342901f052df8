"""Show a build's progress to a person: a live bar on a terminal, if rich is installed, plain lines otherwise."""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING, NamedTuple, TextIO

from mcp_operator.images import redact

try:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar
    from rich.table import Column
except ImportError:  # the extra "cli"
    HAS_RICH = False
else:
    HAS_RICH = True

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mcp_operator.images.contract import Progress, Step

_INSTRUCTION = re.compile(r"step (\d{1,4})/(\d{1,4}) : (.*)", re.DOTALL)
_BYTES = re.compile(r"([\d.]{1,12}) of ([\d.]{1,12}) MB")
_STEP_WIDTH = 6
"""Characters of the longest step's name."""
_WIDTH = 100
"""Characters of an instruction or a line under the bar."""


class State(NamedTuple):
    """What is being done: in words, and how far it is where that is known."""

    text: str
    done: float = 0
    total: float = 0
    counted: str = ""


def read(detail: str) -> State:
    """Read a step's detail: an instruction of the Dockerfile, bytes that are moved, or words."""
    shown = redact.line(detail)
    if match := _INSTRUCTION.match(shown):
        number, total = int(match[1]), int(match[2])
        return State(match[3][:_WIDTH], max(0, number - 1), total, f"step {number} of {total}")
    if match := _BYTES.search(shown):
        try:
            done, total_bytes = float(match[1]), float(match[2])
        except ValueError:
            return State(shown[:_WIDTH])
        return State(shown[: match.start()].rstrip(" :,")[:_WIDTH], min(done, total_bytes), total_bytes, match[0])
    return State(shown[:_WIDTH])


class Lines:
    """Writes each step and each line of output with the seconds since the start.

    Args:
        out: Where to.
        clock: Gives seconds.
    """

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._began = clock()

    def step(self, step: Step, detail: str) -> None:
        """Write a step."""
        if _INSTRUCTION.match(detail) or _BYTES.search(detail):
            return  # an instruction's own line says so, too; and bytes would be a line each
        self._write(f"{step}: {redact.line(detail)}")

    def log(self, line: str) -> None:
        """Write a line of output."""
        self._write(f"  {redact.line(line)}")

    def _write(self, text: str) -> None:
        self._out.write(f"{self._clock() - self._began:7.1f}s {text}\n")
        self._out.flush()


class Live:
    """A bar that moves: the step, how much of it is done, how long it takes, and the last line of output."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=None, step="", counted="", line="")

    def step(self, step: Step, detail: str) -> None:
        """Show a step."""
        state = read(detail)
        self._bar.update(
            self._task,
            description=escape(state.text),
            step=str(step),
            counted=state.counted,
            completed=state.done,
            total=state.total or None,
        )

    def log(self, line: str) -> None:
        """Show a line of output; it replaces the one before."""
        self._bar.update(self._task, line=escape(redact.line(line)[:_WIDTH]))


@contextlib.contextmanager
def on(out: TextIO) -> Iterator[Progress]:
    """Show progress for the time of the block: live on a terminal, as lines elsewhere."""
    if not HAS_RICH or not out.isatty():
        yield Lines(out)
        return
    with Bar(
        SpinnerColumn(),
        # What is long gives way to the rest, however narrow the terminal is.
        TextColumn("[bold]{task.fields[step]}", table_column=Column(no_wrap=True, min_width=_STEP_WIDTH)),
        TextColumn("{task.fields[counted]}", table_column=Column(no_wrap=True)),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        TextColumn(
            "{task.description}\n[dim]{task.fields[line]}",
            table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
        ),
        console=Console(file=out),
        transient=True,
        expand=True,
    ) as bar:
        yield Live(bar)

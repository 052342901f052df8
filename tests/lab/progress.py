"""Tells a person what takes long, on standard error."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

QUIET_SECONDS = 2.0
"""Steps that end sooner are not mentioned."""
INTERVAL_SECONDS = 10.0
"""A long step says so this often."""


def duration(seconds: float) -> str:
    """Write a duration for people: ``0.4 s``, ``12 s``, ``3 min 10 s``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def say(line: str) -> None:
    """Write one line."""
    print(f"lab: {line}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Show ``name`` while the block runs, if that takes long, and how long it took."""
    ended = threading.Event()
    start = time.monotonic()

    def tick() -> None:
        if ended.wait(QUIET_SECONDS):
            return
        say(f"{name} ...")
        while not ended.wait(INTERVAL_SECONDS):
            say(f"{name}: {duration(time.monotonic() - start)}")

    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    try:
        yield
    except BaseException:
        ended.set()
        say(f"{name}: FAILED after {duration(time.monotonic() - start)}")
        raise
    ended.set()
    ticker.join()
    if time.monotonic() - start >= QUIET_SECONDS:
        say(f"{name}: {duration(time.monotonic() - start)}")

"""What a person reads while the demo runs."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from lab.progress import duration

if TYPE_CHECKING:
    from collections.abc import Iterator

INTERVAL_SECONDS = 5.0
"""A step that says nothing itself shows this often that it is alive; the first time after two seconds."""
FIRST_SECONDS = 2.0


class DemoError(Exception):
    """The demo cannot go on. The text is one line; ``details`` is what to look at, printed below it."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class Console:
    """Prints steps with their times, and below them what they found.

    Attributes:
        failures: Checks that did not come out as they must.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._spoke = self._began
        self._lock = threading.Lock()
        self.failures: list[str] = []

    def line(self, text: str = "") -> None:
        """Print a line."""
        with self._lock:
            self._spoke = time.monotonic()
            print(text, flush=True)

    def title(self, text: str) -> None:
        """Print a heading."""
        self.line(f"\n{text}")

    def block(self, text: str) -> None:
        """Print lines of output, set in."""
        for line in text.rstrip().splitlines():
            self.line(f"      {line}")

    def check(self, claim: str, *, holds: bool, seen: str) -> None:
        """Print a claim and whether it holds, with what was seen; a failure is counted."""
        self.line(f"  {'ok  ' if holds else 'FAIL'}  {claim}")
        self.block(seen)
        if not holds:
            self.failures.append(claim)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Print the step's name, signs of life while it takes long and, at its end, how long it took."""
        started = time.monotonic()
        ended = threading.Event()
        self.line(f"{self._clock(started)}  {name} ...")

        def tick() -> None:
            wait = FIRST_SECONDS
            while not ended.wait(wait):
                if time.monotonic() - self._spoke >= wait:
                    self.line(f"         ... {name}: {duration(time.monotonic() - started)}")
                wait = INTERVAL_SECONDS

        ticker = threading.Thread(target=tick, daemon=True)
        ticker.start()
        try:
            yield
        except BaseException:
            self.line(f"         {name}: failed after {duration(time.monotonic() - started)}")
            raise
        else:
            self.line(f"         {name}: {duration(time.monotonic() - started)}")
        finally:
            ended.set()
            ticker.join()

    def _clock(self, moment: float) -> str:
        minutes, seconds = divmod(round(moment - self._began), 60)
        return f"[{minutes:2}:{seconds:02}]"

    def total(self) -> str:
        """Say how long everything took until now."""
        return duration(time.monotonic() - self._began)

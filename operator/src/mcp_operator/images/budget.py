"""How long a build may still take, and whether somebody has cancelled it. One object goes through all the steps."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from mcp_operator.images.contract import BuildCancelled, BuildError, Step
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

POLL = 0.1
"""Seconds between two looks at the clock and the cancel event: what a cancel takes at most to be noticed."""


class Budget:
    """Time left and the cancel event.

    Args:
        seconds: From now on, for everything that uses this object.
        cancelled: Set by another thread when the build is no longer wanted.
        interrupt: Called at each check: raises where there is another reason to stop.
    """

    def __init__(
        self,
        seconds: float,
        cancelled: threading.Event | None = None,
        interrupt: Callable[[], None] | None = None,
    ) -> None:
        self.seconds = seconds
        self._interrupt = interrupt
        self._cancelled = cancelled or threading.Event()
        self._deadline = time.monotonic() + seconds

    def at_most(self, seconds: float) -> Budget:
        """Give a part of this budget: the same cancel event, ``seconds`` or what is left, whichever is less."""
        return Budget(min(seconds, self.remaining()), self._cancelled, self._interrupt)

    def with_interrupt(self, interrupt: Callable[[], None]) -> Budget:
        """Give what is left of this budget, at whose checks ``interrupt`` is called, too."""
        return Budget(self.remaining(), self._cancelled, interrupt)

    def remaining(self) -> float:
        """Give the seconds left, never negative."""
        return max(0.0, self._deadline - time.monotonic())

    def over(self) -> bool:
        """Tell whether to stop."""
        return self._cancelled.is_set() or self.remaining() <= 0

    def check(self, step: Step) -> None:
        """Stop here if it is over.

        Raises:
            BuildCancelled: Somebody cancelled.
            BuildError: The time is used up (``TimedOut``).
        """
        if self._cancelled.is_set():
            raise BuildCancelled
        if self.remaining() <= 0:
            raise BuildError(
                Reason.TIMED_OUT,
                f"{step} did not finish: the time limit of {self.seconds:.0f} s is used up",
                step=step,
                hint="Raise spec.build.timeoutSeconds, or find out from the log what takes so long.",
                transient=True,
            )
        if self._interrupt:
            self._interrupt()

    @contextlib.contextmanager
    def guard(self, stop: Callable[[], None]) -> Iterator[None]:
        """Call ``stop`` from another thread, once, if it is over before the block ends.

        For calls that block and can only be ended from outside. ``stop`` must make the block end soon.
        """
        done = threading.Event()

        def watch() -> None:
            while not done.wait(POLL):
                if self.over():
                    stop()
                    return

        watchdog = threading.Thread(target=watch, name="build-watchdog", daemon=True)
        watchdog.start()
        try:
            yield
        finally:
            done.set()
            watchdog.join()

"""The real operator as a process of its own, with a builder that needs no engine and whose builds a test can hold.

Variables: ``BUILDS`` names a folder. Each build leaves a line ``PID UID START|END`` in ``log`` there and, while a file
``hold`` is in it, does not end.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fake_builder import FakeBuilder, result
from mcp_operator import operate
from mcp_operator.images.contract import BuildCancelled, Step

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Collection

    from mcp_operator.images.contract import BuildResult, Progress
    from mcp_operator.jobs import Request
    from mcp_operator.settings import Settings

POLL = 0.05


class Builder(FakeBuilder):
    """Builds by writing into a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def start(self, changed: Callable[[], None]) -> None:
        changed()

    def close(self) -> None:
        """There is nothing to end."""

    def sweep(self, alive: Collection[str]) -> None:
        """There is no engine."""

    def build(self, request: Request, progress: Progress, cancelled: threading.Event) -> BuildResult:
        self._log(request.uid, "START")
        progress.step(Step.BUILD, "step 1/1")
        while (self._folder / "hold").exists():
            if cancelled.is_set():
                self._log(request.uid, "CANCELLED")
                raise BuildCancelled
            time.sleep(POLL)
        self._log(request.uid, "END")
        return result(request)

    def _log(self, uid: str, what: str) -> None:
        with (self._folder / "log").open("a") as log:
            log.write(f"{os.getpid()} {uid} {what}\n")


def make(_: Settings) -> Builder:
    """Give the builder for the folder that ``BUILDS`` names."""
    return Builder(Path(os.environ["BUILDS"]))


if __name__ == "__main__":
    sys.exit(operate.run(int(sys.argv[1]), make))

"""Run a program bounded in time and output, without a shell, and leave none of its processes behind."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, NamedTuple

from mcp_operator.images.budget import POLL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from mcp_operator.images.budget import Budget
    from mcp_operator.images.contract import Step

OUTPUT_LIMIT = 32 * 1024 * 1024
"""Bytes of each output stream; a listing of the largest tree that is accepted fits."""


class OutputLimitError(Exception):
    """The program wrote more than is accepted; it was killed."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What a program left."""

    code: int
    stdout: bytes
    stderr: str


class Bounds(NamedTuple):
    """What stops a program besides its time and output.

    Attributes:
        watch: Called about ten times a second while it runs; what it raises stops the program.
        memory: Bytes that each of its processes may have of its own, where the kernel is Linux; 0 for no bound.
    """

    watch: Callable[[], None] | None = None
    memory: int = 0


_NONE = Bounds()


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    budget: Budget,
    step: Step,
    bounds: Bounds = _NONE,
) -> Finished:
    """Run ``argv`` to its end.

    Args:
        argv: Program and arguments.
        env: The whole environment.
        cwd: Where it runs.
        budget: When to stop it.
        step: For the error.
        bounds: What else stops it.

    Raises:
        BuildCancelled: As the budget says.
        BuildError: The time is used up.
        OutputLimitError: Too much output.
    """
    budget.check(step)
    with subprocess.Popen(
        argv,
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        if bounds.memory and sys.platform == "linux":
            with contextlib.suppress(ProcessLookupError):  # it has ended already
                resource.prlimit(process.pid, resource.RLIMIT_DATA, (bounds.memory, bounds.memory))
        # Popen gives both pipes because both were asked for; the pairs keep that visible to the type checker.
        sinks = [_Sink(pipe, process.pid) for pipe in (process.stdout, process.stderr) if pipe is not None]
        try:
            _wait(process, budget, step, bounds.watch)
        finally:
            # The group, not the program alone: git leaves transport helpers behind when it is killed.
            _kill_group(process.pid)
            process.wait()
            for sink in sinks:
                sink.join()
    if any(sink.exceeded for sink in sinks):
        raise OutputLimitError(f"{argv[0]} wrote more than {OUTPUT_LIMIT} bytes")
    stdout, stderr = (bytes(sink.data) for sink in sinks)
    return Finished(code=process.returncode, stdout=stdout, stderr=stderr.decode(errors="replace"))


def _wait(process: subprocess.Popen[bytes], budget: Budget, step: Step, watch: Callable[[], None] | None) -> None:
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POLL)
            return
        budget.check(step)
        if watch:
            watch()


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


class _Sink(threading.Thread):
    """Reads a pipe to its end; kills the writer when it is too much."""

    def __init__(self, pipe: IO[bytes], group: int) -> None:
        super().__init__(name="process-output", daemon=True)
        self.data = bytearray()
        self.exceeded = False
        self._pipe = pipe
        self._group = group
        self.start()

    def run(self) -> None:
        """Read until the last writer is gone."""
        while chunk := self._pipe.read(65536):
            if len(self.data) + len(chunk) > OUTPUT_LIMIT:
                self.exceeded = True
                _kill_group(self._group)
                return
            self.data += chunk

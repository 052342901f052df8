"""Programs that outlive us: started once under a name, found again by process ID and start time, ended by name.

A process ID alone may belong to a stranger by the time we look again; together with the start time and the boot it
cannot, so nothing that we did not start is ever signalled.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lab import progress
from lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

POLL_SECONDS = 0.1
KILL_SECONDS = 5.0
"""How long the kernel may take to end a killed process, which may be waiting for a disk."""


def identity(pid: int) -> str | None:
    """Tell a living process from every other that had or will have its ID; None if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold spaces and parentheses
    state, started = fields[0], fields[19]
    return None if state in "ZX" else f"{started} {boot}"


def using(folder: Path, programs: Collection[str]) -> list[int]:
    """Give the living processes of these programs that name something below ``folder`` in their arguments.

    So are found the processes that a program of ours started in its turn, also when it died without ending them.
    """
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        pid = int(path.parent.name)
        named = any(f"{folder}/" in argument for argument in arguments[1:])
        if named and Path(arguments[0]).name in programs and identity(pid):
            found.append(pid)
    return sorted(found)


def end(folder: Path, programs: Collection[str], seconds: float) -> None:
    """Wait for the processes that ``using`` gives to end; kill those that do not in ``seconds``."""
    if not poll(lambda: not using(folder, programs), seconds):
        for pid in using(folder, programs):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        poll(lambda: not using(folder, programs), KILL_SECONDS)


class Processes:
    """The programs of one part of the lab; pid files and logs are in its folder."""

    def __init__(self, folder: Path) -> None:
        self.pids = folder / "run"
        self.logs = folder / "log"

    def __repr__(self) -> str:
        return f"Processes({str(self.pids.parent)!r})"

    def names(self) -> list[str]:
        """Give the names of those that live."""
        return sorted(path.stem for path in self.pids.glob("*.pid") if self.pid(path.stem))

    def pid(self, name: str) -> int | None:
        """Give the process ID of the program that we started under this name, if it lives."""
        try:
            pid, _, known = (self.pids / f"{name}.pid").read_text().strip().partition(" ")
        except OSError:
            return None
        return int(pid) if known and identity(int(pid)) == known else None

    def start(self, name: str, *argv: str, env: Mapping[str, str] | None = None) -> bool:
        """Start a program, unless it lives already. Returns whether it was started."""
        if self.pid(name):
            return False
        self.pids.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        with (self.logs / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=env,
                cwd="/",
                start_new_session=True,
            )
        (self.pids / f"{name}.pid").write_text(f"{child.pid} {identity(child.pid)}\n")
        child.returncode = 0  # it is meant to outlive us, and Popen would warn that it does
        return True

    def stop(self, *names: str, seconds: float) -> None:
        """Ask the programs to end, all at once; kill those that live after ``seconds``."""
        for name in names:
            self._signal(name, signal.SIGTERM)
        if not poll(lambda: not any(self.pid(name) for name in names), seconds):
            for name in names:
                if self._signal(name, signal.SIGKILL):
                    progress.say(f"{name} had to be killed")
            poll(lambda: not any(self.pid(name) for name in names), KILL_SECONDS)
        for name in names:
            if not self.pid(name):
                (self.pids / f"{name}.pid").unlink(missing_ok=True)

    def wait(self, name: str, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until a program that we started is ready.

        Raises:
            LabError: It ended, or was not ready in time; with the last line of its log.
        """
        if poll(lambda: ready() or self.pid(name) is None, seconds) and self.pid(name):
            return
        verb = "is not ready" if self.pid(name) else "ended"
        raise LabError(f"{name} {verb}: {self.last_line(name)} (log: {self.logs / name}.log)")

    def last_line(self, name: str) -> str:
        """Give the last line that a program wrote."""
        try:
            lines = (self.logs / f"{name}.log").read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1][:300] if lines else "it wrote nothing"

    def _signal(self, name: str, number: signal.Signals) -> bool:
        pid = self.pid(name)
        if pid is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        return True


def poll(done: Callable[[], bool], seconds: float) -> bool:
    """Ask again and again until the answer is yes, for ``seconds`` at most. Returns the last answer."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True

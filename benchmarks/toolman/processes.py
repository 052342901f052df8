"""A started proxy with everything that it starts: its memory, its processor time, its end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

END_SECONDS = 15.0
TICKS = os.sysconf("SC_CLK_TCK")


class Tree:
    """A process and its descendants, without the upstreams: those are the same for every proxy.

    Attributes:
        process: The process that was started.
    """

    def __init__(self, command: Sequence[str], log: Path, upstream: Path) -> None:
        self._upstream = str(upstream)
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
            )

    def _pids(self, *, with_upstreams: bool = False) -> Iterator[int]:
        waiting = [self.process.pid]
        while waiting:
            pid = waiting.pop()
            with contextlib.suppress(OSError):  # it may end meanwhile
                for task in Path(f"/proc/{pid}/task").iterdir():
                    waiting += map(int, (task / "children").read_text().split())
                if with_upstreams or str(Path(f"/proc/{pid}/exe").readlink()) != self._upstream:
                    yield pid

    def resident(self) -> float:
        """Give MiB."""
        total = 0
        for pid in self._pids():
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text()
                total += int((status.partition("VmRSS:")[2].split() or ["0"])[0])
        return total / 1024

    def processor(self) -> float:
        """Give seconds."""
        total = 0
        for pid in self._pids():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += sum(map(int, fields[11:15]))  # its own, and that of children that have ended
        return total / TICKS

    def end(self) -> None:
        """End everything, politely first."""
        everything = list(self._pids(with_upstreams=True))
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(END_SECONDS)
        for pid in everything:
            if pid != self.process.pid and self._is_ours(pid):
                os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait(END_SECONDS)

    def _is_ours(self, pid: int) -> bool:
        """Tell whether a process is still one that this proxy started: all of them are in its session, or upstreams."""
        try:
            return os.getsid(pid) == self.process.pid or str(Path(f"/proc/{pid}/exe").readlink()) == self._upstream
        except OSError:
            return False

"""Who made a sandbox, and whether that process is gone: only then may another toolman remove it.

Two toolmans may use one engine. Each container names the process that made it so that it can be judged: by the engine
where that process runs in a container of the same engine, by process identifier and start time where it can be seen.
What cannot be judged counts as alive.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

_OWN_CONTAINER = re.compile(r"/containers/([0-9a-f]{64})/(\S+) /etc/\2 ")
"""In the list of mounts: files that the engine makes for a container. The machine itself sees mounts of all of them."""

_START_TIME = 21  # field of /proc/PID/stat, counted from 0


class Owner(msgspec.Struct, frozen=True):
    """A process that makes sandboxes.

    Attributes:
        machine: The machine's identifier, empty if it is not known.
        boot: Of the machine.
        namespace: In which ``pid`` is counted.
        pid: Its number.
        started: In ticks since the boot: numbers are used again.
        container: In which it runs, empty if in none of the same engine.
        container_started: When that one was started: the same container can be started again.
    """

    machine: str
    boot: str
    namespace: str
    pid: int
    started: str
    container: str = ""
    container_started: str = ""


def own(started_at: Callable[[str], str | None]) -> Owner:
    """Describe this process.

    Args:
        started_at: Tells when a container of the engine was started, None for one that it does not run.
    """
    container = own_container(_read("/proc/self/mountinfo"))
    container_started = started_at(container) if container else None
    return Owner(
        _read("/etc/machine-id").strip(),
        _read("/proc/sys/kernel/random/boot_id").strip(),
        _namespace(),
        os.getpid(),
        _started(os.getpid()),
        container if container_started is not None else "",
        container_started or "",
    )


def own_container(mounts: str) -> str:
    """Find the container that this process runs in; empty if it runs in none.

    Args:
        mounts: The text of ``/proc/self/mountinfo``.
    """
    found = _OWN_CONTAINER.search(mounts)
    return found[1] if found else ""


def is_gone(owner: Owner, me: Owner, started_at: Callable[[str], str | None]) -> bool:
    """Tell whether a process surely does not run any more, as far as this one (``me``) can see."""
    if owner.container and started_at(owner.container) != owner.container_started:
        return True
    if owner.machine != me.machine:
        return False
    if owner.boot != me.boot:
        return bool(me.machine)
    return owner.namespace == me.namespace and _started(owner.pid) != owner.started


def dumps(owner: Owner) -> str:
    """Write it as the value of a label."""
    return msgspec.json.encode(owner).decode()


def loads(text: str) -> Owner | None:
    """Read a label's value; None if it is none."""
    try:
        return msgspec.json.decode(text, type=Owner)
    except (msgspec.DecodeError, UnicodeError):
        return None


def _started(pid: int) -> str:
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    index = _START_TIME - 2  # two fields stand before the bracket
    return fields[index] if len(fields) > index else ""


def _namespace() -> str:
    return os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - no path, a name


def _read(path: str) -> str:
    with contextlib.suppress(OSError):
        return Path(path).read_text()
    return ""

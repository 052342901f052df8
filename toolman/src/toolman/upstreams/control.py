"""The conversation with a spawner (``spawner.sh``), process 1 of a server's container in the same Pod.

toolman makes the pipes in a volume that the server's container mounts read-only, so nothing can be planted there.
What comes back is hostile all the same: the server runs under the spawner's user and can write to ``events``. It can
pretend to have died, and so harm itself. Lines are short, only names given by us count, and a flood is read slowly.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from weakref import WeakValueDictionary

from toolman import tokens
from toolman.upstreams import Failure
from toolman.upstreams.lines import LineSplitter, LineTooLong, Reader

if TYPE_CHECKING:
    import signal

log = logging.getLogger(__name__)

CONTROL = "control"
EVENTS = "events"
INPUT = "in"
OUTPUT = "out"

_MAX_EVENT = 256
_FLOOD_PAUSE = 0.05
"""Seconds without reading after a chunk that held nothing of interest."""

_FOLDER_MODE = 0o711  # the server's user may pass through, and look for names that it was not told
_PIPE_MODE = 0o666  # the server runs under another user; the volume is mounted by these two containers alone


class Listener(Protocol):
    """Who wants to know about one start."""

    def attach(self, writing: int, reading: int) -> None:
        """Take over descriptors for writing its input and for reading its output."""

    def started(self, pid: int) -> None:
        """Learn the number of its process group."""

    def exited(self, how: str) -> None:
        """Learn that it has ended."""


class Control:
    """The control and events pipes in one folder. There must be one for each: see :func:`control_of`."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)
        self._control = -1
        self._events: Reader | None = None
        self._lines = LineSplitter(_MAX_EVENT)
        self._listeners: dict[str, Listener] = {}
        self._run = ""
        self._ready = asyncio.Event()
        self._beginning = asyncio.Lock()

    async def start(self, listener: Listener) -> str:
        """Start the server on new pipes. The first of several, and the only one, finds nothing else running.

        Waits as long as it takes for the spawner: its container may not be there yet.

        Args:
            listener: Gets the pipes, and learns what becomes of it.

        Returns:
            The unguessable name of the pipes' folder, for :meth:`forget`.

        Raises:
            Failure: The pipes cannot be made or opened.
        """
        async with self._beginning:
            if self._events is None:
                self._open()
            if not self._listeners:
                await self._end_everything()
            try:
                identifier, writing, reading = self._make_folder()
            except OSError as problem:
                raise Failure(f"its pipes cannot be made: {problem.strerror or problem}") from None
            self._listeners[identifier] = listener
            listener.attach(writing, reading)
            self._say(f"start {identifier}")
            return identifier

    def stop(self, pid: int, number: signal.Signals) -> None:
        """Signal a process group."""
        self._say(f"stop {pid} {number.name.removeprefix('SIG')}")

    def _make_folder(self) -> tuple[str, int, int]:
        """Make a folder with a pair of pipes: its name, where to write the server's input and to read its output."""
        identifier = tokens.hexadecimal(16)
        folder = self._directory / identifier
        folder.mkdir()
        folder.chmod(_FOLDER_MODE)
        # For both directions, so that it can be opened before the server does, who sees its end when we close it.
        writing = _open_pipe(folder / INPUT, os.O_RDWR)
        try:
            return identifier, writing, _open_pipe(folder / OUTPUT, os.O_RDONLY)
        except OSError:
            os.close(writing)
            raise

    def forget(self, identifier: str) -> None:
        """Remove the folder of a start that is over."""
        self._listeners.pop(identifier, None)
        shutil.rmtree(self._directory / identifier, ignore_errors=True)

    def close(self) -> None:
        """Let go of the pipes unless a server runs; they stay for the next toolman: the spawner has them open."""
        if self._events is not None and not self._listeners and not self._beginning.locked():
            self._events.close()
            os.close(self._control)
            self._events, self._control = None, -1

    async def _end_everything(self) -> None:
        self._run = tokens.hexadecimal(8)
        self._ready.clear()
        self._say(f"hello {self._run}")
        await self._ready.wait()

    def _open(self) -> None:
        try:
            for entry in self._directory.iterdir():  # of an earlier life of toolman's
                if entry.name not in {CONTROL, EVENTS} and not entry.is_symlink() and entry.is_dir():
                    shutil.rmtree(entry, ignore_errors=True)
            self._control = _open_pipe(self._directory / CONTROL, os.O_RDWR)
            self._events = Reader(_open_pipe(self._directory / EVENTS, os.O_RDWR), self._heard, _nothing)
        except OSError as problem:
            if self._control >= 0:
                os.close(self._control)
                self._control = -1
            raise Failure(f"its pipes in {self._directory} cannot be used: {problem.strerror or problem}") from None

    def _say(self, line: str) -> None:
        if self._control < 0:
            return
        data = line.encode() + b"\n"
        try:
            os.write(self._control, data)
        except BlockingIOError:  # nobody has read for a very long time: what is in there is of no use any more
            with contextlib.suppress(BlockingIOError):
                while os.read(self._control, 65536):
                    pass
            os.write(self._control, data)

    def _heard(self, data: bytes) -> None:
        try:
            known = [self._event(line) for line in self._lines.feed(data)]
        except LineTooLong:
            known = [False]
        if not any(known) and self._events is not None:
            self._events.pause(_FLOOD_PAUSE)

    def _event(self, line: bytes) -> bool:
        """Take one event; tell whether it meant anything."""
        match line.decode("ascii", errors="replace").split(" "):
            case ["boot"]:
                self._booted()
            case ["ready", run] if run == self._run and not self._ready.is_set():
                self._ready.set()
            case ["pid", identifier, pid] if identifier in self._listeners and _is_pid(pid):
                self._listeners[identifier].started(int(pid))
            case ["exit", identifier, status] if identifier in self._listeners:
                code = status if status.isdecimal() and len(status) <= 3 else "unknown"  # noqa: PLR2004 - 0 to 255
                self._listeners.pop(identifier).exited(f"exit code {code}")
            case _:
                return False
        return True

    def _booted(self) -> None:
        """Whatever ran in the container is gone; commands that were on their way may be lost."""
        log.debug("the container with the pipes in %s has started", self._directory)
        listeners, self._listeners = self._listeners, {}
        for listener in listeners.values():
            listener.exited("its container restarted")
        if self._run and not self._ready.is_set():
            self._say(f"hello {self._run}")


_controls: WeakValueDictionary[str, Control] = WeakValueDictionary()


def control_of(directory: str) -> Control:
    """Give the one of a folder: two readers of its events would each miss what the other one gets."""
    control = _controls.get(directory)
    if control is None:
        control = _controls[directory] = Control(directory)
    return control


def end_all(directory: Path) -> None:
    """Have the spawner of a folder end everything that it runs, without waiting for it; it may not be there."""
    with contextlib.suppress(OSError):  # not a pipe, or nobody reads it: then nothing runs either
        descriptor = _open_pipe(directory / CONTROL, os.O_RDWR)
        try:
            os.write(descriptor, f"hello {tokens.hexadecimal(8)}\n".encode())
        finally:
            os.close(descriptor)


def _is_pid(text: str) -> bool:
    return text.isdecimal() and len(text) <= 10 and int(text) > 1  # noqa: PLR2004 - no pid has more digits


def _open_pipe(path: Path, mode: int) -> int:
    """Make a named pipe unless it is there, and open it without ever following a link or waiting.

    Raises:
        OSError: Something else has its name.
    """
    with contextlib.suppress(FileExistsError):
        os.mkfifo(path)
        path.chmod(_PIPE_MODE)  # whatever the umask is
    descriptor = os.open(path, mode | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path.name} is not a pipe")
    return descriptor


def _nothing() -> None:
    """The events pipe has no end: it is open for writing here, too."""

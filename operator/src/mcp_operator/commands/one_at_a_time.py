"""One build of a source at a time on this machine: two would take each other's folders and layers for leftovers."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from mcp_operator.images.contract import BuildCancelled, BuildError, Step
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LOOK_SECONDS = 0.2


@contextlib.contextmanager
def holding(name: str, cancelled: threading.Event, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a lock of this machine for the time of the block.

    Args:
        name: Of the lock.
        cancelled: Ends the waiting.
        waiting: Called once if somebody else holds it.

    Raises:
        BuildCancelled: ``cancelled`` was set.
        BuildError: There can be no lock.
    """
    path = Path(tempfile.gettempdir()) / f"toolman-lock-{name}"
    handle = _take(path, cancelled, waiting)
    try:
        yield
    finally:
        # While it is held: whoever waits for it sees that the file is not the one at this path any more.
        path.unlink(missing_ok=True)
        os.close(handle)


@contextlib.contextmanager
def unless_held(name: str) -> Iterator[bool]:
    """Hold a lock for the time of the block, unless somebody else does; tell which."""
    cancelled = threading.Event()
    cancelled.set()
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(holding(name, cancelled, lambda: None))
        except (BuildCancelled, BuildError):  # or it is another user's
            yield False
            return
        yield True


def _take(path: Path, cancelled: threading.Event, waiting: Callable[[], None]) -> int:
    said = False
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise BuildError(
                Reason.FETCH_FAILED,
                f"the lock {path} cannot be taken: {error.strerror}",
                step=Step.FETCH,
                hint="Remove it if it is another user's, or set TMPDIR to a folder that you may write.",
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, handle):
                return handle
        except BlockingIOError:
            if not said:
                waiting()
                said = True
        os.close(handle)
        if cancelled.wait(_LOOK_SECONDS if said else 0):
            raise BuildCancelled


def _is_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False

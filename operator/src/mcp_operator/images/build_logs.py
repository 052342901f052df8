"""Keep what builds print: one file a build, with timestamps, bounded in size and number, secrets masked."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
import secrets
from typing import TYPE_CHECKING, Self

from mcp_operator.images import redact

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mcp_operator.images.contract import Progress, Step

SUFFIX = ".build.log"
MAX_BYTES = 8 * 1024 * 1024
"""Of one log; an ordinary build writes a few hundred kilobytes."""
KEEP = 20
"""Logs in a folder; the newest stay."""
_CUT = "the log is cut here: it has reached its size limit"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def now() -> dt.datetime:
    """Give the time, with its zone."""
    return dt.datetime.now(dt.UTC)


class Log:
    """A build's log, and a :class:`~mcp_operator.images.contract.Progress` that passes on what it hears.

    Only its owner may read it: what a build prints may be private even where nothing in it is a secret.

    Args:
        folder: Where logs are; made if it is not there.
        name: Of what is built, for the file's name.
        inner: Hears everything, too.
        keep: How many logs stay in the folder, this one included.
        clock: Gives the time.

    Raises:
        OSError: The folder or the file cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        inner: Progress | None = None,
        *,
        keep: int = KEEP,
        clock: Callable[[], dt.datetime] = now,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        plain = _UNSAFE.sub("-", name).strip("-.")[:80] or "build"
        # A random end: two builds of the same name may begin in the same moment.
        stem = f"{clock():%Y%m%dT%H%M%S%f}-{plain}-{secrets.token_hex(3)}"
        self.path = folder / f"{stem}{SUFFIX}"
        self._clock = clock
        self._inner = inner
        self._left = MAX_BYTES
        prune(folder, keep - 1)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        self._file = os.fdopen(os.open(self.path, flags, 0o600), "wb", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def step(self, step: Step, detail: str) -> None:
        """Write that a step began or what it is doing now."""
        self._write(f"== {step}: {detail}")
        if self._inner:
            self._inner.step(step, detail)

    def log(self, line: str) -> None:
        """Write a line of output."""
        self._write(line)
        if self._inner:
            self._inner.log(line)

    def close(self) -> None:
        """End the log; later lines are dropped."""
        self._left = 0
        self._file.close()

    def _write(self, text: str) -> None:
        if self._left <= 0:
            return
        for line in redact.lines(text):
            data = f"{self._clock().isoformat(timespec='milliseconds')} {line}\n".encode(errors="replace")
            if len(data) > self._left:
                data, self._left = f"{_CUT}\n".encode(), 0
            # A full disk must not end a build that would succeed.
            with contextlib.suppress(OSError):
                self._file.write(data)
            self._left -= len(data)
            if self._left <= 0:
                return


def prune(folder: Path, keep: int) -> list[Path]:
    """Remove the oldest logs of a folder, so that ``keep`` stay; gives what was removed."""
    # The names begin with the time.
    logs = sorted((path for path in folder.glob(f"*{SUFFIX}") if path.is_file()), key=lambda path: path.name)
    old = logs[: max(0, len(logs) - max(0, keep))]
    for path in old:
        path.unlink(missing_ok=True)
    return old


def newest(folder: Path) -> Path | None:
    """Give the log of the build that began last."""
    return max(folder.glob(f"*{SUFFIX}"), key=lambda path: path.name, default=None)

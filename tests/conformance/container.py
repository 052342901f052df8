"""A server's container as toolman's pipes meet it: the real spawner as process 1 of namespaces of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import toolman

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

BUSYBOX = shutil.which("busybox") or "/bin/busybox"
SPAWNER = Path(toolman.__file__).parent / "upstreams" / "spawner.sh"
END_SECONDS = 20.0
SCRIPT = f"""\
mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && mount -t proc proc /proc && exec {BUSYBOX} sh {SPAWNER} "$@"
"""
"""The volume is read-only in the container, as it is in a Pod."""


def possible() -> bool:
    """Tell whether this machine lets us make one: namespaces need root, the spawner needs busybox."""
    return os.geteuid() == 0 and Path(BUSYBOX).exists()


@contextlib.contextmanager
def running(pipes: Path, command: Sequence[str], environment: Mapping[str, str]) -> Iterator[None]:
    """Run a container whose server is ``command`` while the block runs; what it says goes to a file beside the pipes.

    Args:
        pipes: The volume, a folder that toolman fills.
        command: Of the server.
        environment: Of the container, besides this process's own.
    """
    with (pipes.parent / "container.log").open("ab") as log:
        process = subprocess.Popen(
            ["unshare", "--pid", "--mount", "--fork", "--kill-child", "sh", "-c", SCRIPT, "sh", str(pipes), *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "MCP_BUSYBOX": BUSYBOX, **environment},
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.kill()  # and, by --kill-child, process 1 with everything in it
        process.wait(END_SECONDS)

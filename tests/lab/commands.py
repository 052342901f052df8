"""Runs programs to their end."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TIMEOUT_SECONDS = 120.0
"""For commands that talk to a program on this machine; downloads and compilations give their own bound."""


def run(
    *argv: str,
    stdin: bytes | None = None,
    timeout: float = TIMEOUT_SECONDS,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> str:
    """Run a program and return what it wrote to standard output.

    Raises:
        LabError: It is not there, failed or took too long; with the last line that it wrote.
    """
    done = attempt(*argv, stdin=stdin, timeout=timeout, env=env, cwd=cwd)
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["it said nothing"]
        raise LabError(f"{' '.join(argv[:3])} failed with {done.returncode}: {lines[-1]}")
    return done.stdout


def attempt(
    *argv: str,
    stdin: bytes | None = None,
    timeout: float = TIMEOUT_SECONDS,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program whose failure is an answer. A program that is not there exits 127, one that hangs 124."""
    try:
        done = subprocess.run(
            argv,
            input=stdin if stdin is not None else b"",
            capture_output=True,
            timeout=timeout,
            check=False,
            env=env,
            cwd=cwd,
        )
    except FileNotFoundError:
        return subprocess.CompletedProcess(argv, 127, "", f"{argv[0]}: not found")
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(argv, 124, "", f"not done after {timeout:.0f} s")
    return subprocess.CompletedProcess(
        argv, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    )


def succeeds(*argv: str, timeout: float = TIMEOUT_SECONDS) -> bool:
    """Say whether a program exits with 0."""
    return attempt(*argv, timeout=timeout).returncode == 0

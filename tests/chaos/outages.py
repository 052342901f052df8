"""Ends parts of what the tests run on, at once and without a word, and has the lab start them again.

Only parts that the lab itself started are ended: an engine or a cluster of a person's own is none of a test's business.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from lab import cluster, engine, registry, settings
from lab.processes import Processes, poll

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.environment import Environment
    from lab.settings import Settings

GONE_SECONDS = 10.0
"""For a killed process to be gone."""


class Outages:
    """Parts of the lab.

    Args:
        lab: As it was found.
    """

    def __init__(self, lab: Environment) -> None:
        self._lab = lab

    @contextlib.contextmanager
    def of_cluster(self, name: str) -> Iterator[None]:
        """End a program of the cluster, such as ``kube-apiserver``, for the time of the block."""
        _kill("cluster", name)
        try:
            yield
        finally:
            cluster.up(_own(), self._lab.registry)

    @contextlib.contextmanager
    def of_engine(self) -> Iterator[None]:
        """End the Docker Engine for the time of the block."""
        _kill("engine", "dockerd")
        try:
            yield
        finally:
            engine.up(_own())

    @contextlib.contextmanager
    def of_registry(self) -> Iterator[None]:
        """End the registry for the time of the block."""
        _kill("registry", "registry")
        try:
            yield
        finally:
            location = registry.up(_own(), container=False)
            assert location == self._lab.registry, "the registry came back elsewhere"

    @contextlib.contextmanager
    def stopped_registry(self) -> Iterator[None]:
        """Have the registry answer nothing for the time of the block; whoever asks it waits."""
        pid = _pid("registry", "registry")
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):  # it was ended meanwhile
                os.kill(pid, signal.SIGCONT)


def processes(pod: str, *words: str) -> list[int]:
    """Find the processes of a Pod on this machine whose program's name begins with the first word.

    The other words are among its arguments; without any word it is all processes.
    """
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        is_one = not words or Path(command[0]).name.startswith(words[0])
        if is_one and f"HOSTNAME={pod}".encode() in environment and set(words[1:]) <= set(command):
            found.append(int(folder.name))
    return sorted(found)


def kill(pod: str, *words: str) -> None:
    """Kill the processes of a Pod that :func:`processes` finds."""
    found = processes(pod, *words)
    if not found:
        pytest.fail(f"no process {' '.join(words)} of {pod} on this host")
    for pid in found:
        with contextlib.suppress(ProcessLookupError):  # it ended with one of the others
            os.kill(pid, signal.SIGKILL)


def _own() -> Settings:
    """Give the lab's settings as they were when it started what it started."""
    return dataclasses.replace(settings.from_environment(), kubeconfig=None, registry=None)


def _pid(part: str, name: str) -> int:
    pid = Processes(_own().cache / part).pid(name)
    if pid is None:
        pytest.fail(
            f"{name} is not one that the lab started: this test needs a cluster of the lab's own", pytrace=False
        )
    return pid


def _kill(part: str, name: str) -> None:
    os.kill(_pid(part, name), signal.SIGKILL)
    assert poll(lambda: Processes(_own().cache / part).pid(name) is None, GONE_SECONDS)

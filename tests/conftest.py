"""What tests get: the lab's addresses, a client of its engine, its cluster's kubeconfig, and a bound on their time."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import pytest
from lab.environment import Environment, from_variables
from lab.errors import LabError

if TYPE_CHECKING:
    import types
    from collections.abc import Generator, Iterator

pytest_plugins = ["sources.fixtures"]

LIMITS = {"tools": 3600, "e2e": 900, "integration": 600, "apiserver": 600, "": 120}
"""Seconds for a test, and for its fixtures, by marker: far beyond what any needs, so that nothing hangs for good."""
ENGINE_SECONDS = 120
"""Of silence in one answer of the engine."""


@pytest.fixture(scope="session")
def lab() -> Environment:
    """Give the engine, registry, base images and cluster that ``scripts/lab up`` found or started."""
    try:
        return from_variables(os.environ)
    except LabError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def engine(lab: Environment) -> Iterator[docker.DockerClient]:  # noqa: ARG001 - says when the lab is not up
    """Give a client of the Docker Engine."""
    client = docker.from_env(timeout=ENGINE_SECONDS)
    yield client
    client.close()


@pytest.fixture(scope="session")
def kubeconfig(lab: Environment) -> Path:
    """Give the kubeconfig of a cluster in which everything is allowed."""
    if not lab.kubeconfig:
        pytest.fail('TOOLMAN_KUBECONFIG is not set: scripts/lab up, then eval "$(scripts/lab env)"', pytrace=False)
    return Path(lab.kubeconfig)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Bound the time of a test's fixtures."""
    with _Limit(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Bound a test's time."""
    with _Limit(item):
        return (yield)


class _Limit:
    """Fails a test that takes too long, where it stands: the alarm interrupts whatever the main thread waits for."""

    def __init__(self, item: pytest.Item) -> None:
        marker = next((name for name in LIMITS if name and item.get_closest_marker(name)), "")
        self.seconds = LIMITS[marker]

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGALRM, self._expire)
        signal.alarm(self.seconds)

    def __exit__(self, *_: object) -> None:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, self._before)

    def _expire(self, _signal: int, _frame: types.FrameType | None) -> None:
        pytest.fail(f"not done after {self.seconds} s")

"""What tests of the command line get: the command itself, and the folder of a server."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import command_line
import pytest
from mcp_operator.images import cleanup

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import docker
    from command_line import Command
    from lab.environment import Environment


@pytest.fixture
def command(lab: Environment, engine: docker.DockerClient, tmp_path: Path) -> Iterator[Command]:
    """Give the command line; what it makes is gone afterwards."""
    del engine
    made = command_line.of(lab, tmp_path)
    yield made
    for uid in made.owners:
        cleanup.forget(uid)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give the folder of a server."""
    return command_line.project(tmp_path / f"demo-{uuid.uuid4().hex[:8]}")

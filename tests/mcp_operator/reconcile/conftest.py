from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fake_builder import BOUND
from server_world import World

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def world() -> Iterator[World]:
    """Give a world with MCPServers, whose builds end with the test; tests of agents have one of their own."""
    made = World()
    yield made
    made.builder.let_go.set()
    assert made.builds.close(BOUND)

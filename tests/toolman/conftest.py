"""What toolman's tests get: running toolmans that are ended whatever happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from toolman_harness import Starter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# How long an example takes says something about the machine; examples that failed are kept as tests, not in a folder.
settings.register_profile("steady", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


@pytest.fixture
def starter(tmp_path: Path) -> Iterator[Starter]:
    found = Starter(tmp_path)
    yield found
    found.end()

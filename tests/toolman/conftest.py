"""What toolman's tests get: running toolmans that are ended whatever happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from toolman_harness import Starter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def starter(tmp_path: Path) -> Iterator[Starter]:
    found = Starter(tmp_path)
    yield found
    found.end()

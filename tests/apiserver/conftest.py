from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import spare_apiserver as spare

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spare_apiserver import SpareApiServer


@pytest.fixture(scope="session")
def spare_apiserver() -> Iterator[SpareApiServer]:
    """Give an API server for all tests of a run that neither stop it nor count what is in it: take a namespace each."""
    with spare.running() as server:
        yield server


@pytest.fixture
def own_apiserver() -> Iterator[SpareApiServer]:
    """Give an API server for a test that stops it, or that counts what is in it."""
    with spare.running() as server:
        yield server

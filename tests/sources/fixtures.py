"""Fixtures for every test folder: ``pytest_plugins = ["sources.fixtures"]`` in ``tests/conftest.py``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sources import repositories, server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def published_sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with all repositories, made once; shared, so commit only to repositories of your own."""
    root = tmp_path_factory.mktemp("sources")
    repositories.make_all(root)
    return root


@pytest.fixture(scope="session")
def published_server(published_sources: Path) -> Iterator[server.GitServer]:
    """Serve all repositories, where Pods can reach them when ``TOOLMAN_NODE_ADDRESS`` says where that is."""
    with server.serving(published_sources, os.environ.get("TOOLMAN_NODE_ADDRESS", "127.0.0.1")) as running:
        yield running


@pytest.fixture
def git_server(tmp_path: Path) -> Iterator[server.GitServer]:
    """Serve a folder of this test's own with our own servers' repositories, to commit to at will."""
    root = tmp_path / "repositories"
    repositories.make_own(root)
    with server.serving(root, os.environ.get("TOOLMAN_NODE_ADDRESS", "127.0.0.1")) as running:
        yield running

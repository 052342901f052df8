"""Folders of files that look like a checked-out repository, and settings for cloning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mcp_operator.images.tree import Tree
from mcp_operator.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Mapping[str, str]], Tree]:
    """Write files below a folder of the test's own."""

    def make(files: Mapping[str, str]) -> Tree:
        root = tmp_path / "tree"
        root.mkdir(exist_ok=True)
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return Tree(root)

    return make


@pytest.fixture
def settings() -> Settings:
    """Give settings that allow the protocols of local repositories."""
    return Settings(
        registry="127.0.0.1:5000",
        image_toolman="toolman",
        image_wrapper="wrapper",
        git_protocols=("https", "ssh", "http", "file"),
    )

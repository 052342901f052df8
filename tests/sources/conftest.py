"""Real git repositories for these tests."""

from __future__ import annotations

from sources.fixtures import git_server, published_server, published_sources

__all__ = ["git_server", "published_server", "published_sources"]

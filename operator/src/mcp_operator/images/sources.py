"""The one door to sources of every kind: fetch it, say what it is called, say what it is pinned to."""

from __future__ import annotations

import dataclasses
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mcp_operator.images import directory, git, npm, pypi, redact
from mcp_operator.images.contract import GitSource, NpmSource, PypiSource
from mcp_operator.images.tree import check

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mcp_operator.images.budget import Budget
    from mcp_operator.images.checkout import Checkout
    from mcp_operator.images.contract import Source
    from mcp_operator.settings import Settings


def fetch(source: Source, settings: Settings, folder: Path, budget: Budget, command: Sequence[str] = ()) -> Checkout:
    """Put a source's files into ``folder``, which must be empty, and check them.

    Args:
        source: What to fetch.
        settings: Where from, and whom to trust.
        folder: Its parent folder must be the build's own: credentials are in it for a while.
        budget: When to stop.
        command: Start command that the user gave, for packages.

    Raises:
        BuildError: Of the step Fetch; for packages also of the step Detect.
        BuildCancelled: The budget says so.
    """
    if isinstance(source, NpmSource):
        return npm.fetch(source, settings, folder, budget, command)
    if isinstance(source, PypiSource):
        return pypi.fetch(source, settings, folder, budget, command)
    if isinstance(source, GitSource):
        checkout = git.clone(source, settings, folder, budget)
    else:
        checkout = directory.fetch(source, folder, budget)
    check(checkout.root)
    return checkout


def path(source: Source) -> str:
    """Give the folder of the server in its source, as the user wrote it."""
    return "." if isinstance(source, NpmSource | PypiSource) else source.path


def pinned(source: Source) -> str:
    """Give what a source is pinned to without asking anybody: a commit or version; empty if it is not."""
    if isinstance(source, GitSource):
        return source.commit or ""
    return source.version or "" if isinstance(source, NpmSource | PypiSource) else ""


def describe(source: Source) -> str:
    """Name a source for people and for the label ``org.opencontainers.image.source``; no credentials, printable."""
    if isinstance(source, GitSource):
        return redact.line(source.url)
    if isinstance(source, NpmSource):
        return redact.line(f"npm:{source.package}")
    if isinstance(source, PypiSource):
        return redact.line(f"pypi:{source.package}")
    return redact.line(PurePosixPath(source.directory).name or "folder")


def name(source: Source) -> str:
    """Give a short name: of the repository, package or folder, with the server's own folder if there is one."""
    if isinstance(source, NpmSource | PypiSource):
        return source.package
    whole = urlsplit(source.url).path if isinstance(source, GitSource) else source.directory
    last = PurePosixPath(whole).name.removesuffix(".git")
    inner = PurePosixPath(source.path).name
    return f"{last}-{inner}" if inner else last


def identity(source: Source, commit: str, content: str = "") -> dict[str, Any]:
    """Give what decides about a source's files, for a key: what a ref means instead of its name, and no credentials.

    Args:
        source: Where the files are from.
        commit: The commit or version that was found.
        content: Hash of the files, for a folder.
    """
    parts = dataclasses.asdict(source) | {"commit": commit}
    for left_out in ("branch", "tag", "version", "credentials"):
        parts.pop(left_out, None)
    for extra in ("recurse_submodules", "lfs"):
        if not parts.get(extra):
            parts.pop(extra, None)  # who does not ask has the key that there was before one could
    return {"kind": type(source).__name__, **parts, "content": content}

"""What a repository says of its submodules, and where each is to be fetched from. Pure.

The repository was written by a stranger, so a submodule is only ever looked for where the repository itself is: on its
host, by its protocol, with its credentials. What leads elsewhere is left out.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple
from urllib.parse import urlsplit

_SCP = re.compile(r"(?:[A-Za-z0-9._-]+@)?([A-Za-z0-9._-]+):(?!/)(.*)", re.DOTALL)
"""``git@host:path``, which git takes for ssh."""
_PATH = re.compile(r"submodule\.(.+)\.(path|url)", re.DOTALL)


class Submodule(NamedTuple):
    """A folder that is another repository's.

    Attributes:
        path: Of the folder, as the tree has it.
        commit: The other repository's, 40 hex digits.
    """

    path: str
    commit: str


def urls(listed: bytes) -> dict[str, str]:
    """Read ``git config -z --list`` of a ``.gitmodules``; give the URL of each path, as written."""
    found: dict[str, dict[str, str]] = {}
    for entry in os.fsdecode(listed).split("\0"):
        key, _, value = entry.partition("\n")
        if match := _PATH.fullmatch(key):
            found.setdefault(match[1], {})[match[2]] = value
    return {each["path"]: each["url"] for each in found.values() if "path" in each and "url" in each}


def beside(url: str, repository: str) -> str | None:
    """Give the URL to fetch a submodule from; None if it is not where its repository is.

    Args:
        url: As ``.gitmodules`` has it: absolute, ``git@host:path``, or relative to the repository.
        repository: URL that the repository was asked for with.
    """
    base = urlsplit(repository)
    root = f"{base.scheme}://{base.netloc}/"
    if url.startswith(("./", "../")):
        return _relative(url, base.path, root)
    scp = _SCP.fullmatch(url) if "://" not in url else None
    if scp is not None:
        return root + scp[2] if scp[1] == base.hostname else None
    try:
        parts = urlsplit(url)
        is_there = parts.hostname == base.hostname and (parts.scheme != base.scheme or parts.port == base.port)
    except ValueError:
        return None
    return root + parts.path.lstrip("/") if is_there and parts.path.strip("/") else None


def _relative(url: str, path: str, root: str) -> str | None:
    parts = [part for part in path.split("/") if part]
    for part in url.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    return root + "/".join(parts) if parts else None

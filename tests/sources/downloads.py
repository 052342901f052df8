"""Projects that nobody here wrote: published packages, pinned by hash and kept in the user's cache folder."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

Files = dict[str, tuple[bool, bytes]]
"""Path inside a tree to (executable, content)."""

FETCH_SECONDS = 60
"""Per socket operation; the largest file has 100 KB."""
LARGEST = 16 * 2**20


class DownloadError(Exception):
    """A package cannot be had, or is not the one that was pinned; the text says which and what to do."""


@dataclass(frozen=True)
class Package:
    """A published archive: where it is, what it must contain (SHA-256) and where it goes in the repository."""

    url: str
    sha256: str
    folder: str

    @property
    def filename(self) -> str:
        """The archive's own name."""
        return PurePosixPath(self.url).name


PYTHON_FILES = "https://files.pythonhosted.org/packages"
NPM_FILES = "https://registry.npmjs.org"

PACKAGES = (
    Package(
        f"{PYTHON_FILES}/be/af/f15002d89ab067114ec6b33b3f832395faa4ed716949ea6d9ec5086618be/"
        "mcp_server_git-2026.10.19.tar.gz",
        "386b8a6de78623d046c37779a20cdf7741669567fcaab28e717327eb7c190e27",
        "src/git",
    ),
    Package(
        f"{PYTHON_FILES}/10/6a/692faf650b868f148fdae21b99ec631039f8221e39e60c85c01e00f70b9e/"
        "mcp_server_time-2026.10.19.tar.gz",
        "4ab87293e7d85e74730f7df82a114b737f96fafa3ae42fd7644d0b5198a60919",
        "src/time",
    ),
    Package(
        f"{NPM_FILES}/@modelcontextprotocol/server-filesystem/-/server-filesystem-2026.8.31.tgz",
        "a239da270c403c42eb03e1ca7cca07c858085819797b74856ddbb91b50491b1a",
        "src/filesystem",
    ),
)


def cache_folder() -> Path:
    """Give the folder where archives are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "toolman" / "sources"


def fetch(package: Package, cache: Path | None = None) -> bytes:
    """Give a package's archive, from the cache or from its registry.

    Raises:
        DownloadError: It cannot be fetched, or its hash is not the pinned one.
    """
    cached = (cache or cache_folder()) / f"{package.sha256[:16]}-{package.filename}"
    if cached.is_file():
        data = cached.read_bytes()
        if hashlib.sha256(data).hexdigest() == package.sha256:
            return data
    data = _download(package)
    cached.parent.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(dir=cached.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    Path(partial).replace(cached)  # whole or not at all: several test processes share the cache
    return data


def _download(package: Package) -> bytes:
    request = urllib.request.Request(package.url, headers={"User-Agent": "toolman-tests"})  # noqa: S310 - pinned https
    try:
        with urllib.request.urlopen(request, timeout=FETCH_SECONDS) as response:  # noqa: S310 - the same
            data: bytes = response.read(LARGEST)
    except (urllib.error.URLError, OSError) as error:
        raise DownloadError(f"cannot fetch {package.url}: {error}; the package registries must be reachable") from error
    found = hashlib.sha256(data).hexdigest()
    if found != package.sha256:
        raise DownloadError(f"{package.url} has SHA-256 {found}, not {package.sha256}: do not use it")
    return data


def unpack(archive: bytes) -> Files:
    """Give the regular files of a gzipped tar archive without its outermost folder."""
    files: Files = {}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isfile() else None
            path = PurePosixPath(*PurePosixPath(member.name).parts[1:])
            if content is not None and ".." not in path.parts:
                files[str(path)] = (bool(member.mode & 0o100), content.read())
    return files


def published(cache: Path | None = None) -> Files:
    """Give one tree with every package in its folder, shaped like the repository that they are published from."""
    return {
        f"{package.folder}/{path}": entry
        for package in PACKAGES
        for path, entry in unpack(fetch(package, cache)).items()
    }

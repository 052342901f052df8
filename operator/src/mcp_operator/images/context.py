"""Pack what the engine needs for a build: the repository's files, the Dockerfile, the certificate authorities."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.dockerfile import CA_FILE, SOURCE
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCKERFILE = "Dockerfile.mcp"

IGNORED = frozenset(
    {".git", ".hg", ".svn", "node_modules", ".venv", "venv", "__pycache__", ".DS_Store", ".tox", ".mypy_cache"}
)
"""Never part of a build: history, and what an install on another machine left. The repository's own .dockerignore is
written for its own Dockerfile and not read."""
_OURS = frozenset({DOCKERFILE, CA_FILE, ".dockerignore"})
"""Names at the top of the context that a repository does not get."""


def pack(
    target: IO[bytes], root: Path, dockerfile: str, ca: bytes | None = None, *, own: bool = False, moment: int = 0
) -> None:
    """Write the build context as a tar archive; the same files always give the same bytes.

    Args:
        target: Where to.
        root: Folder with the source; checked by :func:`mcp_operator.images.tree.check` before.
        dockerfile: Text of the Dockerfile.
        ca: Certificate authorities, PEM.
        own: The Dockerfile is the repository's own, so its files are where it expects them.
        moment: Time that all files have, seconds since the epoch. Docker's cache does not look at it.
    """
    # GNU format: names are bytes there, so a name that is not UTF-8 is kept as it is.
    with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as archive:
        context = _Context(archive, moment)
        context.file(DOCKERFILE, dockerfile.encode())
        if ca is not None:
            context.file(CA_FILE, ca)
        if not own:
            context.folder(SOURCE)
        for path in _entries(root):
            name = path.relative_to(root).as_posix()
            if not own:
                context.entry(path, f"{SOURCE}/{name}")
            elif name not in _OURS:
                context.entry(path, name)


def authorities(file: str) -> bytes | None:
    """Read the certificate authorities for a build; None if ``file`` is empty.

    Raises:
        BuildError: The file cannot be read.
    """
    if not file:
        return None
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise BuildError(
            Reason.CERTIFICATE_UNTRUSTED,
            f"the file of certificate authorities cannot be read: {error.strerror}",
            step=Step.BUILD,
            hint="Check the operator's setting TOOLMAN_BUILD_CA_FILE.",
        ) from error


def _entries(folder: Path) -> Iterator[Path]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name in IGNORED:
            continue
        yield Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(Path(entry.path))


class _Context:
    """An archive whose entries have neither owner, nor odd permissions: these differ from one clone to the next."""

    def __init__(self, archive: tarfile.TarFile, moment: int) -> None:
        self._archive = archive
        self._moment = moment

    def file(self, name: str, data: bytes) -> None:
        """Add a file of our own."""
        self._add(name, tarfile.REGTYPE, 0o644, io.BytesIO(data), size=len(data))

    def folder(self, name: str) -> None:
        """Add a folder."""
        self._add(name, tarfile.DIRTYPE, 0o755)

    def entry(self, path: Path, name: str) -> None:
        """Add a file, folder or link of the source."""
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            self._add(name, tarfile.SYMTYPE, 0o777, link=str(path.readlink()))
        elif stat.S_ISDIR(status.st_mode):
            self.folder(name)
        else:
            with path.open("rb") as content:
                mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
                self._add(name, tarfile.REGTYPE, mode, content, size=status.st_size)

    def _add(
        self, name: str, kind: bytes, mode: int, content: IO[bytes] | None = None, *, size: int = 0, link: str = ""
    ) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.size, info.linkname, info.mtime = kind, mode, size, link, self._moment
        self._archive.addfile(info, content)

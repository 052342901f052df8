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


def pack(target: IO[bytes], root: Path, dockerfile: str, ca: bytes | None = None, *, own: bool = False) -> None:
    """Write the build context as a tar archive; the same files always give the same bytes.

    Args:
        target: Where to.
        root: Folder with the source; checked by :func:`mcp_operator.images.tree.check` before.
        dockerfile: Text of the Dockerfile.
        ca: Certificate authorities, PEM.
        own: The Dockerfile is the repository's own, so its files are where it expects them.
    """
    # GNU format: names are bytes there, so a name that is not UTF-8 is kept as it is.
    with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as archive:
        _add(archive, DOCKERFILE, dockerfile.encode())
        if ca is not None:
            _add(archive, CA_FILE, ca)
        if not own:
            archive.addfile(_folder(SOURCE))
        for path in _entries(root):
            name = path.relative_to(root).as_posix()
            if not own:
                _add_entry(archive, path, f"{SOURCE}/{name}")
            elif name not in _OURS:
                _add_entry(archive, path, name)


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


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mode = 0o644
    archive.addfile(info, io.BytesIO(data))


def _folder(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = tarfile.DIRTYPE
    info.mode = 0o755
    return info


def _add_entry(archive: tarfile.TarFile, path: Path, name: str) -> None:
    # Owner, time and odd permission bits are left out: they would differ from one clone to the next.
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        info = tarfile.TarInfo(name)
        info.type = tarfile.SYMTYPE
        info.linkname = str(path.readlink())
        info.mode = 0o777
        archive.addfile(info)
    elif stat.S_ISDIR(status.st_mode):
        archive.addfile(_folder(name))
    else:
        info = tarfile.TarInfo(name)
        info.size = status.st_size
        info.mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
        with path.open("rb") as content:
            archive.addfile(info, content)

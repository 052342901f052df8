"""Unpack a stranger's tar or zip archive: only plain files, only below one folder, bounded in number and size."""

from __future__ import annotations

import bz2
import gzip
import io
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, cast

from mcp_operator.images import redact
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.reasons import Reason
from mcp_operator.images.tree import MAX_FILE, MAX_FILES, MAX_TREE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcp_operator.images.budget import Budget

MAX_PIECE = 8 * 1024 * 1024
"""Bytes that a library may want at once: the directory of a zip with as many files as are accepted has five MiB."""
MAX_READ = 2 * MAX_TREE
_BLOCK = 1 << 20
_BROKEN = (
    tarfile.TarError,
    gzip.BadGzipFile,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)
"""What the libraries raise for archives that are cut off, encrypted, or of a kind that they do not know."""


def unpack(archive: Path, folder: Path, budget: Budget, *, top: bool = True) -> None:
    """Unpack into ``folder``, which is made.

    Args:
        archive: Tar, of any compression, or zip.
        folder: Where to.
        budget: When to stop.
        top: All is in one folder, whose name is left out.

    Raises:
        BuildError: ``SourceTooLarge``, or ``SourceUnsafe`` for an entry that is no file or would be elsewhere.
        BuildCancelled: The budget says so.
    """
    folder.mkdir()
    writer = _Writer(folder, budget, skip=1 if top else 0)
    try:
        if zipfile.is_zipfile(archive):
            with archive.open("rb") as raw, zipfile.ZipFile(_Bounded(raw, budget)) as opened:
                _unzip(opened, writer)
        else:
            with _opened(archive) as file, tarfile.open(fileobj=_Bounded(file, budget), mode="r:") as opened_tar:
                for entry in _entries(opened_tar, writer):
                    content = opened_tar.extractfile(entry)
                    if content is not None:
                        with content:
                            writer.write(entry.name, content, executable=bool(entry.mode & stat.S_IXUSR))
    except _BROKEN as error:
        raise _unsafe(f"the package's archive cannot be read: {redact.line(str(error))}") from error


def _opened(archive: Path) -> IO[bytes]:
    """Open a tar archive of the compressions that registries accept: others may ask for gigabytes to be read."""
    with archive.open("rb") as file:
        start = file.read(3)
    # The classes are no IO in the type stubs, and are used as one by tarfile itself.
    if start.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.open(archive))
    return cast("IO[bytes]", bz2.open(archive)) if start == b"BZh" else archive.open("rb")


class _Bounded(io.RawIOBase):
    """What the libraries read from: headers and directories say how long they are, and that is believed there."""

    def __init__(self, file: IO[bytes], budget: Budget) -> None:
        super().__init__()
        self._file = file
        self._budget = budget
        self._left = MAX_READ

    def read(self, size: int = -1, /) -> bytes:
        """Read, if it is not too much."""
        self._budget.check(Step.FETCH)
        data = self._file.read(min(size, MAX_PIECE + 1) if size >= 0 else MAX_PIECE + 1)
        if len(data) > MAX_PIECE:
            raise _too_large("what describes its files")
        self._left -= len(data)
        if self._left < 0:
            raise _too_large("all files together")
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go elsewhere."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Say where it is."""
        return self._file.tell()

    def seekable(self) -> bool:
        """It can be sought in."""
        return True

    def readable(self) -> bool:
        """It can be read."""
        return True


def _unzip(archive: zipfile.ZipFile, writer: _Writer) -> None:
    for entry in archive.infolist():
        if entry.is_dir():
            continue
        mode = entry.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise _unsafe(f"{redact.line(entry.filename)} is neither a file nor a folder")
        with archive.open(entry) as content:
            writer.write(entry.filename, content, executable=bool(mode & stat.S_IXUSR))


def _entries(archive: tarfile.TarFile, writer: _Writer) -> Iterator[tarfile.TarInfo]:
    for entry in archive:
        writer.count()
        if entry.isfile():
            yield entry
        elif not entry.isdir():
            raise _unsafe(f"{redact.line(entry.name)} is neither a file nor a folder")


class _Writer:
    """Writes files and keeps the account of them."""

    def __init__(self, folder: Path, budget: Budget, *, skip: int) -> None:
        self._folder = folder
        self._skip = skip
        self._budget = budget
        self._entries = 0
        self._size = 0

    def count(self) -> None:
        """Count an entry, file or not."""
        self._entries += 1
        if self._entries > 2 * MAX_FILES:  # files and folders
            raise _too_large(f"more than {MAX_FILES} files")

    def write(self, name: str, content: IO[bytes], *, executable: bool) -> None:
        """Write one file. What archives say of its size is not believed."""
        self.count()
        whole = PurePosixPath(name)
        path = PurePosixPath(*whole.parts[self._skip :])
        if whole.is_absolute() or not path.parts or ".." in whole.parts or "\0" in name:
            raise _unsafe(f"the file {redact.line(name)} would be outside the package")
        target = self._folder / path
        size = 0
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                while block := content.read(_BLOCK):
                    self._budget.check(Step.FETCH)
                    size += len(block)
                    self._size += len(block)
                    if size > MAX_FILE or self._size > MAX_TREE:
                        raise _too_large(f"{redact.line(name)} or all files together")
                    file.write(block)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise _unsafe(f"{redact.line(name)} is in the package twice, as a file and as a folder") from error
        target.chmod(0o755 if executable else 0o644)


def _too_large(what: str) -> BuildError:
    return BuildError(
        Reason.SOURCE_TOO_LARGE,
        f"the package is too large: {what}; {MAX_FILE // 2**20} MiB a file and {MAX_TREE // 2**20} in all are accepted",
        step=Step.FETCH,
        hint="Build a smaller package.",
    )


def _unsafe(message: str) -> BuildError:
    return BuildError(Reason.SOURCE_UNSAFE, message, step=Step.FETCH, hint="Do not use this package.")

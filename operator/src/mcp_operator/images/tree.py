"""A read-only view of checked-out files that strangers wrote: no link leads out of it, no file is too large to read."""

from __future__ import annotations

import functools
import json
import os
import re
import stat
import tomllib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from mcp_operator.images import redact
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FILE = 100 * 1024 * 1024
MAX_TREE = 512 * 1024 * 1024
MAX_FILES = 50_000
MAX_READ = 8 * 1024 * 1024
"""Bytes of one file that detection reads: the largest lock files have a few MiB."""

PLAIN_PATH = re.compile(r"(?!-)[A-Za-z0-9@_+=.-]+(?:/[A-Za-z0-9@_+=.-]+)*\Z")
"""Paths that mean themselves in a Dockerfile: no blanks, quotes, variables, globs or line ends."""

SKIPPED = frozenset({"node_modules", "__pycache__", "venv", "site-packages", "vendor"})
"""Folders in which nobody's own code is. Folders that start with a dot are skipped, too."""


class ManifestError(Exception):
    """A file that should say how the project is built cannot be read; the text says why."""


class Tree:
    """The files below a folder. All paths are relative, with ``/``, without ``..``; ``.`` is the folder itself."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def __repr__(self) -> str:
        return f"Tree({str(self.root)!r})"

    def path(self, name: str) -> Path | None:
        """Give the real path of ``name``, or None if it leads out of the tree."""
        if name.startswith("/") or ".." in PurePosixPath(name).parts or "\0" in name:
            return None
        real = Path(os.path.realpath(self.root / name))
        return real if real == self.root or self.root in real.parents else None

    def is_file(self, name: str) -> bool:
        """Tell whether there is such a file in the tree."""
        real = self.path(name)
        return real is not None and real.is_file()

    def is_folder(self, name: str) -> bool:
        """Tell whether there is such a folder in the tree."""
        real = self.path(name)
        return real is not None and real.is_dir()

    def text(self, name: str) -> str:
        """Read a file; empty if it is absent or too large to be a source or manifest."""
        real = self.path(name)
        if real is None or not real.is_file() or real.stat().st_size > MAX_READ:
            return ""
        return real.read_text(encoding="utf-8-sig", errors="replace")

    def json(self, name: str) -> dict[str, Any]:
        """Read a JSON object; empty if the file is absent.

        Raises:
            ManifestError: It is not a JSON object.
        """
        if not self.is_file(name):
            return {}
        try:
            value = json.loads(self.text(name))
        except (ValueError, RecursionError) as error:
            raise ManifestError(f"{name} is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise ManifestError(f"{name} is not a JSON object")
        return value

    def toml(self, name: str) -> dict[str, Any]:
        """Read a TOML file; empty if it is absent.

        Raises:
            ManifestError: It is not TOML.
        """
        try:
            return tomllib.loads(self.text(name))
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise ManifestError(f"{name} is not TOML: {error}") from error

    @functools.cached_property
    def files(self) -> tuple[str, ...]:
        """All regular files outside :data:`SKIPPED` folders, sorted, links not followed."""
        return tuple(sorted(self._walk()))

    def below(self, folder: str) -> tuple[str, ...]:
        """Give the files below ``folder``."""
        if folder == ".":
            return self.files
        return tuple(name for name in self.files if name.startswith(f"{folder}/"))

    def _walk(self) -> Iterator[str]:
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(name for name in folders if name not in SKIPPED and not name.startswith("."))
            relative = PurePosixPath(Path(folder).relative_to(self.root).as_posix())
            for name in names:
                if (Path(folder) / name).is_file() and not (Path(folder) / name).is_symlink():
                    yield str(relative / name)


def check(root: Path) -> None:
    """Refuse a checkout with a link that leaves it, and anything that is neither file, folder nor link.

    Links are followed by package managers and by the engine; what they lead to would become part of the image.

    Raises:
        BuildError: ``SourceUnsafe``, naming the entry.
    """
    tree = Tree(root)
    for folder, folders, names in os.walk(tree.root):
        for name in (*folders, *names):
            entry = Path(folder) / name
            mode = entry.lstat().st_mode
            shown = redact.line(str(entry.relative_to(tree.root)))
            if stat.S_ISLNK(mode):
                if not _stays_inside(tree, entry):
                    raise _unsafe(f"the link {shown} leads out of the repository")
            elif not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise _unsafe(f"{shown} is neither a file nor a folder")


def _stays_inside(tree: Tree, link: Path) -> bool:
    target = link.readlink()
    if target.is_absolute():
        return False
    # As written and as followed: a link through another link can leave by either.
    inside = [os.path.normpath(link.parent / target), os.path.realpath(link)]
    return all(Path(path) == tree.root or tree.root in Path(path).parents for path in inside)


def _unsafe(message: str) -> BuildError:
    return BuildError(
        Reason.SOURCE_UNSAFE,
        message,
        step=Step.FETCH,
        hint="Replace it by a file of the repository: a build never reads outside it.",
    )


def folder_of(path: str) -> str:
    """Normalise the subfolder of a source: ``./a//b/`` is ``a/b``, nothing is ``.``.

    Raises:
        BuildError: ``InvalidSource``: it leaves the repository or has characters that are not supported.
    """
    normal = str(PurePosixPath(path or "."))
    if normal == ".":
        return normal
    if ".." in PurePosixPath(path).parts or not PLAIN_PATH.match(normal):
        raise BuildError(
            Reason.INVALID_SOURCE,
            f"the path {redact.line(path)!r} cannot be used",
            step=Step.FETCH,
            hint="Give a folder inside the repository, of letters, digits and @ _ + = . - only.",
        )
    return normal

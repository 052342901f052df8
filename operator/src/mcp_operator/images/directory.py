"""Copy a folder of this machine as if it were cloned: what its git knows of, or all but secrets and leftovers."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from mcp_operator.images import context, process, redact
from mcp_operator.images.checkout import Checkout
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.reasons import Reason
from mcp_operator.images.tree import MAX_FILE, MAX_FILES, MAX_TREE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mcp_operator.images.budget import Budget
    from mcp_operator.images.contract import DirectorySource

_SAFE = (
    *("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "safe.directory=*"),
    *("-c", "core.quotePath=false", "-c", "submodule.recurse=false"),
)
"""The folder may be a stranger's archive, unpacked: nothing that its configuration names is run."""


class _Commit(NamedTuple):
    id: str
    committed: datetime


def fetch(source: DirectorySource, folder: Path, budget: Budget) -> Checkout:
    """Copy into ``folder``, which must be empty.

    Raises:
        BuildError: There is no such folder, it cannot be read, is too large, or has entries that are no files.
        BuildCancelled: The budget says so.
    """
    origin = Path(source.directory)
    if not origin.is_dir():
        raise BuildError(
            Reason.PATH_NOT_FOUND,
            f"there is no folder {redact.line(source.directory)}",
            step=Step.FETCH,
            hint="Give the folder with the server's package.json, pyproject.toml or go.mod.",
        )
    git = _Git(origin, budget) if (origin / ".git").exists() else None
    listed = git.files() if git else None
    warnings: list[str] = []
    copied = _Copy(origin, folder, budget)
    copied.all(listed if listed is not None else _walk(origin, warnings))
    commit = git.commit() if git else None
    # Within a day the same files give the same Dockerfile, so that layers are used again.
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if git and commit:
        if git.blobs(commit.id) == copied.blobs:
            return Checkout(root=folder, commit=commit.id, committed=commit.committed, content=copied.digest())
        warnings.append(f"the folder differs from its last commit {commit.id[:12]}: it is built as it is")
    return Checkout(
        root=folder,
        commit="",
        committed=today + timedelta(days=1),
        warnings=tuple(warnings),
        content=copied.digest(),
    )


def _walk(origin: Path, warnings: list[str]) -> Iterator[str]:
    secrets: list[str] = []
    for place, folders, names in os.walk(origin, onerror=_raise):
        linked = [name for name in folders if (Path(place) / name).is_symlink()]
        folders[:] = sorted(name for name in folders if name not in context.IGNORED and name not in linked)
        for name in sorted([*names, *linked]):
            relative = (Path(place) / name).relative_to(origin).as_posix()
            if _may_be_secret(name):
                secrets.append(relative)
            elif name not in context.IGNORED:
                yield relative
    if secrets:
        warnings.append(f"left out, because secrets may be in it: {redact.line(', '.join(secrets[:8]))}")


def _may_be_secret(name: str) -> bool:
    return name == ".env" or (name.startswith(".env.") and not name.endswith(("example", "sample", "template")))


def _raise(error: OSError) -> None:
    raise error


class _Copy:
    """Copies files one by one and keeps the account of them."""

    def __init__(self, origin: Path, target: Path, budget: Budget) -> None:
        self._origin = origin
        self._target = target
        self._budget = budget
        self._size = 0
        self.blobs: dict[str, str] = {}
        """Mode and object ID of each file, as git has them."""

    def all(self, names: Iterable[str]) -> None:
        """Copy files or links.

        Raises:
            BuildError: One cannot be read, or they are too many, too large or no files.
            BuildCancelled: The budget says so.
        """
        try:
            for name in names:
                self.add(name)
        except OSError as error:
            raise BuildError(
                Reason.FETCH_FAILED,
                f"{redact.line(str(self._origin))} cannot be read: {error.strerror}",
                step=Step.FETCH,
                hint="Check the rights to its files.",
            ) from error

    def add(self, name: str) -> None:
        """Copy one file or link; a listed file that is not there is not a file any more."""
        self._budget.check(Step.FETCH)
        if len(self.blobs) >= MAX_FILES:
            raise _too_large(f"more than {MAX_FILES} files")
        entry, target = self._origin / name, self._target / name
        try:
            mode = entry.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return
        if ".." in PurePosixPath(name).parts or self._through_link(name):
            raise _unsafe(f"{redact.line(name)} is behind a link")
        target.parent.mkdir(parents=True, exist_ok=True)
        if stat.S_ISLNK(mode):
            # As it is: what it leads to is judged when all is there.
            target.symlink_to(entry.readlink())
            self.blobs[name] = f"120000 {_blob(os.fsencode(entry.readlink()))}"
        elif stat.S_ISREG(mode):
            self._file(name, entry, target)
        elif not stat.S_ISDIR(mode):  # a submodule is listed as a folder
            raise _unsafe(f"{redact.line(name)} is neither a file nor a folder")

    def digest(self) -> str:
        """Give the hash of all names, modes and contents."""
        lines = "\n".join(f"{value} {name}" for name, value in sorted(self.blobs.items()))
        return hashlib.sha256(os.fsencode(lines)).hexdigest()

    def _through_link(self, name: str) -> bool:
        return any((self._origin / parent).is_symlink() for parent in PurePosixPath(name).parents)

    def _file(self, name: str, entry: Path, target: Path) -> None:
        # Opened without waiting or following: it may have become a pipe or a link since it was looked at.
        handle = os.open(entry, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise _unsafe(f"{redact.line(name)} is neither a file nor a folder")
            content = file.read(MAX_FILE + 1)
        self._size += len(content)
        if len(content) > MAX_FILE or self._size > MAX_TREE:
            raise _too_large(f"{redact.line(name)}, or all files together")
        target.write_bytes(content)
        executable = bool(status.st_mode & stat.S_IXUSR)
        target.chmod(0o755 if executable else 0o644)
        self.blobs[name] = f"{'100755' if executable else '100644'} {_blob(content)}"


def _blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content), usedforsecurity=False).hexdigest()


class _Git:
    """Asks a folder's git, without running anything that the folder's configuration names."""

    def __init__(self, folder: Path, budget: Budget) -> None:
        self._folder = folder
        self._budget = budget

    def files(self) -> list[str] | None:
        """List what is tracked or could be: not what is ignored. None if git cannot tell."""
        listing = self._ask("ls-files", "-z", "--cached", "--others", "--exclude-standard")
        if listing is None:
            return None
        return sorted({os.fsdecode(name).rstrip("/") for name in listing.split(b"\0") if name})

    def commit(self) -> _Commit | None:
        """Give the commit that is checked out."""
        said = self._ask("show", "--no-patch", "--no-show-signature", "--format=%H %ct", "HEAD")
        commit, _, seconds = (said or b"").decode(errors="replace").strip().partition(" ")
        try:
            return _Commit(commit, datetime.fromtimestamp(int(seconds), UTC))
        except (ValueError, OverflowError, OSError):
            return None

    def blobs(self, commit: str) -> Mapping[str, str]:
        """Give mode and object ID of each file of a commit. Compared so, no filter of the repository is run."""
        listing = self._ask("ls-tree", "-r", "-z", "--full-tree", commit) or b""
        found = {}
        for entry in filter(None, listing.split(b"\0")):
            details, _, name = entry.partition(b"\t")
            mode, kind, identity = details.decode().split()
            if kind == "blob":
                found[os.fsdecode(name)] = f"{mode} {identity}"
        return found

    def _ask(self, *arguments: str) -> bytes | None:
        env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
        }
        git = shutil.which("git")
        if git is None:
            return None
        argv = [git, *_SAFE, *arguments]
        try:
            done = process.run(argv, env=env, cwd=self._folder, budget=self._budget, step=Step.FETCH)
        except process.OutputLimitError:
            raise _too_large(f"more than {MAX_FILES} files") from None
        return done.stdout if done.code == 0 else None


def _too_large(what: str) -> BuildError:
    return BuildError(
        Reason.SOURCE_TOO_LARGE,
        f"the folder is too large: {what}; {MAX_FILE // 2**20} MiB a file and {MAX_TREE // 2**20} in all are accepted",
        step=Step.FETCH,
        hint="Give the server's own folder; what .gitignore names is left out where there is a .git.",
    )


def _unsafe(message: str) -> BuildError:
    return BuildError(
        Reason.SOURCE_UNSAFE,
        message,
        step=Step.FETCH,
        hint="Remove it: a build reads files and folders inside the given folder only.",
    )

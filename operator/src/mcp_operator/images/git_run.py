"""Runs git bounded in time, memory and size, with nothing of the machine's or the user's configuration."""

from __future__ import annotations

import os
import ssl
import stat
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mcp_operator.images import context, git_auth, git_errors, lfs, process, redact
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.reasons import Reason
from mcp_operator.images.submodules import Submodule
from mcp_operator.images.tree import MAX_FILE, MAX_FILES, MAX_TREE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcp_operator.images import git_url
    from mcp_operator.images.budget import Budget
    from mcp_operator.images.contract import GitCredentials
    from mcp_operator.settings import Settings

MAX_PACK = 512 * 1024 * 1024
"""Bytes that a shallow clone may download, with its submodules."""

MAX_SUBMODULES = 64
"""Of a source, those of submodules included: each is a clone."""

MAX_MEMORY = 384 * 1024 * 1024
"""Bytes for each of git's processes: a small pack can describe objects of gigabytes, each a little other than the last.
Blobs of more than ``core.bigFileThreshold`` are not held in memory."""


class Listing(NamedTuple):
    """What a commit has.

    Attributes:
        submodules: Folders that are other repositories'.
        small: Files that are as small as those of Git LFS.
    """

    submodules: list[Submodule]
    small: list[str]


@dataclass
class Room:
    """What a repository and its submodules may take together.

    Attributes:
        root: Folder of the repository; credentials are beside it while git runs.
        budget: When to stop.
        downloaded: Bytes of the packs of those that are there.
        left_out: Paths of submodules.
        pointers: Paths of files of Git LFS.
    """

    root: Path
    budget: Budget
    downloaded: int = 0
    left_out: list[str] = field(default_factory=list)
    pointers: list[str] = field(default_factory=list)
    _files: int = 0
    _size: int = 0
    _submodules: int = 0

    def take(self, listing: bytes) -> Listing:
        """Count what ``git ls-tree -l -z`` lists, before any of it is written.

        Raises:
            BuildError: It is too much.
        """
        found = Listing([], [])
        entries = [entry for entry in listing.split(b"\0") if entry]
        self._files += len(entries)
        if self._files > MAX_FILES:
            raise _too_large(f"{self._files} files, {MAX_FILES} are accepted")
        for entry in entries:
            details, _, name = entry.partition(b"\t")
            mode, _, identifier, size = details.split()
            if int(mode, 8) == stat.S_IFDIR | stat.S_IFLNK:
                found.submodules.append(Submodule(os.fsdecode(name), identifier.decode()))
                continue
            self._check_file(os.fsdecode(name), int(size))
            self._size += int(size)
            if int(size) in lfs.SMALL:
                found.small.append(os.fsdecode(name))
        self._check_size()
        return found

    def grow(self, name: str, size: int) -> None:
        """Count a file that is to become larger.

        Raises:
            BuildError: It is too large, or all together are.
        """
        self._check_file(name, size)
        self._size += size
        self._check_size()

    def _check_size(self) -> None:
        if self._size > MAX_TREE:
            raise _too_large(f"{self._size // 2**20} MiB of files, {MAX_TREE // 2**20} are accepted")

    def _check_file(self, name: str, size: int) -> None:
        if size > MAX_FILE:
            raise _too_large(f"{redact.line(name)} has {size // 2**20} MiB, {MAX_FILE // 2**20} are accepted")

    def count(self) -> None:
        """Count a submodule.

        Raises:
            BuildError: There are too many.
        """
        self._submodules += 1
        if self._submodules > MAX_SUBMODULES:
            raise _too_large(f"more than {MAX_SUBMODULES} submodules")


class Git:
    """Runs git in one folder with nothing of the machine's or the user's configuration."""

    def __init__(
        self,
        folder: Path,
        remote: git_url.Remote,
        room: Room,
        settings: Settings,
        credentials: GitCredentials | None = None,
    ) -> None:
        self.folder = folder
        self._credentials = credentials
        self._remote = remote
        self._room = room
        self._ca_file = settings.build_ca_file

    def run(self, command: str, *arguments: str) -> process.Finished:
        """Run one command; a failure becomes an error with its cause."""
        # Beside the repository, so that it is removed with it whatever happens.
        with tempfile.TemporaryDirectory(prefix="git-home-", dir=self._room.root.parent) as home:
            finished = self._run(command, arguments, self._environment(Path(home)))
        if finished.code != 0:
            said = finished.stderr
            if self._credentials and self._credentials.token:
                said = said.replace(self._credentials.token, redact.MASK)
            raise git_errors.explain(said, self._remote.original, "such branch, tag or commit")
        return finished

    def _run(self, command: str, arguments: Sequence[str], env: Mapping[str, str]) -> process.Finished:
        options = (
            *("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "gc.auto=0"),
            *("-c", "core.bigFileThreshold=32m", "-c", "pack.threads=1", "-c", "core.deltaBaseCacheLimit=32m"),
            *("-c", "fetch.unpackLimit=1"),  # few large objects are a pack, too, whose size is watched
            *("-c", "submodule.recurse=false", "-c", "advice.detachedHead=false", "-c", "core.autocrlf=false"),
            *("-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=30", "-c", "credential.helper="),
        )
        try:
            return process.run(
                ["git", *options, command, *arguments],
                env=env,
                cwd=self.folder,
                budget=self._room.budget,
                step=Step.FETCH,
                bounds=process.Bounds(watch=self._watch_size, memory=MAX_MEMORY),
            )
        except process.OutputLimitError:
            raise _too_large(f"more than {MAX_FILES} files") from None
        except FileNotFoundError:
            raise BuildError(
                Reason.FETCH_FAILED,
                "git is not installed where builds run",
                step=Step.FETCH,
                hint="Install git.",
            ) from None

    def _environment(self, home: Path) -> dict[str, str]:
        env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(home),
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_LFS_SKIP_SMUDGE": "1",
            "GIT_ALLOW_PROTOCOL": self._remote.protocol,
            **git_auth.environment(self._credentials, self._remote.url, home),
        }
        if self._ca_file:
            env["GIT_SSL_CAINFO"] = str(_trusted(Path(self._ca_file), home))
        return env

    def keep_count(self) -> None:
        """Count what was downloaded, when that is over.

        Raises:
            BuildError: It is too much.
        """
        self._watch_size()
        self._room.downloaded += self._size()

    def _size(self) -> int:
        pack = self.folder / ".git" / "objects" / "pack"
        try:
            return sum(entry.stat().st_size for entry in os.scandir(pack))
        except OSError:
            return 0  # git is just renaming what was listed

    def _watch_size(self) -> None:
        if self._room.downloaded + self._size() > MAX_PACK:
            raise _too_large(f"more than {MAX_PACK // 2**20} MiB to download")


def _trusted(ca_file: Path, home: Path) -> Path:
    """Join the given authorities and the system's: GIT_SSL_CAINFO replaces what git would trust."""
    system = ssl.get_default_verify_paths().cafile
    bundle = home / "ca.pem"
    parts = [Path(system).read_bytes()] if system else []
    parts.append(context.authorities(str(ca_file)) or b"")
    bundle.write_bytes(b"\n".join(parts))
    return bundle


def _too_large(what: str) -> BuildError:
    return BuildError(
        Reason.SOURCE_TOO_LARGE,
        f"the repository is too large: {what}",
        step=Step.FETCH,
        hint="Move the server into a repository of its own, or keep large files out of git.",
    )

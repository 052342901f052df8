"""Bare git repositories with reproducible commits: the same files always give the same commit."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from sources.downloads import published

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sources.downloads import Files

PUBLISHED = "github.com/modelcontextprotocol/servers.git"
"""Repository of the published servers: ``src/git``, ``src/time`` and ``src/filesystem``."""
PRIVATE = "private.git"
"""The weather server once more, for those who know :data:`CREDENTIALS`."""
CREDENTIALS = ("reader", "fiction")

OWN_SERVERS = Path(__file__).parents[1] / "servers"
NOT_SOURCES = frozenset({"node_modules", "dist", "__pycache__", ".venv"})

AUTHOR = "Toolman Tests <tests@toolman.dev>"
FIRST_COMMIT = 1_792_454_400
"""2026-10-20, just after the packages were published; a builder may leave out whatever is newer than the commit.

Each further commit of a repository is a minute later.
"""
GIT_SECONDS = 60

ISOLATED = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
}
"""Environment in which no setting of this machine's git changes a commit."""


def git(repository: Path, *arguments: str, data: bytes | None = None) -> str:
    """Run git in a bare repository and give its output, stripped.

    Raises:
        subprocess.CalledProcessError: It failed; git's own words are a note of the exception.
    """
    command = ["git", "--git-dir", str(repository), *arguments]
    done = subprocess.run(command, input=data, capture_output=True, check=False, env=ISOLATED, timeout=GIT_SECONDS)
    if done.returncode:
        error = subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        error.add_note(done.stderr.decode(errors="replace"))
        raise error
    return done.stdout.decode().strip()


def create(repository: Path, files: Files, message: str = "Import") -> str:
    """Make a bare repository with one commit on ``main`` and give its hash.

    It may be cloned shallowly and any of its commits fetched by hash, as on the large hosts.
    """
    repository.mkdir(parents=True)
    git(repository, "init", "--quiet", "--bare", "--initial-branch=main")
    for key in ("uploadpack.allowAnySHA1InWant", "uploadpack.allowFilter"):
        git(repository, "config", key, "true")
    for key in ("http.getanyfile", "http.receivepack"):  # neither dumb clones nor pushes
        git(repository, "config", key, "false")
    return commit(repository, files, message)


def link(repository: Path, modules: Mapping[str, tuple[str, str]]) -> str:
    """Add a commit with submodules, each a path with a URL and a commit; give its hash."""
    told = "".join(f'[submodule "{path}"]\n\tpath = {path}\n\turl = {url}\n' for path, (url, _) in modules.items())
    known = git(repository, "ls-tree", "main", ".gitmodules")
    before = git(repository, "cat-file", "blob", "main:.gitmodules") + "\n" if known else ""
    text = f"{before}{told}"
    parent = head(repository)
    links = "".join(f"M 160000 {found} {path}\n" for path, (_, found) in modules.items())
    date = int(git(repository, "show", "--no-patch", "--format=%ct", parent)) + 60
    script = f"commit refs/heads/main\ncommitter {AUTHOR} {date} +0000\ndata 4\nLink\nfrom {parent}\n{links}"
    script += f"M 100644 inline .gitmodules\ndata {len(text.encode())}\n{text}\n\n"
    git(repository, "fast-import", "--quiet", data=script.encode())
    return head(repository)


def commit(
    repository: Path,
    changes: Mapping[str, tuple[bool, bytes] | str | None],
    message: str,
    branch: str = "main",
) -> str:
    """Add a commit and give its hash.

    Args:
        repository: A bare repository of :func:`create`.
        changes: New content of each path (text, or executable and bytes); None deletes the path.
        message: Commit message.
        branch: Made from ``main`` when it does not exist.
    """
    parent = _parent(repository, branch)
    stream = [f"commit refs/heads/{branch}\n", f"committer {AUTHOR} {_time(repository, parent)} +0000\n"]
    parts = ["".join(stream).encode(), _data(message.encode())]
    if parent:
        parts.append(f"from {parent}\n".encode())
    for path, entry in sorted(changes.items()):
        if entry is None:
            parts.append(f"D {path}\n".encode())
            continue
        executable, content = (False, entry.encode()) if isinstance(entry, str) else entry
        parts += [f"M {'100755' if executable else '100644'} inline {path}\n".encode(), _data(content)]
    git(repository, "fast-import", "--quiet", data=b"".join([*parts, b"\n"]))
    return head(repository, branch)


def _data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)


def _parent(repository: Path, branch: str) -> str:
    found = {line.split()[1]: line.split()[0] for line in git(repository, "for-each-ref", *_FORMAT).splitlines()}
    return found.get(f"refs/heads/{branch}") or found.get("refs/heads/main", "")


_FORMAT = ("--format=%(objectname) %(refname)",)


def _time(repository: Path, parent: str) -> int:
    return int(git(repository, "show", "--no-patch", "--format=%ct", parent)) + 60 if parent else FIRST_COMMIT


def head(repository: Path, branch: str = "main") -> str:
    """Give the hash of a branch's newest commit."""
    return git(repository, "rev-parse", "--verify", f"refs/heads/{branch}")


def tag(repository: Path, name: str, target: str = "main") -> None:
    """Tag a branch's newest commit or a commit by its hash."""
    git(repository, "tag", name, target)


def tree(folder: Path) -> Files:
    """Read the files of a folder, without what building leaves there.

    Modes are those of git, not of this checkout: a file is executable only when it starts with ``#!``.
    """
    return {
        path.relative_to(folder).as_posix(): (content.startswith(b"#!"), content)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not NOT_SOURCES.intersection(path.relative_to(folder).parts)
        for content in [path.read_bytes()]
    }


def make_own(root: Path) -> list[str]:
    """Make a repository for each server under ``tests/servers`` and the private one; needs no network.

    Returns:
        Their paths below ``root``; those that were there already are left as they are.
    """
    folders = {f"{folder.name}.git": folder for folder in sorted(OWN_SERVERS.iterdir()) if folder.is_dir()}
    folders[PRIVATE] = OWN_SERVERS / "weather"
    for name, folder in folders.items():
        if not (root / name).exists():
            create(root / name, tree(folder))
    return list(folders)


def make_all(root: Path) -> list[str]:
    """Make all repositories.

    Raises:
        sources.downloads.DownloadError: A published package cannot be had.
    """
    if not (root / PUBLISHED).exists():
        readme = (
            "# Servers\n\nContents of published packages, put together for tests: one folder a server below src/.\n"
        )
        create(root / PUBLISHED, {**published(), "README.md": (False, readme.encode())})
    return [PUBLISHED, *make_own(root)]

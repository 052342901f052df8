"""Clone a git repository written by a stranger: pinned, shallow, bounded, and without running anything of it.

No shell, no LFS, no hooks, no configuration but ours, no prompt; submodules only if they are asked for. git refuses
options in the place of URLs only since some versions, so ``--`` stands before each and nothing that starts with a dash
is let through.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mcp_operator.images import cleanup, git_auth, git_errors, git_url, lfs, redact, submodules
from mcp_operator.images.budget import Budget
from mcp_operator.images.checkout import Checkout
from mcp_operator.images.contract import BuildError
from mcp_operator.images.git_run import Git, Room
from mcp_operator.images.reasons import Reason
from mcp_operator.images.tree import Tree

if TYPE_CHECKING:
    import threading

    from mcp_operator.images.contract import GitSource
    from mcp_operator.settings import Settings

RESOLVE_SECONDS = 30
"""For the answer to ``git ls-remote``: it is one round trip, but some hosts are slow to wake."""
NAMED = 3
"""Submodules, or files, that a warning names."""
_REF = re.compile(r"(?!-)(?!.*(?:\.\.|@\{|//|/\.|\.lock(?:/|$)))[^\x00-\x20\x7f~^:?*\[\\]+(?<![/.])\Z")
_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_TAGS = "refs/tags/"


def resolve(source: GitSource, settings: Settings, cancelled: threading.Event | None = None) -> str:
    """Give the commit (40 hex digits) that the source means now, without cloning.

    A source with a commit is answered without asking anybody.

    Raises:
        BuildError: As :func:`clone`.
        BuildCancelled: ``cancelled`` was set.
    """
    _check_ref(source)
    remote = git_url.remote(source.url, settings.git_protocols, settings.git_mirrors)
    if source.commit:
        return source.commit
    git_auth.check(source.credentials, remote.protocol)
    wanted = _ref(source)
    found = _listed(source, remote, settings, cancelled, wanted, f"{wanted}^{{}}")
    # An annotated tag is an object of its own; the line with ^{} names the commit behind it.
    commit = found.get(f"{wanted}^{{}}") or found.get(wanted) or ""
    if not _COMMIT.match(commit):
        raise git_errors.explain(f"couldn't find remote ref {wanted}", source.url, _describe(source))
    return commit


def tags(source: GitSource, settings: Settings, cancelled: threading.Event | None = None) -> dict[str, str]:
    """Give the tags of a repository, and the commit of each.

    Raises:
        BuildError: As :func:`clone`.
        BuildCancelled: ``cancelled`` was set.
    """
    remote = git_url.remote(source.url, settings.git_protocols, settings.git_mirrors)
    git_auth.check(source.credentials, remote.protocol)
    found = _listed(source, remote, settings, cancelled, f"{_TAGS}*")
    plain = {name.removeprefix(_TAGS): commit for name, commit in found.items() if not name.endswith("^{}")}
    return {name: found.get(f"{_TAGS}{name}^{{}}", commit) for name, commit in plain.items() if _COMMIT.match(commit)}


def _listed(
    source: GitSource, remote: git_url.Remote, settings: Settings, cancelled: threading.Event | None, *patterns: str
) -> dict[str, str]:
    """Give what the remote's refs of some names point to."""
    # Named so that a sweep finds it: should this process be killed, credentials would be left in it.
    with tempfile.TemporaryDirectory(prefix=cleanup.folder_prefix(cleanup.NOBODY, settings.installation)) as folder:
        room = Room(Path(folder) / "empty", Budget(RESOLVE_SECONDS, cancelled))
        git = Git(room.root, remote, room, settings, source.credentials)
        git.folder.mkdir()
        listing = git.run("ls-remote", "--", remote.url, *patterns).stdout.decode(errors="replace")
    return {name: commit for commit, _, name in (line.partition("\t") for line in listing.splitlines())}


def clone(source: GitSource, settings: Settings, folder: Path, budget: Budget) -> Checkout:
    """Put the files of a commit into ``folder``, which must be empty.

    Its parent folder holds credentials while git runs: it must be the build's own.

    Raises:
        BuildError: With the cause: URL, host, credentials, repository, ref, size or content.
        BuildCancelled: The budget says so.
    """
    room = Room(folder, budget)
    commit, committed = _place(source, settings, folder, room)
    return Checkout(root=folder, commit=commit, committed=_time(committed), warnings=_warnings(room, source))


def _place(source: GitSource, settings: Settings, folder: Path, room: Room, inside: str = "") -> tuple[str, str]:
    """Put the files of a commit, and of the submodules that are wanted, into a folder; give it and when it was made.

    Args:
        source: What to fetch.
        settings: Where from, and whom to trust.
        folder: Where to.
        room: Of all repositories together.
        inside: Path of the submodule that it is, with a slash; empty for the repository itself.
    """
    _check_ref(source)
    remote = git_url.remote(source.url, settings.git_protocols, settings.git_mirrors)
    git_auth.check(source.credentials, remote.protocol)
    git = Git(folder, remote, room, settings, source.credentials)
    git.run("init", "--quiet", "--template=", ".")
    _fetch(git, remote.url, source)
    git.keep_count()
    commit = git.run("rev-parse", "--verify", "--end-of-options", "FETCH_HEAD^{commit}").stdout.decode().strip()
    # Sizes are known before anything is written: a small pack can hold gigabytes.
    found = room.take(git.run("ls-tree", "-r", "-l", "-z", "--full-tree", commit).stdout)
    committed = git.run("show", "--no-patch", "--format=%ct", commit).stdout.decode().strip()
    git.run("checkout", "--quiet", "--detach", "--force", commit)
    tree = Tree(folder)
    pointers = [known for name in found.small if (known := lfs.pointer(tree.path(name), f"{inside}{name}"))]
    if source.lfs and pointers:
        for wanted in pointers:
            room.grow(wanted.name, wanted.size)
        lfs.fetch(pointers, remote.url, source.credentials, settings.build_ca_file, room.budget)
    else:
        room.pointers += [known.name for known in pointers]
    urls = _urls(git, commit) if found.submodules and source.recurse_submodules else {}
    shutil.rmtree(folder / ".git")
    for each in found.submodules:
        url = submodules.beside(urls.get(each.path, ""), source.url)
        shown = f"{inside}{each.path}"
        if url is None:
            room.left_out.append(shown)
        else:
            module = dataclasses.replace(source, url=url, branch=None, tag=None, commit=each.commit)
            _place_submodule(module, settings, folder / each.path, room, shown)
    return commit, committed


def _place_submodule(source: GitSource, settings: Settings, folder: Path, room: Room, shown: str) -> None:
    room.count()
    # git made it, empty; what was placed before may have put a link in its way.
    if folder.resolve() != room.root.resolve() / shown or not folder.is_dir() or any(folder.iterdir()):
        raise git_url.invalid(
            f"the submodule {redact.line(shown)} is in the way of something else", "Move one of them."
        )
    try:
        _place(source, settings, folder, room, f"{shown}/")
    except BuildError as error:
        if not error.message.startswith("submodule "):  # One inside this one has said so, with the whole path.
            error.message = f"submodule {redact.line(shown)}: {error.message}"
            error.args = (error.message,)
        raise


def _urls(git: Git, commit: str) -> dict[str, str]:
    """Give the URLs of the submodules of a commit, by their paths."""
    if not git.run("ls-tree", "--full-tree", commit, "--", ".gitmodules").stdout:
        return {}
    return submodules.urls(git.run("config", "--blob", f"{commit}:.gitmodules", "-z", "--list").stdout)


def _warnings(room: Room, source: GitSource) -> tuple[str, ...]:
    found = []
    if room.left_out and source.recurse_submodules:
        found.append(f"left out: git submodules that are not on the host of their repository ({_some(room.left_out)})")
    elif room.left_out:
        found.append(
            f"left out: git submodules ({_some(room.left_out)}); spec.source.git.recurseSubmodules takes them in"
        )
    if room.pointers:
        shown = _some(room.pointers)
        found.append(f"left out: the content of files of Git LFS ({shown}); spec.source.git.lfs takes it in")
    return tuple(found)


def _some(names: list[str]) -> str:
    return ", ".join(map(redact.line, names[:NAMED])) + (", ..." if names[NAMED:] else "")


def _fetch(git: Git, url: str, source: GitSource) -> None:
    flags = ("--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-commit-graph")
    try:
        git.run("fetch", *flags, "--depth=1", "--", url, _ref(source))
    except BuildError as error:
        if not (source.commit and error.reason == Reason.REF_NOT_FOUND):
            raise
        # Servers may refuse to send a commit by its ID alone; then it is looked for behind branches and tags.
        git.run("fetch", *flags, "--", url, "+refs/heads/*:refs/all/heads/*", "+refs/tags/*:refs/all/tags/*")
        head = git.run("rev-parse", "--verify", "--end-of-options", f"{source.commit}^{{commit}}").stdout
        (git.folder / ".git" / "FETCH_HEAD").write_bytes(head)


def _time(seconds: str) -> datetime:
    # The committer chooses this number, so it may be anything.
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.now(UTC)


def _ref(source: GitSource) -> str:
    if source.branch:
        return f"refs/heads/{source.branch}"
    if source.tag:
        return f"refs/tags/{source.tag}"
    return source.commit or "HEAD"


def _describe(source: GitSource) -> str:
    for kind in ("branch", "tag", "commit"):
        if name := getattr(source, kind):
            return f"{kind} {redact.line(name)}"
    return "default branch"


def _check_ref(source: GitSource) -> None:
    if sum(map(bool, (source.branch, source.tag, source.commit))) > 1:
        raise git_url.invalid("more than one of branch, tag and commit is given", "Give one of them.")
    if source.commit is not None and not _COMMIT.match(source.commit):
        raise git_url.invalid(
            "the commit is not 40 hexadecimal digits", "Give the whole commit ID, as `git log` shows it."
        )
    for name in (source.branch, source.tag):
        if name is not None and not _REF.match(name):
            raise git_url.invalid(f"{redact.line(name)!r} is not a name git allows", "Check spec.source.git.ref.")

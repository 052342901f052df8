"""Clone a git repository written by a stranger: pinned, shallow, bounded, and without running anything of it.

No shell, no submodules, no LFS, no hooks, no configuration but ours, no prompt. git refuses options in the place of
URLs only since some versions, so ``--`` stands before each and nothing that starts with a dash is let through.
"""

from __future__ import annotations

import os
import re
import shutil
import ssl
import stat
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mcp_operator.images import cleanup, context, git_auth, git_errors, git_url, process, redact
from mcp_operator.images.budget import Budget
from mcp_operator.images.checkout import Checkout
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.reasons import Reason
from mcp_operator.images.tree import MAX_FILE, MAX_FILES, MAX_TREE

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping, Sequence

    from mcp_operator.images.contract import GitCredentials, GitSource
    from mcp_operator.settings import Settings

RESOLVE_SECONDS = 30
"""For the answer to ``git ls-remote``: it is one round trip, but some hosts are slow to wake."""
MAX_PACK = 512 * 1024 * 1024
"""Bytes that a shallow clone may download."""

MAX_MEMORY = 384 * 1024 * 1024
"""Bytes for each of git's processes: a small pack can describe objects of gigabytes, each a little other than the last.
Blobs of more than ``core.bigFileThreshold`` are not held in memory."""

NAMED = 3
"""Submodules that a warning names."""
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
        git = _Git(Path(folder) / "empty", remote, Budget(RESOLVE_SECONDS, cancelled), settings, source.credentials)
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
    _check_ref(source)
    remote = git_url.remote(source.url, settings.git_protocols, settings.git_mirrors)
    git_auth.check(source.credentials, remote.protocol)
    git = _Git(folder, remote, budget, settings, source.credentials)
    git.run("init", "--quiet", "--template=", ".")
    _fetch(git, remote.url, source)
    commit = git.run("rev-parse", "--verify", "--end-of-options", "FETCH_HEAD^{commit}").stdout.decode().strip()
    # Sizes are known before anything is written: a small pack can hold gigabytes.
    warnings = _check_listing(git.run("ls-tree", "-r", "-l", "-z", "--full-tree", commit).stdout)
    committed = git.run("show", "--no-patch", "--format=%ct", commit).stdout.decode().strip()
    git.run("checkout", "--quiet", "--detach", "--force", commit)
    shutil.rmtree(folder / ".git")
    return Checkout(root=folder, commit=commit, committed=_time(committed), warnings=warnings)


def _fetch(git: _Git, url: str, source: GitSource) -> None:
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


class _Git:
    """Runs git in one folder with nothing of the machine's or the user's configuration."""

    def __init__(
        self,
        folder: Path,
        remote: git_url.Remote,
        budget: Budget,
        settings: Settings,
        credentials: GitCredentials | None = None,
    ) -> None:
        self.folder = folder
        self._credentials = credentials
        self._remote = remote
        self._budget = budget
        self._ca_file = settings.build_ca_file

    def run(self, command: str, *arguments: str) -> process.Finished:
        """Run one command; a failure becomes an error with its cause."""
        # Beside the repository, so that it is removed with it whatever happens.
        with tempfile.TemporaryDirectory(prefix="git-home-", dir=self.folder.parent) as home:
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
            *("-c", "submodule.recurse=false", "-c", "advice.detachedHead=false", "-c", "core.autocrlf=false"),
            *("-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=30", "-c", "credential.helper="),
        )
        try:
            return process.run(
                ["git", *options, command, *arguments],
                env=env,
                cwd=self.folder,
                budget=self._budget,
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

    def _watch_size(self) -> None:
        pack = self.folder / ".git" / "objects" / "pack"
        try:
            size = sum(entry.stat().st_size for entry in os.scandir(pack))
        except OSError:
            return  # git is just renaming what was listed
        if size > MAX_PACK:
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


def _check_listing(listing: bytes) -> tuple[str, ...]:
    """Check ``git ls-tree -l -z``: counts and sizes; name what will be left out."""
    total = 0
    submodules: list[str] = []
    entries = [entry for entry in listing.split(b"\0") if entry]
    if len(entries) > MAX_FILES:
        raise _too_large(f"{len(entries)} files, {MAX_FILES} are accepted")
    for entry in entries:
        details, _, name = entry.partition(b"\t")
        mode, _, _, size = details.split()
        if int(mode, 8) == stat.S_IFDIR | stat.S_IFLNK:  # a submodule
            submodules.append(redact.line(name.decode(errors="replace")))
            continue
        if int(size) > MAX_FILE:
            shown = redact.line(name.decode(errors="replace"))
            raise _too_large(f"{shown} has {int(size) // 2**20} MiB, {MAX_FILE // 2**20} are accepted")
        total += int(size)
    if total > MAX_TREE:
        raise _too_large(f"{total // 2**20} MiB of files, {MAX_TREE // 2**20} are accepted")
    more = ", ..." if submodules[NAMED:] else ""
    return (f"left out: git submodules ({', '.join(submodules[:NAMED])}{more})",) if submodules else ()

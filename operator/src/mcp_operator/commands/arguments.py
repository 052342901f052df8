"""The options of ``mcp-operator build``, and the request that they mean."""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from mcp_operator.images import sources, tags
from mcp_operator.images.contract import (
    BuildRequest,
    DirectorySource,
    GitCredentials,
    GitSource,
    NpmSource,
    PypiSource,
    Runtime,
)
from mcp_operator.images.scan_reports import SEVERITIES
from mcp_operator.images.scans import KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp_operator.images.contract import Source

INSTALLATION = "command-line"
"""Whose images these are: an operator that shares the engine leaves them alone."""
TOKEN_VARIABLE = "MCP_OPERATOR_GIT_TOKEN"  # noqa: S105 - the name of a variable

DAY = 86_400

_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_SCP = re.compile(r"(?![a-z][a-z0-9+.-]*://)(?:([\w.-]+)@)?([\w.-]+):(?!/)(.+)\Z")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z")
_PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9]+(?:/v\d+)?\Z")


class UsageError(Exception):
    """The options do not go together; the text says what to change."""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    _add_source(parser)
    _add_image(parser)
    run = parser.add_argument_group("how the server is run, for building and for the handshake")
    run.add_argument("--runtime", choices=get_args(Runtime), default="auto", help="language (default: found out)")
    run.add_argument("--dockerfile", metavar="F", help="build the repository's own Dockerfile, a path below --path")
    run.add_argument(
        "--command", dest="start", metavar="WORDS", help='start command instead of the one found: "node dist/x.js"'
    )
    run.add_argument("--arg", action="append", default=[], metavar="A", help="argument of the server; repeatable")
    run.add_argument("--env", action="append", default=[], metavar="K=V", help="environment variable; repeatable")
    run.add_argument("--system-package", action="append", default=[], metavar="P", help="Debian package; repeatable")
    run.add_argument(
        "--build-arg", action="append", default=[], metavar="K=V", help="of your own Dockerfile; no secret"
    )
    run.add_argument("--platform", action="append", default=[], metavar="P", help="such as linux/arm64; repeatable")
    run.add_argument("--no-verify", action="store_true", help="no handshake: nothing is known of the tools then")
    run.add_argument("--scan", action="append", default=[], choices=KINDS, help="look at what was built; repeatable")
    run.add_argument("--severity", choices=SEVERITIES, help="vulnerabilities from this on stop the build")
    run.add_argument("--sbom", metavar="FILE", help="write a bill of materials (CycloneDX)")
    run.add_argument("--timeout", type=_seconds, default=600, metavar="S", help="seconds before the push (%(default)s)")
    run.add_argument("--push-timeout", type=_seconds, default=300, metavar="S", help="seconds a push (%(default)s)")


def _add_source(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("source")
    kinds = group.add_mutually_exclusive_group(required=True)
    kinds.add_argument("--git", metavar="URL", help="git repository: https:// or ssh://")
    kinds.add_argument("--npm", metavar="PKG[@V]", help="package of npm's registry")
    kinds.add_argument("--pypi", metavar="PKG[==V]", help="package of PyPI")
    kinds.add_argument("--dir", metavar="PATH", help="folder of this machine")
    group.add_argument("--ref", metavar="R", help="branch, tag or commit (40 digits), with --git")
    group.add_argument("--path", metavar="P", default=".", help="the server's folder in the repository or --dir")
    group.add_argument("--recurse-submodules", action="store_true", help="with --git: those on the repository's host")
    group.add_argument("--lfs", action="store_true", help="with --git: the content of files of Git LFS")
    group.add_argument("--git-user", metavar="U", help="user name for a private repository; forges take any")
    group.add_argument("--git-token-file", metavar="FILE", help=f"token or password; or the variable {TOKEN_VARIABLE}")
    group.add_argument("--git-key-file", metavar="FILE", help="private ssh key without a passphrase")
    group.add_argument("--git-known-hosts", metavar="FILE", help="known hosts for --git-key-file")


def _add_image(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("image")
    group.add_argument("--repository", metavar="R", help="name without tag: registry.example.com/team/name")
    group.add_argument(
        "--tag",
        action="append",
        default=[],
        metavar="T",
        help="latest (default), v{version}, {timestamp}, {commit}, mcp-{deploymentId}:latest or your own; repeatable",
    )
    group.add_argument("--push", action="store_true", help="push to --repository")
    group.add_argument("--deployment-id", metavar="ID", help="in labels and tags (default: of the source's name)")
    group.add_argument("--dry-run", action="store_true", help="say what would be built and pushed, and stop")
    group.add_argument("--print-dockerfile", action="store_true", help="print the Dockerfile, and stop")
    group.add_argument("--output", choices=("text", "json"), default="text", help="what stdout gets (%(default)s)")


def joined(words: Sequence[str]) -> list[str]:
    """Join ``--arg`` and its value: what follows is an argument of the server even if it starts with a dash."""
    found: list[str] = []
    for word in words:
        if found and found[-1] == "--arg":
            found[-1] = f"--arg={word}"
        else:
            found.append(word)
    return found


def request(given: argparse.Namespace) -> BuildRequest:
    """Make the request.

    Raises:
        UsageError: The options do not go together.
    """
    _check_targets(given)
    found = source(given)
    # Several machines may share an engine, and each tidies up behind its own builds.
    owner = hashlib.sha256(f"{platform.node()} {os.getuid()} {_place(found)}".encode()).hexdigest()
    deployment = given.deployment_id or tags.part(f"{sources.name(found)[:60]}-{owner[:8]}")
    runtime, dockerfile = _runtime(given)
    return BuildRequest(
        source=found,
        repository=given.repository or f"mcp-{tags.part(deployment)}",
        deployment_id=deployment,
        uid=f"cli-{owner[:32]}",
        installation=INSTALLATION,
        runtime=runtime,
        dockerfile=dockerfile,
        command=_words(given.start),
        args=tuple(given.arg),
        env=dict(_pair("--env", text) for text in given.env),
        system_packages=tuple(given.system_package),
        build_args=dict(_pair("--build-arg", text) for text in given.build_arg),
        platforms=tuple(_platform(text) for text in given.platform),
        tags=tuple(given.tag) or ("latest",),
        push=given.push,
        verify=not given.no_verify,
        keep_older=True,
        timeout=given.timeout,
        push_timeout=given.push_timeout,
    )


def _check_targets(given: argparse.Namespace) -> None:
    if given.push and not given.repository:
        raise UsageError("--push needs --repository: where should it go?")
    if given.sbom and not Path(given.sbom).parent.is_dir():
        raise UsageError(f"--sbom {given.sbom} cannot be written: there is no folder {Path(given.sbom).parent}")


def _runtime(given: argparse.Namespace) -> tuple[Runtime, str]:
    """Give the runtime and the Dockerfile: who names one wants it to be built."""
    if given.dockerfile and given.runtime == "auto":
        return "dockerfile", given.dockerfile
    return given.runtime, given.dockerfile or "Dockerfile"


def source(given: argparse.Namespace) -> Source:
    """Make the source.

    Raises:
        UsageError: The options do not go together.
    """
    if not given.git:
        alone = {"--ref": given.ref, "--git-user": given.git_user, "--git-token-file": given.git_token_file}
        alone |= {"--git-key-file": given.git_key_file, "--git-known-hosts": given.git_known_hosts}
        alone |= {"--recurse-submodules": given.recurse_submodules, "--lfs": given.lfs}
        extra = [option for option, value in alone.items() if value]
        if extra:
            raise UsageError(f"{extra[0]} goes with --git only")
    if given.path != "." and (given.npm or given.pypi):
        raise UsageError("--path goes with --git and --dir only")
    if given.git:
        return _git(given)
    if given.npm:
        package, version = _split(given.npm, "@", 1)
        return NpmSource(package=package, version=version)
    if given.pypi:
        package, version = _split(given.pypi, "==", 0)
        return PypiSource(package=package, version=version)
    return DirectorySource(directory=str(Path(given.dir).resolve()), path=given.path)


def _git(given: argparse.Namespace) -> GitSource:
    scp = _SCP.match(given.git)
    url = f"ssh://{f'{scp[1]}@' if scp[1] else ''}{scp[2]}/{scp[3]}" if scp else given.git
    ref = given.ref or ""
    commit = ref if _COMMIT.match(ref) else None
    # Which of the two a name is, is asked with the credentials; a full name says it by itself.
    branch = ref.removeprefix("refs/heads/") if ref and not commit and not ref.startswith("refs/tags/") else None
    tag = ref.removeprefix("refs/tags/") if ref.startswith("refs/tags/") else None
    return GitSource(
        url=url,
        branch=branch,
        tag=tag,
        commit=commit,
        path=given.path,
        recurse_submodules=given.recurse_submodules,
        lfs=given.lfs,
        credentials=_credentials(given, url),
    )


def _credentials(given: argparse.Namespace, url: str) -> GitCredentials | None:
    token = _read(given.git_token_file).strip()
    if not token and not url.startswith("ssh://"):
        token = os.environ.get(TOKEN_VARIABLE, "")
    key, hosts = _read(given.git_key_file), _read(given.git_known_hosts)
    if not token and not key:
        return None
    if key and not hosts:
        raise UsageError("--git-key-file needs --git-known-hosts: ~/.ssh/known_hosts, if you have used the host before")
    return GitCredentials(username=given.git_user or "", token=token, ssh_key=key, known_hosts=hosts)


def _read(file: str | None) -> str:
    """Read a file that an option names; nothing without one."""
    if not file:
        return ""
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {getattr(error, 'strerror', 'not text')}") from error


def _place(found: Source) -> str:
    """Name where a source is from, so that builds of the same one use each other's layers."""
    identity = sources.identity(found, "")
    return " ".join(f"{name}={value}" for name, value in sorted(identity.items()))


def _split(text: str, mark: str, start: int) -> tuple[str, str | None]:
    """Split a package and its version; a scope's @ at the start is none."""
    head, found, version = text[start:].partition(mark)
    return text[:start] + head, version if found and version else None


def _words(text: str | None) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text or ""))
    except ValueError as error:
        raise UsageError(f"--command {text!r} cannot be split into words: {error}") from error


def _pair(option: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not _VARIABLE.match(name):
        # The value may be a secret: it is not repeated.
        raise UsageError(f"{option} needs NAME=VALUE; {name[:40]!r} is not followed by = or is no name")
    return name, value


def _platform(text: str) -> str:
    if not _PLATFORM.match(text):
        raise UsageError(f"--platform {text!r} is not OS/ARCHITECTURE, such as linux/arm64")
    return text


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value <= DAY:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 1 to {DAY}")
    return value

"""Fetch a package of npm's registry: pinned, checked, and read for how it is started; the image installs it by name.

What is published needs no building: an image gets the package as anybody who installs it does, with its dependencies as
they were when it was published.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from mcp_operator.images import archive, redact
from mcp_operator.images.checkout import Checkout
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.detect import detect
from mcp_operator.images.detect.candidate import APP, Candidate, NodeFacts
from mcp_operator.images.download import Client, NotFoundError
from mcp_operator.images.reasons import Reason
from mcp_operator.images.tree import Tree, check

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mcp_operator.images.budget import Budget
    from mcp_operator.images.contract import NpmSource
    from mcp_operator.settings import Settings

MAX_DOCUMENT = 64 * 2**20
"""Bytes of a package's description: those with thousands of releases have tens of MiB."""
MAX_ARCHIVE = 256 * 2**20
MARGIN = timedelta(hours=1)
"""Between a package and those that are released together with it."""

_NAME = re.compile(r"(?:@[a-z0-9~][a-z0-9._~-]*/)?[A-Za-z0-9~][A-Za-z0-9._~-]*\Z")
_VERSION = re.compile(r"\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?\Z")
_NOT_INSTALLED = ("package-lock.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock", "bun.lockb", "tsconfig.json")
"""What the author builds with: npm does not look at it when it installs the package."""


class _Release(NamedTuple):
    version: str
    tarball: str
    digest: str
    published: datetime
    warnings: tuple[str, ...]


def resolve(source: NpmSource, settings: Settings, budget: Budget) -> str:
    """Give the version that a source means now, without fetching it.

    Raises:
        BuildError: There is no such package or version, or the registry does not answer.
        BuildCancelled: The budget says so.
    """
    _check(source)
    client = Client(settings.npm_registry, settings.build_ca_file, budget)
    return _release(source, _document(source, settings, client)).version


def fetch(source: NpmSource, settings: Settings, folder: Path, budget: Budget, command: Sequence[str]) -> Checkout:
    """Put a package into ``folder``, which must be empty.

    Raises:
        BuildError: There is no such package or version, it is too large, not what was announced, or no MCP server.
        BuildCancelled: The budget says so.
    """
    _check(source)
    client = Client(settings.npm_registry, settings.build_ca_file, budget)
    release = _release(source, _document(source, settings, client))
    packed = folder / "package.tgz"
    with packed.open("wb") as file:
        try:
            client.save(release.tarball, MAX_ARCHIVE, file, release.digest)
        except NotFoundError as error:
            raise _absent(f"npm has no file for {source.package} {release.version}") from error
    files = folder / "package"
    archive.unpack(packed, files, budget)
    packed.unlink()
    check(files)
    root = folder / "context"
    root.mkdir()
    wanted = {"name": "mcp-server-image", "private": True, "dependencies": {source.package: release.version}}
    (root / "package.json").write_text(json.dumps(wanted))
    return Checkout(
        root=root,
        commit=release.version,
        committed=release.published + MARGIN,
        warnings=release.warnings,
        package=_candidate(source.package, release.version, files, command),
        files=files,
    )


def _check(source: NpmSource) -> None:
    if not _NAME.match(source.package):
        raise BuildError(
            Reason.INVALID_SOURCE,
            f"{redact.line(source.package)!r} is not the name of an npm package",
            step=Step.FETCH,
            hint="Give a name such as @scope/name, and the version apart from it.",
        )


def _document(source: NpmSource, settings: Settings, client: Client) -> dict[str, Any]:
    url = f"{settings.npm_registry.rstrip('/')}/{quote(source.package, safe='@')}"
    try:
        document = json.loads(client.get(url, MAX_DOCUMENT, "application/json"))
    except NotFoundError as error:
        raise _absent(f"npm has no package {source.package}") from error
    except (ValueError, RecursionError) as error:
        raise _wrong(url) from error
    if not isinstance(document, dict) or not isinstance(document.get("versions"), dict):
        raise _wrong(url)
    return document


def _release(source: NpmSource, document: dict[str, Any]) -> _Release:
    tags = document.get("dist-tags")
    versions = document["versions"]
    asked = source.version or "latest"
    version = tags.get(asked, asked) if isinstance(tags, dict) else asked
    entry = versions.get(version)
    if not isinstance(entry, dict) or not isinstance(version, str) or not _VERSION.match(version):
        known = ", ".join([*versions][-5:])
        raise _absent(f"{source.package} has no version {redact.line(asked)}; the last ones are {redact.line(known)}")
    tarball, digest = _archive(source.package, entry)
    times = document.get("time")
    deprecated = entry.get("deprecated")
    return _Release(
        version=version,
        tarball=tarball,
        digest=digest,
        published=_time(times.get(version) if isinstance(times, dict) else None),
        warnings=(f"the author has deprecated it: {redact.line(str(deprecated))}",) if deprecated else (),
    )


def _archive(package: str, entry: dict[str, Any]) -> tuple[str, str]:
    """Give where a version's archive is, and its digest."""
    dist = entry.get("dist")
    if not isinstance(dist, dict) or not isinstance(dist.get("tarball"), str):
        raise _wrong(package)
    return dist["tarball"], str(dist.get("integrity") or f"sha1={dist.get('shasum', '')}")


def _time(text: object) -> datetime:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return datetime.now(UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _candidate(package: str, version: str, files: Path, command: Sequence[str]) -> Candidate:
    """Look at a package as at a repository, and say how what npm installs of it is started."""
    for name in _NOT_INSTALLED:
        (files / name).unlink(missing_ok=True)
    shutil.rmtree(files / "node_modules", ignore_errors=True)  # bundled; not the package's own code
    found = detect(Tree(files), ".", "node", command)
    installed = f"{APP}/node_modules/{package}"
    words = found.command
    if not command:
        words = tuple(f"{installed}/{word.removeprefix(f'{APP}/')}" if _below(word) else word for word in found.command)
    engines = found.facts.engines if isinstance(found.facts, NodeFacts) else ""
    return dataclasses.replace(
        found,
        folder=".",
        root=".",
        command=words,
        evidence=(f"npm package {package} {version}", *found.evidence),
        facts=NodeFacts(
            manager="npm",
            locked=False,
            manifests=("package.json",),
            workspaces=False,
            rebuild=None,
            script="",
            target="",
            engines=engines,
        ),
    )


def _below(word: str) -> bool:
    return word.startswith(f"{APP}/")


def _absent(message: str) -> BuildError:
    return BuildError(
        Reason.REF_NOT_FOUND,
        message,
        step=Step.FETCH,
        hint="Check name and version; without a version the newest release is taken.",
    )


def _wrong(what: str) -> BuildError:
    return BuildError(
        Reason.FETCH_FAILED,
        f"npm's registry does not describe {redact.line(what)} as it should",
        step=Step.FETCH,
        hint="Check the setting TOOLMAN_NPM_REGISTRY.",
    )

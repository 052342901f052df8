"""Node programs for the tests: what a committed lock file names, installed once below the lab's cache."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lab import commands, npm, progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.settings import Settings

INSTALL_SECONDS = 600.0
MANIFESTS = ("package.json", "package-lock.json")


def node(settings: Settings) -> Path:
    """Give the executable of the pinned Node, fetched if it is not there.

    Raises:
        LabError: It cannot be fetched, or there is none for this machine.
    """
    with _alone(settings):
        return _program(settings, npm.node()) / "bin" / "node"


def install(settings: Settings, project: Path) -> Path:
    """Install what a project's lock file names, without running any of its scripts; give its ``node_modules``.

    Args:
        settings: Says where the cache is and whom to trust.
        project: Folder with a ``package.json`` and a ``package-lock.json``.

    Raises:
        LabError: It cannot be installed.
    """
    manifests = {name: (project / name).read_bytes() for name in MANIFESTS}
    parts = [npm.node().integrity.encode(), npm.NPM.integrity.encode(), *manifests.values()]
    target = settings.folder("npm") / hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    with _alone(settings):
        if not target.exists():
            with (
                progress.step(f"installing {json.loads(manifests[MANIFESTS[0]])['name']} with npm, once"),
                _draft(settings) as draft,
            ):
                for name, content in manifests.items():
                    (draft / name).write_bytes(content)
                _ci(settings, draft)
                draft.rename(target)
    return target / "node_modules"


def _ci(settings: Settings, folder: Path) -> None:
    program = _program(settings, npm.node()) / "bin" / "node"
    script = _program(settings, npm.NPM) / "bin" / "npm-cli.js"
    trust = {"NODE_EXTRA_CA_CERTS": str(settings.ca_file)} if settings.ca_file else {}
    commands.run(
        *(str(program), str(script), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"),
        *("--cache", str(folder.parent / "npm-cache")),
        *("--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"),
        cwd=folder,
        timeout=INSTALL_SECONDS,
        env={**os.environ, **trust, "PATH": f"{program.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"},
    )


def _program(settings: Settings, package: npm.Package) -> Path:
    target = settings.folder("npm") / f"{package.name}-{package.version}"
    if not target.exists():
        with progress.step(f"fetching {package.name} {package.version}, once"), _draft(settings) as draft:
            npm.unpack(package, draft, settings.ca_file).rename(target)
    return target


@contextlib.contextmanager
def _draft(settings: Settings) -> Iterator[Path]:
    """Give a folder beside the finished ones; what is in it when the block ends or fails is removed."""
    with tempfile.TemporaryDirectory(dir=settings.folder("npm"), ignore_cleanup_errors=True) as folder:
        draft = Path(folder) / "draft"
        draft.mkdir()
        yield draft


@contextlib.contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Let one process at a time install; its lock is not the lab's, which is held while a cluster starts."""
    with (settings.folder("npm") / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

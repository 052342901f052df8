"""Python programs for benchmarks and tests: exact versions from PyPI, each set in an environment of its own."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lab import commands, progress
from lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.settings import Settings

INSTALL_SECONDS = 600.0


def install(settings: Settings, *requirements: str, any_version_of: tuple[str, ...] = ()) -> Path:
    """Install packages below the lab's cache, once; give the folder of their programs.

    Args:
        settings: Says where the cache is and whom to trust.
        requirements: As ``name==version``.
        any_version_of: Packages whose version does not matter, whatever those above ask for.

    Raises:
        LabError: They cannot be installed.
    """
    key = hashlib.sha256("\0".join([sys.version, *requirements, "", *any_version_of]).encode()).hexdigest()[:16]
    target = settings.folder("python") / key
    done = target / "done"
    with _alone(settings):
        if not done.exists():
            with progress.step(f"installing {' '.join(requirements)} from PyPI, once"):
                _fill(settings, target, requirements, any_version_of)
            done.touch()
    return target / "bin"


def _fill(settings: Settings, target: Path, requirements: tuple[str, ...], any_version_of: tuple[str, ...]) -> None:
    uv = _uv(settings)
    trust = {"SSL_CERT_FILE": str(settings.ca_file)} if settings.ca_file else {}
    environ = {**os.environ, **trust, "VIRTUAL_ENV": str(target)}
    commands.run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(target), env=environ)
    overrides = target / "overrides.txt"
    overrides.write_text("\n".join(any_version_of))
    commands.run(
        *(uv, "pip", "install", "--quiet", "--overrides", str(overrides), *requirements),
        env=environ,
        timeout=INSTALL_SECONDS,
    )


def _uv(settings: Settings) -> str:
    found = shutil.which("uv") or settings.cache / "uv" / "bin" / "uv"  # where scripts/install puts it
    if not Path(found).exists():
        raise LabError("uv is not there: scripts/install gets it, or install it")
    return str(found)


@contextlib.contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    with (settings.folder("python") / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

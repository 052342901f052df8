"""Registries of a test's own, beside the lab's: with passwords, with tokens, with TLS, on a disk of its choice."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab import packages
from lab.errors import LabError
from lab.processes import poll

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from lab.pki import Authority

USER = "builder"
PASSWORD = "correct horse"
HTPASSWD = f"{USER}:$2y$04$x7VuYA61Ku0WqBGe0rnsUOArXtWrRO6Wx5dpypI/f9Xr770Yw6776\n"
"""The password above, by bcrypt, which is all that the registry takes."""
START_SECONDS = 20.0
STOP_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is special about a registry.

    Attributes:
        address: Where it listens. Docker checks no certificate on 127.0.0.1, and speaks no plain HTTP elsewhere.
        password: Whether it wants :data:`USER` and :data:`PASSWORD`.
        token: Its ``auth.token`` configuration.
        authority: Issues its certificate; without, it speaks plain HTTP.
        data: Its storage; without, a folder beside its configuration.
    """

    address: str = "127.0.0.1"
    password: bool = False
    token: Mapping[str, str] = field(default_factory=dict)
    authority: Authority | None = None
    data: Path | None = None


@dataclass(frozen=True)
class Registry:
    """One that runs: its address as an image's name begins, and its process."""

    location: str
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """End it in the middle of whatever it does."""
        self.process.kill()
        self.process.wait(STOP_SECONDS)


@contextlib.contextmanager
def running(folder: Path, options: Options | None = None) -> Iterator[Registry]:
    """Run a registry for the time of the block.

    Raises:
        LabError: It cannot be had, or does not start.
    """
    chosen = options or Options()
    packages.ensure(packages.REGISTRY, "a registry")
    folder.mkdir(parents=True, exist_ok=True)
    location = f"{chosen.address}:{_free_port(chosen.address)}"
    path = folder / "config.yml"
    path.write_text(json.dumps(_configuration(folder, location, chosen)))  # JSON is YAML
    program = packages.which("docker-registry") or "docker-registry"
    log = folder / "log"
    with log.open("ab") as file, subprocess.Popen([program, "serve", str(path)], stdout=file, stderr=file) as process:
        try:
            if not poll(lambda: process.poll() is not None or _listens(location), START_SECONDS) or process.poll():
                raise LabError(f"the registry does not start: {log.read_text()[-300:]}")
            yield Registry(location, process)
        finally:
            process.kill()


def _configuration(folder: Path, location: str, options: Options) -> dict[str, Any]:
    http: dict[str, Any] = {"addr": location, "secret": secrets.token_hex(16)}
    if options.authority:
        options.authority.server("registry", "/CN=registry", [f"IP:{options.address}"])
        keys = options.authority.folder
        http["tls"] = {"certificate": str(keys / "registry.crt"), "key": str(keys / "registry.key")}
    auth: dict[str, Any] = {"token": dict(options.token)} if options.token else {}
    if options.password:
        (folder / "htpasswd").write_text(HTPASSWD)
        auth = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
    return {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(options.data or folder / "data")}},
        "http": http,
        **({"auth": auth} if auth else {}),
    }


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def _listens(location: str) -> bool:
    host, _, port = location.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return True
    except OSError:
        return False

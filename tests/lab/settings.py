"""What a person may choose, and where the lab keeps its things."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Mapping

SYSTEM_CA_FILE = Path("/etc/ssl/certs/ca-certificates.crt")
SOCKET_PATH_MAX = 60
"""A unix socket's path may have 107 characters; the kubelet and containerd add up to 45 to the folder's."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The choices of one run.

    Attributes:
        cache: Everything that the lab writes is below it, but for network devices, cgroups and Debian's packages.
        kubeconfig: A cluster to use (``TOOLMAN_KUBECONFIG``) instead of one of our own.
        registry: A registry to use (``TOOLMAN_REGISTRY``), as the engine and the nodes name it.
        base_images: Base images to use, by kind (``python``, ``node``, ``debian``; ``TOOLMAN_BASE_<KIND>``).
        ca_file: Certificate authorities that this machine trusts (``TOOLMAN_CA_FILE``); None if there is no such file.
        docker_host: The engine's address, if the person set one.
        engine_socket: The engine's socket as a node sees it (``TOOLMAN_ENGINE_SOCKET``), if it is not the usual one.
        node_address: An address of this machine that containers and Pods reach (``TOOLMAN_NODE_ADDRESS``).
    """

    cache: Path
    kubeconfig: Path | None = None
    registry: str | None = None
    base_images: Mapping[str, str]
    ca_file: Path | None = None
    docker_host: str | None = None
    engine_socket: str | None = None
    node_address: str | None = None

    @property
    def programs(self) -> Path:
        """Where compiled programs are kept; costly to make, so only ``down --purge`` removes them."""
        return self.cache / "bin"

    @property
    def record(self) -> Path:
        """What the last ``up`` found or started."""
        return self.cache / "lab.json"

    def folder(self, part: str) -> Path:
        """Give the folder of one part of the lab, made if it is not there."""
        path = self.cache / part
        path.mkdir(parents=True, exist_ok=True)
        return path


def from_environment(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings.

    Raises:
        LabError: They contradict each other, or the cache folder's name is too long for sockets.
    """
    kubeconfig = environ.get("TOOLMAN_KUBECONFIG")
    if kubeconfig and not environ.get("TOOLMAN_REGISTRY"):
        raise LabError("TOOLMAN_KUBECONFIG is set: set TOOLMAN_REGISTRY too, to a registry that its nodes pull from")
    kinds = ("python", "node", "debian")
    given = {kind: environ.get(f"TOOLMAN_BASE_{kind.upper()}") for kind in kinds}
    return Settings(
        cache=_cache(environ),
        kubeconfig=Path(kubeconfig) if kubeconfig else None,
        registry=environ.get("TOOLMAN_REGISTRY") or None,
        base_images={kind: image for kind, image in given.items() if image},
        ca_file=_ca_file(environ),
        docker_host=environ.get("DOCKER_HOST") or None,
        engine_socket=environ.get("TOOLMAN_ENGINE_SOCKET") or None,
        node_address=environ.get("TOOLMAN_NODE_ADDRESS") or None,
    )


def _cache(environ: Mapping[str, str]) -> Path:
    home = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME") or "~").expanduser() / ".cache")
    cache = Path(home) / "toolman"
    if len(str(cache)) > SOCKET_PATH_MAX:
        raise LabError(f"{cache} is too long a name for unix sockets: set XDG_CACHE_HOME to a shorter folder")
    return cache


def _ca_file(environ: Mapping[str, str]) -> Path | None:
    given = environ.get("TOOLMAN_CA_FILE")
    if given:
        if not Path(given).is_file():
            raise LabError(f"TOOLMAN_CA_FILE={given} is not a file")
        return Path(given)
    for candidate in (environ.get("SSL_CERT_FILE"), SYSTEM_CA_FILE):
        if candidate and Path(candidate).is_file():
            return Path(candidate)
    return None

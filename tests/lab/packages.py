"""Debian's packages, installed when a file of theirs is missing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from lab import commands, progress
from lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Mapping

APT_SECONDS = 900.0
"""A slow mirror and a slow disk; nothing hangs for good."""

ENGINE = {"dockerd": "docker.io", "iptables": "iptables", "docker": "docker.io"}
REGISTRY = {"docker-registry": "docker-registry"}
TESTS = {"busybox": "busybox-static", "git": "git", "redis-server": "redis-server", "sshd": "openssh-server"}
"""What tests and the demo use besides: the spawner's shell, git servers over HTTP and ssh, a store of sessions."""
BASES = {"mmdebstrap": "mmdebstrap"}
CLUSTER = {
    "containerd": "containerd",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "openssl": "openssl",
    "socat": "socat",
    "mount": "mount",
}
"""What must be there (a command or a path), and the package that brings it."""


def present(probe: str) -> bool:
    """Say whether a command is on PATH, or a path is there."""
    return Path(probe).exists() if probe.startswith("/") else which(probe) is not None


def which(command: str) -> str | None:
    """Find a command, in the folders for administrators too."""
    return shutil.which(command, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin")))


def installable() -> bool:
    """Say whether we could install packages here."""
    return os.geteuid() == 0 and which("apt-get") is not None


def ensure(needs: Mapping[str, str], purpose: str) -> None:
    """Install what is missing.

    Raises:
        LabError: Something is missing and cannot be installed.
    """
    missing = sorted({package for probe, package in needs.items() if not present(probe)})
    if not missing:
        return
    if not installable():
        raise LabError(f"{purpose} needs {' '.join(missing)}: install them, or run as root on Debian 12")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with progress.step(f"installing {' '.join(missing)}"):
        commands.run("apt-get", "update", "-qq", timeout=APT_SECONDS, env=env)
        install = ("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing)
        commands.run(*install, timeout=APT_SECONDS, env=env)

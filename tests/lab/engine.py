"""The Docker Engine: the one that answers, or Debian's, started by us."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from lab import commands, kernel, packages, progress
from lab.errors import LabError
from lab.processes import Processes, end, using

if TYPE_CHECKING:
    from lab.settings import Settings

DEFAULT_SOCKET = "/var/run/docker.sock"
START_SECONDS = 60.0
STOP_SECONDS = 30.0
"""The engine gives containers ten seconds to end."""
ANSWER_SECONDS = 15.0
LEFT_BEHIND_SECONDS = 5.0
DAEMONS = ("dockerd", "containerd", "containerd-shim-runc-v2")
CHAINS = ("DOCKER",)
BRIDGE = "docker0"


def docker(*argv: str, stdin: bytes | None = None, timeout: float = commands.TIMEOUT_SECONDS) -> str:
    """Run a docker command and return its output."""
    return commands.run("docker", *argv, stdin=stdin, timeout=timeout)


def answers() -> bool:
    """Say whether the engine that docker commands go to answers."""
    return commands.succeeds("docker", "version", "--format", "{{.Server.Version}}", timeout=ANSWER_SECONDS)


def running(settings: Settings) -> bool:
    """Say whether an engine of our own runs, or what is left of one whose daemon died."""
    return _processes(settings).pid("dockerd") is not None or bool(using(settings.cache / "engine", DAEMONS))


def up(settings: Settings) -> None:
    """Find an engine or start one.

    Raises:
        LabError: There is none and it cannot be started here.
    """
    if answers():
        return
    if settings.docker_host:
        raise LabError(
            f"no Docker Engine answers at DOCKER_HOST={settings.docker_host}: start it, or unset DOCKER_HOST"
        )
    if os.geteuid() != 0:
        raise LabError("no Docker Engine answers: start Docker, or run as root on Debian 12 to have one started")
    packages.ensure(packages.ENGINE, "the Docker Engine")
    if answers():  # the package's installation started its service
        return
    with progress.step("starting the Docker Engine"):
        _start(settings)


def _start(settings: Settings) -> None:
    folder = settings.folder("engine")
    before = folder / "before.json"
    if not before.exists():
        before.write_text(json.dumps(kernel.forwarding()))
    processes = _processes(settings)
    for name, daemon in (("dockerd.pid", "dockerd"), ("exec/containerd/containerd.pid", "containerd")):
        if not using(folder, (daemon,)):  # its number may be another process's by now, and dockerd would believe it
            (folder / name).unlink(missing_ok=True)
    dockerd = packages.which("dockerd") or "dockerd"
    processes.start(
        "dockerd",
        dockerd,
        *("--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")),
        *("--pidfile", str(folder / "dockerd.pid"), "--host", f"unix://{DEFAULT_SOCKET}"),
    )
    processes.wait("dockerd", answers, START_SECONDS)


def socket(settings: Settings) -> str:
    """Give the engine's socket as a node sees it."""
    if settings.engine_socket:
        return settings.engine_socket
    host = settings.docker_host or f"unix://{DEFAULT_SOCKET}"
    return host.removeprefix("unix://") if host.startswith("unix://") else DEFAULT_SOCKET


def bridge_address() -> str:
    """Give this machine's address on the engine's default bridge."""
    template = "{{(index .IPAM.Config 0).Gateway}}"
    address = docker("network", "inspect", "bridge", "--format", template).strip()
    if address:
        return address
    subnet = docker("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Subnet}}").strip()
    return subnet.partition("/")[0].rpartition(".")[0] + ".1"  # the engine takes the first one, and may not say so


def down(settings: Settings) -> None:
    """End the engine, if it is ours, with its containers and its traces in the network."""
    if not running(settings):
        return
    processes = _processes(settings)
    with progress.step("ending the Docker Engine"):
        _remove_containers()
        processes.stop("dockerd", seconds=STOP_SECONDS)
        folder = settings.folder("engine")
        end(folder, DAEMONS, LEFT_BEHIND_SECONDS)
        kernel.unmount(folder)
        kernel.remove_link(BRIDGE)
        kernel.remove_chains(CHAINS)
        kernel.remove_rules(BRIDGE)
        kernel.remove_cgroups("docker")
        before = folder / "before.json"
        if before.exists():
            kernel.restore_forwarding(json.loads(before.read_text()))
            before.unlink()
        Path(DEFAULT_SOCKET).unlink(missing_ok=True)


def _remove_containers() -> None:
    ids = commands.attempt("docker", "ps", "-aq").stdout.split()
    if ids:
        commands.attempt("docker", "rm", "-f", *ids)
    networks = commands.attempt("docker", "network", "ls", "-q", "--filter", "type=custom").stdout.split()
    if networks:
        commands.attempt("docker", "network", "rm", *networks)


def _processes(settings: Settings) -> Processes:
    return Processes(settings.cache / "engine")

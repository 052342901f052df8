"""The registry: the one given, Debian's on a port of this machine, or a container of the usual image."""

from __future__ import annotations

import http
import json
import secrets
import shutil
import socket
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from lab import commands, engine, packages, progress
from lab.errors import LabError
from lab.processes import Processes, poll

if TYPE_CHECKING:
    from lab.settings import Settings

HOST = "127.0.0.1"
"""The engine speaks plain HTTP with registries on this address, and with no other unless told."""
FIRST_PORT = 5000
CONTAINER = "toolman-registry"
PORT_INSIDE = 5000
"""Where the registry listens in its container."""
IMAGE = "registry:2"
START_SECONDS = 20.0
STOP_SECONDS = 10.0
PULL_SECONDS = 120.0
ANSWER_SECONDS = 5.0


def answers(address: str) -> bool:
    """Say whether a registry answers there over HTTP, with or without asking for credentials."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{address}/v2/", timeout=ANSWER_SECONDS):
            return True
    except urllib.error.HTTPError as error:
        return error.code == http.HTTPStatus.UNAUTHORIZED
    except OSError:
        return False


def free_port() -> int:
    """Give the usual port, or one that nobody listens on."""
    for port in (FIRST_PORT, 0):
        with socket.socket() as probe:
            try:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise LabError(f"no free port on {HOST} for a registry")


def up(settings: Settings, *, container: bool) -> str:
    """Find a registry or start one; give its address as the engine names it.

    Args:
        settings: Where, and whether one is given.
        container: Prefer a container: nodes that are containers themselves reach it by its name.

    Raises:
        LabError: None can be started here.
    """
    if settings.registry:
        return settings.registry
    known = address(settings)
    if known:
        return known
    with progress.step("starting a registry"):
        if container or not (packages.present("docker-registry") or packages.installable()):
            return _start_container(settings)
        return _start(settings)


def address(settings: Settings) -> str | None:
    """Give the address of a registry of our own that runs."""
    if _processes(settings).pid("registry"):
        return (settings.folder("registry") / "address").read_text().strip()
    state = commands.attempt("docker", "inspect", "--format", "{{json .}}", CONTAINER)
    if state.returncode != 0:
        return None
    inspected = json.loads(state.stdout)
    bindings = (inspected["NetworkSettings"]["Ports"] or {}).get(f"{PORT_INSIDE}/tcp") or []
    return f"{HOST}:{bindings[0]['HostPort']}" if inspected["State"]["Running"] and bindings else None


def running(settings: Settings) -> bool:
    """Say whether a registry of our own runs."""
    return address(settings) is not None


def _start(settings: Settings) -> str:
    packages.ensure(packages.REGISTRY, "the registry")
    folder = settings.folder("registry")
    processes = _processes(settings)
    location = f"{HOST}:{free_port()}"
    configuration = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": {"addr": location, "secret": secrets.token_hex(16)},
    }
    (folder / "config.yml").write_text(json.dumps(configuration))  # JSON is YAML
    (folder / "address").write_text(location)
    program = packages.which("docker-registry") or "docker-registry"
    processes.start("registry", program, "serve", str(folder / "config.yml"))
    processes.wait("registry", lambda: answers(location), START_SECONDS)
    return location


def _start_container(settings: Settings) -> str:
    if not commands.succeeds("docker", "image", "inspect", IMAGE):
        pulled = commands.attempt("docker", "pull", "--quiet", IMAGE, timeout=PULL_SECONDS)
        if pulled.returncode != 0:
            raise LabError(f"{IMAGE} cannot be pulled: set TOOLMAN_REGISTRY to a registry that the cluster pulls from")
    commands.attempt("docker", "rm", "-f", CONTAINER)
    location = f"{HOST}:{free_port()}"
    settings.folder("registry")
    variables = ("--env", "REGISTRY_STORAGE_DELETE_ENABLED=true")
    engine.docker("run", "-d", "--name", CONTAINER, "--publish", f"{location}:{PORT_INSIDE}", *variables, IMAGE)
    if not poll(lambda: answers(location), START_SECONDS):
        raise LabError(f"the registry does not answer at {location}: see docker logs {CONTAINER}")
    return location


def down(settings: Settings) -> None:
    """End the registry, if it is ours."""
    processes = _processes(settings)
    if processes.pid("registry"):
        processes.stop("registry", seconds=STOP_SECONDS)
    elif engine.answers():
        commands.attempt("docker", "rm", "-f", "-v", CONTAINER)


def purge(settings: Settings) -> None:
    """Remove the images that were pushed."""
    shutil.rmtree(settings.cache / "registry", ignore_errors=True)


def _processes(settings: Settings) -> Processes:
    return Processes(settings.cache / "registry")

"""A cluster made by kind, where a person has it: under a name of our own, never in the person's kubeconfig."""

from __future__ import annotations

import ipaddress
import json
import sys
from typing import TYPE_CHECKING

from lab import commands, packages, progress, registry
from lab.engine import DEFAULT_SOCKET, docker
from lab.errors import LabError

if TYPE_CHECKING:
    from pathlib import Path

    from lab.settings import Settings

NAME = "toolman-lab"
NETWORK = "kind"
CREATE_SECONDS = 900.0
"""The node's image has about a gigabyte."""
DESKTOP_HOST = "host.docker.internal"
"""The machine itself, as containers of an engine in a virtual machine know it."""

REGISTRY_FOLDER = """\
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "/etc/containerd/certs.d"
"""
"""Newer node images have this setting already."""


def present() -> bool:
    """Say whether kind is on PATH."""
    return packages.present("kind")


def running() -> bool:
    """Say whether our cluster is there."""
    return present() and NAME in commands.attempt("kind", "get", "clusters").stdout.split()


def up(settings: Settings, registry_address: str) -> Path:
    """Create the cluster unless it is there; give its kubeconfig.

    Raises:
        LabError: kind failed.
    """
    folder = settings.folder("kind")
    kubeconfig = folder / "kubeconfig"
    if running():
        kubeconfig.write_text(commands.run("kind", "get", "kubeconfig", "--name", NAME))
    else:
        config = folder / "config.json"
        config.write_text(json.dumps(_configuration(settings)))
        arguments = ("--name", NAME, "--kubeconfig", str(kubeconfig), "--config", str(config), "--wait", "180s")
        with progress.step("creating a kind cluster"):
            commands.run("kind", "create", "cluster", *arguments, timeout=CREATE_SECONDS)
    kubeconfig.chmod(0o600)
    if registry_address == registry.address(settings):
        _connect_registry(registry_address)
    return kubeconfig


def node_address() -> str:
    """Give this machine's address as the nodes, the Pods and other containers reach it.

    Raises:
        LabError: kind's network has no IPv4 gateway.
    """
    if sys.platform != "linux":
        return DESKTOP_HOST
    settings = json.loads(docker("network", "inspect", NETWORK, "--format", "{{json .IPAM.Config}}"))
    for entry in settings:
        gateway = entry.get("Gateway", "")
        if gateway and ipaddress.ip_address(gateway).version == 4:
            return str(gateway)
    raise LabError(f"the engine's network {NETWORK} has no IPv4 gateway: set TOOLMAN_NODE_ADDRESS")


def down(settings: Settings) -> None:
    """Delete our cluster."""
    if running():
        with progress.step("deleting the kind cluster"):
            kubeconfig = settings.folder("kind") / "kubeconfig"
            commands.run("kind", "delete", "cluster", "--name", NAME, "--kubeconfig", str(kubeconfig))


def _configuration(settings: Settings) -> dict[str, object]:
    socket = settings.engine_socket or DEFAULT_SOCKET
    node = {"role": "control-plane", "extraMounts": [{"hostPath": socket, "containerPath": socket}]}
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "containerdConfigPatches": [REGISTRY_FOLDER],
        "nodes": [node],
    }


def _connect_registry(address: str) -> None:
    """Let the nodes pull from the registry by the name that the engine pushes to."""
    commands.attempt("docker", "network", "connect", NETWORK, registry.CONTAINER)
    folder = f"/etc/containerd/certs.d/{address}"
    hosts = f'[host."http://{registry.CONTAINER}:{registry.PORT_INSIDE}"]\n'
    for node in commands.run("kind", "get", "nodes", "--name", NAME).split():
        docker("exec", node, "mkdir", "-p", folder)
        docker("exec", "-i", node, "cp", "/dev/stdin", f"{folder}/hosts.toml", stdin=hosts.encode())

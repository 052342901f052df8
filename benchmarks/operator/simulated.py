"""A simulated cluster: kwok plays the kubelets of nodes that are not there, and a scheduler gives them Pods."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lab import programs
from lab.control_plane import FAST_CLIENT
from mcp_operator import access
from mcp_operator.access import Access, Resource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.settings import Settings
    from mcp_operator.cluster import Manifest
    from mcp_operator.kube import Requests
    from spare_apiserver import SpareApiServer

MODULE = Path(__file__).parent / "kwok"
SOURCE = "sigs.k8s.io/kwok"
STAGES = ("node/fast", "node/heartbeat-with-lease", "pod/fast")
"""What kwok makes of nodes and Pods; those that its own kwokctl takes unless told otherwise."""
LEASE_SECONDS = 40
"""As kubelets have them."""
POD_NETWORK = "127.64.0.0/16"
"""Addresses of this machine's own: whoever asks a Pod asks :mod:`toolmans`."""
PODS_PER_NODE = 110
"""As kubelets have them."""
NAMES = ("kwok", "kube-scheduler")
READY_SECONDS = 120.0
"""Two on an idle machine."""
NODES = Resource(plural="nodes")
CREATE_NODE = Access(verb="create", resource=NODES)
PATCH_NODE = Access(verb="patch", resource=NODES, content=access.MERGE_PATCH)
LIST_NODES = Access(verb="list", resource=NODES)


def start(settings: Settings, api: SpareApiServer) -> None:
    """Start kwok and the scheduler, and compile kwok before if that has not been done; they end with the API server."""
    kwok = programs.compile_pinned(MODULE, settings.folder("benchmark") / "kwok", f"{SOURCE}/cmd/kwok")
    stages = [word for path in _stages() for word in ("--config", str(path))]
    config = str(api.kubeconfig)
    api.processes.start(
        "kwok",
        str(kwok),
        *("--kubeconfig", config, "--manage-all-nodes", "--cidr", POD_NETWORK, *stages),
        *("--node-lease-duration-seconds", str(LEASE_SECONDS), "--v", "WARN"),
    )
    api.processes.start(
        "kube-scheduler",
        str(settings.programs / "kube-scheduler"),
        *("--kubeconfig", config, "--authentication-kubeconfig", config, "--authorization-kubeconfig", config),
        *("--secure-port", "0", "--leader-elect=false", *FAST_CLIENT),
    )


def add_nodes(api: SpareApiServer, requests: Requests, pods: int) -> None:
    """Make nodes for so many Pods and for a fifth more, and wait until they are ready.

    Raises:
        LabError: kwok has ended, or they are not ready in time.
    """
    for number in range(pods * 6 // 5 // PODS_PER_NODE + 1):
        name = f"node-{number}"
        room = {"cpu": "64", "memory": "256Gi", "pods": str(PODS_PER_NODE)}
        body = {"metadata": {"name": name}, "status": {"capacity": room, "allocatable": room}}
        requests(CREATE_NODE, body=body)
        # The API server has every new node be avoided, and the controller that ends that is not here.
        requests(PATCH_NODE, name=name, body={"spec": {"taints": None}})
    api.processes.wait("kwok", lambda: all(map(_is_ready, requests(LIST_NODES)["items"])), READY_SECONDS)


def _is_ready(node: Manifest) -> bool:
    listed = (node.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in listed)


def _stages() -> Iterator[Path]:
    folder = programs.source(MODULE, SOURCE) / "kustomize" / "stage"
    for kind in STAGES:
        yield from (path for path in sorted((folder / kind).glob("*.yaml")) if path.name != "kustomization.yaml")

"""Where the parts of our own cluster listen and keep their files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.pki import Authority

if TYPE_CHECKING:
    from pathlib import Path

API_PORT = 17443
ETCD_PORT = 17379
"""Ports that another cluster on this machine would not choose."""
POD_NETWORK = "10.244.0.0/16"
SERVICE_NETWORK = "10.96.0.0/16"
SERVICE_API_ADDRESS = "10.96.0.1"
NODE = "lab-node"
DNS_DOMAIN = "cluster.local"
BRIDGE = "toolman0"


@dataclass(frozen=True)
class Layout:
    """One cluster.

    Attributes:
        state: Folder of everything that it writes.
        programs: Folder of its executables.
        address: This machine's address that containers of the engine and Pods reach.
        registry: From which the nodes pull.
    """

    state: Path
    programs: Path
    address: str
    registry: str

    @property
    def authority(self) -> Authority:
        """Who signs the certificates."""
        return Authority(self.state / "pki")

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://{self.address}:{API_PORT}"

    @property
    def admin(self) -> Path:
        """Kubeconfig of the person."""
        return self.state / "admin.kubeconfig"

    @property
    def runtime_socket(self) -> Path:
        """Where containerd listens."""
        return self.state / "containerd" / "c.sock"

    @property
    def pause_image(self) -> str:
        """Image of the Pods' sandboxes."""
        return f"{self.registry}/lab/pause:1"

    def program(self, name: str) -> str:
        """Give the path of an executable."""
        return str(self.programs / name)

    def write(self, name: str, text: str) -> Path:
        """Write a file of the state, unless it says that already: kube-proxy ends when its file is touched."""
        path = self.state / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
        return path

    def kubeconfig(self, name: str) -> str:
        """Give the path of a component's kubeconfig."""
        return str(self.state / f"{name}.kubeconfig")

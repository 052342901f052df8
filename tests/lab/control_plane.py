"""The control plane of our own cluster: certificates, etcd, API server, controllers, scheduler."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lab import layout as places
from lab.pki import ADMINS

if TYPE_CHECKING:
    from lab.api import Api
    from lab.layout import Layout
    from lab.processes import Processes

START_SECONDS = 120.0
"""Three seconds on an idle machine, ten on a loaded one."""
FAST_CLIENT = ("--kube-api-qps", "500", "--kube-api-burst", "1000")
"""Tests make and delete much at once; the defaults would slow them down."""
NAMES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


def certificates(layout: Layout) -> None:
    """Make the authority, all certificates and the kubeconfigs."""
    authority = layout.authority
    authority.create()
    names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost")
    full = f"kubernetes.default.svc.{places.DNS_DOMAIN}"
    addresses = ("127.0.0.1", layout.address, places.SERVICE_API_ADDRESS)
    hosts = [f"DNS:{name}" for name in (*names, full)] + [f"IP:{address}" for address in addresses]
    authority.server("apiserver", "/CN=kube-apiserver", hosts)
    node_hosts = (f"DNS:{places.NODE}", f"IP:{layout.address}")
    authority.server("kubelet-server", f"/O=system:nodes/CN=system:node:{places.NODE}", node_hosts)
    authority.client("kubelet-client", "kube-apiserver-kubelet-client", ADMINS)
    authority.client("front-proxy", "front-proxy")
    users = {
        "admin": ("admin", ADMINS),
        "kube-controller-manager": ("system:kube-controller-manager", ""),
        "kube-scheduler": ("system:kube-scheduler", ""),
        "kube-proxy": ("system:kube-proxy", ""),
        "dns": ("lab-dns", ""),
        "kubelet": (f"system:node:{places.NODE}", "system:nodes"),
    }
    for name, (user, group) in users.items():
        authority.client(name, user, group)
        path = Path(layout.kubeconfig(name))
        path.touch(mode=0o600)
        path.write_text(authority.kubeconfig(name, layout.server))


def start(layout: Layout, processes: Processes, api: Api) -> None:
    """Start the control plane and wait for the API server."""
    _start_etcd(layout, processes)
    _start_apiserver(layout, processes)
    processes.wait("kube-apiserver", api.ready, START_SECONDS)
    _start_controllers(layout, processes)
    name = "kube-scheduler"
    config = layout.kubeconfig(name)
    access = ("--kubeconfig", config, "--authentication-kubeconfig", config, "--authorization-kubeconfig", config)
    local = ("--bind-address", "127.0.0.1", "--leader-elect=false")
    processes.start(name, layout.program(name), *access, *local, *FAST_CLIENT)


def _start_etcd(layout: Layout, processes: Processes) -> None:
    client = f"http://127.0.0.1:{places.ETCD_PORT}"
    peer = f"http://127.0.0.1:{places.ETCD_PORT + 1}"
    processes.start(
        "etcd",
        layout.program("etcd"),
        *("--name", "lab", "--data-dir", str(layout.state / "etcd"), "--log-level", "warn", "--unsafe-no-fsync"),
        *("--listen-client-urls", client, "--advertise-client-urls", client),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"lab={peer}"),
    )


def _start_apiserver(layout: Layout, processes: Processes) -> None:
    pki = layout.authority.folder
    processes.start(
        "kube-apiserver",
        layout.program("kube-apiserver"),
        *("--etcd-servers", f"http://127.0.0.1:{places.ETCD_PORT}"),
        *("--bind-address", layout.address, "--secure-port", str(places.API_PORT)),
        *("--advertise-address", layout.address, "--service-cluster-ip-range", places.SERVICE_NETWORK),
        *("--tls-cert-file", f"{pki}/apiserver.crt", "--tls-private-key-file", f"{pki}/apiserver.key"),
        *("--client-ca-file", f"{pki}/ca.crt", "--kubelet-certificate-authority", f"{pki}/ca.crt"),
        *("--kubelet-client-certificate", f"{pki}/kubelet-client.crt"),
        *("--kubelet-client-key", f"{pki}/kubelet-client.key", "--kubelet-preferred-address-types", "InternalIP"),
        *("--service-account-issuer", f"https://kubernetes.default.svc.{places.DNS_DOMAIN}"),
        *("--service-account-key-file", f"{pki}/sa.pub", "--service-account-signing-key-file", f"{pki}/sa.key"),
        *("--authorization-mode", "Node,RBAC", "--enable-admission-plugins", "NodeRestriction", "--allow-privileged"),
        # without these the aggregation of APIs is off, and the scheduler complains every minute
        *("--requestheader-client-ca-file", f"{pki}/ca.crt", "--requestheader-allowed-names", "front-proxy"),
        *("--requestheader-username-headers", "X-Remote-User", "--requestheader-group-headers", "X-Remote-Group"),
        *("--requestheader-extra-headers-prefix", "X-Remote-Extra-"),
        *("--proxy-client-cert-file", f"{pki}/front-proxy.crt", "--proxy-client-key-file", f"{pki}/front-proxy.key"),
    )


def _start_controllers(layout: Layout, processes: Processes) -> None:
    name = "kube-controller-manager"
    pki = layout.authority.folder
    config = layout.kubeconfig(name)
    processes.start(
        name,
        layout.program(name),
        *("--kubeconfig", config, "--authentication-kubeconfig", config, "--authorization-kubeconfig", config),
        *("--bind-address", "127.0.0.1", "--leader-elect=false", *FAST_CLIENT),
        *("--use-service-account-credentials", "--root-ca-file", f"{pki}/ca.crt"),
        *("--service-account-private-key-file", f"{pki}/sa.key", "--service-cluster-ip-range", places.SERVICE_NETWORK),
        *("--cluster-signing-cert-file", f"{pki}/ca.crt", "--cluster-signing-key-file", f"{pki}/ca.key"),
    )

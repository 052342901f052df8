"""A Kubernetes API of a test's own: etcd and kube-apiserver, up in seconds, with nothing but our definitions in it.

It judges, stores, watches and authorizes as any other does. There is no node and no kubelet, so a Pod stays Pending
until a test writes its status. Namespaces and what a deleted owner leaves go only where :meth:`SpareApiServer.collect`
has started the controllers that see to it.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import os
import secrets
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import ports
import pytest
from kubectl import Kubectl
from lab import settings
from lab.pki import ADMINS, Authority
from lab.processes import Processes, poll
from mcp_operator import crds, names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

START_SECONDS = 90.0
"""Five on an idle machine; tests share theirs with builds."""
STOP_SECONDS = 20.0
ADMIN = "admin"
COLLECTORS = "garbage-collector-controller,namespace-controller,serviceaccount-controller"
HOST = "127.0.0.1"
AUDIENCE = "https://kubernetes.default.svc.cluster.local"


class SpareApiServer:
    """One API server, its etcd and, on demand, the controllers that collect what is deleted.

    Args:
        folder: Of everything that it writes; its name is short, since sockets are in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes = Processes(folder)
        self._authority = Authority(folder / "pki")
        self._etcd, self._peer, self._port = (ports.free() for _ in range(3))
        self.url = f"https://{HOST}:{self._port}"
        self.kubeconfig = folder / f"{ADMIN}.kubeconfig"
        self.kubectl = Kubectl(self.kubeconfig, cache=str(folder / "kubectl"))
        """With all rights. ``dataclasses.replace(kubectl, namespace="team")`` gives it for a namespace."""

    def __repr__(self) -> str:
        return f"SpareApiServer({self.url})"

    # --- life

    def start(self) -> None:
        """Start everything and wait until it answers."""
        self._certificates()
        local = f"http://{HOST}:{self._etcd}"
        peer = f"http://{HOST}:{self._peer}"
        self.processes.start(
            "etcd",
            _program("etcd"),
            *("--name", "spare", "--data-dir", str(self.folder / "etcd"), "--log-level", "warn", "--unsafe-no-fsync"),
            *("--listen-client-urls", local, "--advertise-client-urls", local),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"spare={peer}"),
        )
        self.start_api()

    def start_api(self) -> None:
        """Start the API server, on the port that it had before, and wait until it answers."""
        pki = self._authority.folder
        self.processes.start(
            "kube-apiserver",
            _program("kube-apiserver"),
            *("--etcd-servers", f"http://{HOST}:{self._etcd}", "--advertise-address", "192.0.2.1"),
            *("--bind-address", HOST, "--secure-port", str(self._port), "--service-cluster-ip-range", "10.98.0.0/16"),
            *("--tls-cert-file", f"{pki}/apiserver.crt", "--tls-private-key-file", f"{pki}/apiserver.key"),
            *("--client-ca-file", f"{pki}/ca.crt", "--service-account-issuer", AUDIENCE),
            *("--service-account-key-file", f"{pki}/sa.pub", "--service-account-signing-key-file", f"{pki}/sa.key"),
            # A service account is made by a controller that may not run here: Pods shall not wait for it.
            *("--authorization-mode", "RBAC", "--disable-admission-plugins", "ServiceAccount"),
            *("--endpoint-reconciler-type", "none", "--service-account-max-token-expiration", "24h"),
            *("--enable-aggregator-routing=false", "--profiling=false", "--goaway-chance", "0"),
        )
        self.processes.wait("kube-apiserver", self._ready, START_SECONDS)

    def stop_api(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End the API server; etcd keeps what it had."""
        pid = self.processes.pid("kube-apiserver")
        if pid is not None:
            os.kill(pid, number)
        assert poll(lambda: self.processes.pid("kube-apiserver") is None, STOP_SECONDS)

    def forget(self, plural: str, namespace: str, name: str) -> None:
        """Delete one of our objects from etcd, as another API server would, and have this one hear nothing of it.

        The API server must be stopped. Once it is back, it knows nothing of what was before: watches have expired.
        """
        key = "/".join(part for part in ("/registry", names.GROUP, plural, namespace, name) if part)
        request = {"key": base64.b64encode(key.encode()).decode()}
        answer = httpx.post(f"http://{HOST}:{self._etcd}/v3/kv/deleterange", json=request, trust_env=False)
        assert answer.json().get("deleted") == "1", f"{key}: {answer.text}"

    def collect(self, controllers: str = COLLECTORS) -> None:
        """Start controllers, unless some run: those that end namespaces and remove what deleted owners leave."""
        pki = self._authority.folder
        config = str(self.kubeconfig)
        self.processes.start(
            "kube-controller-manager",
            _program("kube-controller-manager"),
            *("--kubeconfig", config, "--authentication-kubeconfig", config, "--authorization-kubeconfig", config),
            *("--secure-port", "0", "--leader-elect=false", "--controllers", controllers),
            *("--root-ca-file", f"{pki}/ca.crt", "--service-account-private-key-file", f"{pki}/sa.key"),
            *("--kube-api-qps", "500", "--kube-api-burst", "1000"),
        )

    def close(self) -> None:
        """End everything; nothing in it is worth an orderly end, which takes the API server long."""
        self.stop_api()
        self.processes.stop(*self.processes.names(), seconds=STOP_SECONDS)

    # --- for tests

    def apply_definitions(self) -> None:
        """Apply the definitions of this checkout and wait until they are served."""
        definitions = [crds.manifest(kind) for kind in crds.KINDS]
        objects = json.dumps({"apiVersion": "v1", "kind": "List", "items": definitions})
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=objects)
        self.wait_for_definitions()

    def wait_for_definitions(self) -> None:
        """Wait until our kinds are served; ``kubectl wait`` fails where a definition has no conditions yet."""
        assert poll(self._served, START_SECONDS), "the definitions are not served"

    @contextlib.contextmanager
    def namespace(self, prefix: str, **labels: str) -> Iterator[Kubectl]:
        """Make a namespace; give kubectl for it. It is not removed: the whole cluster is."""
        name = f"{prefix}-{secrets.token_hex(3)}"
        metadata: dict[str, Any] = {"name": name, "labels": labels}
        self.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        yield dataclasses.replace(self.kubectl, namespace=name)

    def token(self, namespace: str, account: str, *, audience: str = AUDIENCE, seconds: int = 3600) -> str:
        """Make a token of a service account, which must be there."""
        duration = f"--duration={seconds}s"
        return self.kubectl("create", "token", account, "-n", namespace, f"--audience={audience}", duration).strip()

    def kubeconfig_of(self, name: str, **user: str) -> Path:
        """Write a kubeconfig for a user other than the admin, such as ``token=...`` or ``tokenFile=...``."""
        document = json.loads(self.kubeconfig.read_text())
        document["users"][0]["user"] = user
        path = self.folder / f"{name}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(json.dumps(document))
        return path

    def account_folder(self, name: str, token: str) -> Path:
        """Write the folder that a Pod of a service account would have, with its token and our authority."""
        path = self.folder / f"account-{name}"
        path.mkdir()
        (path / "token").write_text(token)
        shutil.copy(self._authority.certificate, path / "ca.crt")
        return path

    @property
    def address(self) -> Mapping[str, str]:
        """The variables that a Pod would have."""
        return {"KUBERNETES_SERVICE_HOST": HOST, "KUBERNETES_SERVICE_PORT": str(self._port)}

    # ---

    def _certificates(self) -> None:
        self._authority.create()
        self._authority.server("apiserver", "/CN=kube-apiserver", (f"IP:{HOST}", "DNS:localhost"))
        self._authority.client(ADMIN, ADMIN, ADMINS)
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(self._authority.kubeconfig(ADMIN, self.url))

    def _ready(self) -> bool:
        with contextlib.suppress(AssertionError):
            return self.kubectl("get", "--raw", "/readyz", seconds=10).strip() == "ok"
        return False

    def _served(self) -> bool:
        """Established is not served yet: the first requests may be told to come back later."""
        with contextlib.suppress(AssertionError):
            return "found" not in self.kubectl("get", ",".join(kind.crd for kind in crds.KINDS), "-A")
        return False


@contextlib.contextmanager
def running(*, definitions: bool = True) -> Iterator[SpareApiServer]:
    """Run one while the block runs, with the definitions of this checkout unless told otherwise."""
    with tempfile.TemporaryDirectory(prefix="spare-") as folder:
        server = SpareApiServer(Path(folder))
        try:
            server.start()
            if definitions:
                server.apply_definitions()
            yield server
        finally:
            server.close()


def _program(name: str) -> str:
    """Find a program of the control plane: on PATH, or where ``scripts/lab up`` compiles it to."""
    compiled = settings.from_environment().programs / name
    found = shutil.which(name) or (str(compiled) if compiled.exists() else None)
    if found is None:
        pytest.fail(f"{name} is not here: scripts/lab up makes it", pytrace=False)
    return found

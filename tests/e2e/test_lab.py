"""The lab's cluster: Pods with native sidecars, cluster DNS, the way to this machine."""

from __future__ import annotations

import json
import subprocess
import threading
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import docker
    from lab.environment import Environment

pytestmark = [pytest.mark.e2e, pytest.mark.requirement("F-02")]

CLIENT = """
import socket, sys, urllib.request
print(urllib.request.urlopen("http://127.0.0.1:8000/", timeout=20).status)
print(socket.gethostbyname("kubernetes.default.svc.cluster.local") != "")
print(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())
"""


class Kubectl:
    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig

    def __call__(self, *argv: str, stdin: str = "") -> str:
        command = ["kubectl", "--kubeconfig", str(self.kubeconfig), *argv]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def kubectl(kubeconfig: Path) -> Kubectl:
    return Kubectl(kubeconfig)


@pytest.fixture
def namespace(kubectl: Kubectl) -> Iterator[str]:
    name = f"lab-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--timeout=120s")


@pytest.fixture
def image(engine: docker.DockerClient, lab: Environment) -> Iterator[str]:
    name = f"{lab.registry}/lab/python"
    engine.images.get(lab.base_python).tag(name, "1")
    engine.images.push(name, "1")
    yield f"{name}:1"
    engine.images.remove(f"{name}:1")


@pytest.fixture
def greeting(lab: Environment) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello from this machine")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("0.0.0.0", 0), Handler) as server:  # noqa: S104 - Pods call it
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://{lab.node_address}:{server.server_port}/"
        server.shutdown()
        thread.join()


def pod(image: str, socket: str, url: str) -> dict[str, Any]:
    sidecar = {
        "name": "web",
        "image": image,
        "restartPolicy": "Always",
        "command": ["python", "-m", "http.server", "8000"],
        "startupProbe": {"httpGet": {"port": 8000, "path": "/"}, "periodSeconds": 1},
    }
    mount = {"name": "engine", "mountPath": "/engine.sock"}
    client = {"name": "client", "image": image, "command": ["python", "-c", CLIENT, url], "volumeMounts": [mount]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "check"},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "initContainers": [sidecar],
            "containers": [client],
            "volumes": [{"name": "engine", "hostPath": {"path": socket, "type": "Socket"}}],
        },
    }


def test_a_pod_reaches_its_sidecar_the_cluster_dns_and_this_machine(
    kubectl: Kubectl, namespace: str, image: str, lab: Environment, greeting: str
) -> None:
    manifest = json.dumps(pod(image, lab.engine_socket, greeting))
    kubectl("--namespace", namespace, "wait", "--for=create", "serviceaccount/default", "--timeout=60s")
    kubectl("--namespace", namespace, "apply", "-f", "-", stdin=manifest)
    phase = "jsonpath={.status.phase}"
    kubectl("--namespace", namespace, "wait", f"--for={phase}=Succeeded", "pod/check", "--timeout=120s")
    assert kubectl("--namespace", namespace, "logs", "check").splitlines() == ["200", "True", "hello from this machine"]


def test_a_namespace_that_is_restricted_refuses_a_privileged_pod(kubectl: Kubectl, namespace: str, image: str) -> None:
    kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    with pytest.raises(AssertionError, match="violates PodSecurity"):
        kubectl("--namespace", namespace, "run", "root", f"--image={image}")

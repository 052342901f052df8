"""Starting operators against an API server of a test's own, and looking at what they did."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import ports
from lab.processes import poll
from mcp_operator import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kubectl import Kubectl
    from spare_apiserver import SpareApiServer

TESTS = Path(__file__).parent
OWN_NAMESPACE = "mcp-system"
SECONDS = 60.0
"""For anything that an operator does within a second or two."""
LOGGED = 6000
"""Characters of an operator's log in the report of a test that fails."""
TEMPLATE: dict[str, Any] = {"spec": {"containers": [{"name": "agent", "image": "agent:1"}]}}
SETTINGS = {
    "TOOLMAN_REGISTRY": "registry.test",
    "TOOLMAN_IMAGE_TOOLMAN": "toolman:1",
    "TOOLMAN_IMAGE_WRAPPER": "wrapper:1",
    "TOOLMAN_NAMESPACE": OWN_NAMESPACE,
    "TOOLMAN_LOG_FORMAT": "json",
    "PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]),
}


@dataclass
class Operator:
    """A process. ``port`` answers probes."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def kill(self) -> None:
        """End it as a node that fails would."""
        self.process.kill()
        self.process.wait(SECONDS)

    def answer(self, path: str) -> httpx.Response | None:
        """Ask for a probe; None when nobody answers."""
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=5, trust_env=False)
        return None

    @property
    def leads(self) -> bool:
        """Whether it holds the Lease."""
        return "mcp_operator_leader 1" in self.metrics

    @property
    def is_ready(self) -> bool:
        """Whether its readiness probe succeeds."""
        answer = self.answer("/readyz")
        return answer is not None and answer.status_code == httpx.codes.OK

    @property
    def metrics(self) -> list[str]:
        """The lines of its metrics."""
        answer = self.answer("/metrics")
        return answer.text.splitlines() if answer is not None else []

    def steady(self, *kinds: str) -> bool:
        """Say whether it has looked at objects of these kinds and has nothing in hand or due."""
        lines = self.metrics
        seen = (f'mcp_operator_reconcile_seconds_count{{kind="{kind}",result="done"}}' for kind in kinds)
        looked = all(any(line.startswith(each) for line in lines) for each in seen)
        return looked and {"mcp_operator_queue_depth 0", "mcp_operator_workers_busy 0"} <= set(lines)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What it has logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]


@dataclass
class Operators:
    """Those of one test; all share a folder in which builds are noted."""

    api: SpareApiServer
    folder: Path
    running: list[Operator] = field(default_factory=list)

    def start(self, kubeconfig: Path | None = None, **variables: str) -> Operator:
        """Start one and wait until it answers probes."""
        number = len(self.running)
        log = self.folder / f"operator-{number}.log"
        port = ports.free()
        environment = {**os.environ, **SETTINGS, "KUBECONFIG": str(kubeconfig or self.api.kubeconfig), **variables}
        environment |= {"BUILDS": str(self.folder)}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, TESTS / "operator_process.py", str(port)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
            )
        operator = Operator(process, port, log)
        self.running.append(operator)
        wait(lambda: operator.answer("/healthz") or process.poll() is not None, lambda: log.read_text()[-2000:])
        assert process.poll() is None, log.read_text()[-2000:]
        return operator

    def stop(self) -> None:
        """End all."""
        for operator in self.running:
            operator.process.send_signal(signal.SIGTERM)
        for operator in self.running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                operator.process.wait(SECONDS)
            operator.kill()

    def tell(self) -> None:
        """Print what became of each, and the end of its log: the report of a test that fails has it."""
        for operator in self.running:
            print(f"--- exit status {operator.process.poll()}, {operator.log.name}:")
            print(operator.log.read_text(errors="replace")[-LOGGED:])

    @property
    def builds(self) -> list[str]:
        """What builds noted, as ``UID START``."""
        log = self.folder / "log"
        return [line.partition(" ")[2] for line in log.read_text().splitlines()] if log.exists() else []


@contextlib.contextmanager
def operators(api: SpareApiServer, folder: Path) -> Iterator[Operators]:
    """Give a place to start operators in; all are ended when the block ends."""
    api.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OWN_NAMESPACE}})
    started = Operators(api, folder)
    try:
        yield started
    except AssertionError:
        started.tell()
        raise
    finally:
        started.stop()


def wait(reached: Callable[[], object], say: Callable[[], object] = str) -> float:
    """Wait until something is so; give the seconds that it took. Fails with what ``say`` says."""
    begun = time.monotonic()
    assert poll(lambda: bool(reached()), SECONDS), say()
    return time.monotonic() - begun


def server(name: str) -> dict[str, Any]:
    """Give an MCPServer."""
    spec = {"source": {"git": {"url": f"https://git.test/{name}"}}}
    return {"apiVersion": names.API_VERSION, "kind": "MCPServer", "metadata": {"name": name}, "spec": spec}


def agent(name: str, *servers: str) -> dict[str, Any]:
    """Give an MCPAgent."""
    spec = {"servers": [{"name": each} for each in servers], "template": TEMPLATE}
    return {"apiVersion": names.API_VERSION, "kind": "MCPAgent", "metadata": {"name": name}, "spec": spec}


def policy(name: str) -> dict[str, Any]:
    """Give a ToolPolicy that concerns every agent and denies one tool."""
    spec = {"target": {"servers": ["*"]}, "tools": {"deny": ["drop_*"]}}
    return {"apiVersion": names.API_VERSION, "kind": "ToolPolicy", "metadata": {"name": name}, "spec": spec}


def exists(kubectl: Kubectl, kind: str, name: str) -> bool:
    """Say whether an object is there."""
    return bool(kubectl("get", kind, name, "--ignore-not-found", "-o", "name"))


def is_ready(kubectl: Kubectl, kind: str, name: str) -> bool:
    """Say whether an object's condition Ready is true."""
    found = kubectl.get(kind, name).get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in found)


def versions(kubectl: Kubectl) -> dict[str, str]:
    """Give the resourceVersion of everything that the operator may write in a namespace, by kind and name."""
    kinds = "mcpservers,mcpagents,toolpolicies,configmaps,pods,deployments,services,events.v1.events.k8s.io"
    listed = json.loads(kubectl("get", kinds, "-o", "json"))["items"]
    return {f"{raw['kind']}/{raw['metadata']['name']}": raw["metadata"]["resourceVersion"] for raw in listed}

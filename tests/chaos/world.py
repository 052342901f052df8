"""A namespace in which an agent calls without pause: a server beside it, and one that it shares, in two Pods."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import throwaway
from kubectl import KubectlError
from lab.processes import poll
from sources import repositories

from chaos.calls import Calls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kubectl import Kubectl
    from sources.server import GitServer

SECONDS = 150.0
"""Bound of every wait."""
POD = "caller"
LOCAL, SHARED = "local", "shared"
AGENTS, SERVERS = "mcpagent.toolman.dev", "mcpserver.toolman.dev"
REPOSITORY = "echo.git"
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class World:
    """What a test works with.

    Attributes:
        kubectl: For the namespace.
        calls: Of the client.
        system: kubectl for the operator's namespace.
        url: Of the repository that the servers are built from.
        image: The sample agent's: it has Python.
    """

    kubectl: Kubectl
    calls: Calls
    system: Kubectl
    url: str
    image: str

    def until(self, what: str, check: Callable[[], bool]) -> None:
        """Wait for something."""
        assert poll(lambda: _holds(check), SECONDS), f"not within {SECONDS:.0f} s: {what}\n{self.state()}"

    def ready(self, kind: str, name: str) -> None:
        """Wait until a resource is ready, as it is now."""
        self.kubectl.wait(kind, name, "condition=Ready", SECONDS)

    def condition(self, kind: str, name: str, condition: str = "Ready") -> dict[str, Any]:
        """Give a condition of a resource, empty if it has none."""
        listed = self.kubectl.get(kind, name).get("status", {}).get("conditions", [])
        return next((each for each in listed if each["type"] == condition), {})

    def reason(self, kind: str, name: str) -> str:
        """Give the reason of a resource's condition Ready."""
        return str(self.condition(kind, name).get("reason"))

    def is_at(self, name: str, words: str) -> bool:
        """Say whether the build of a server is at an instruction with these words."""
        build = self.kubectl.get(SERVERS, name).get("status", {}).get("build", {})
        return words in str(build.get("detail")) and "finishedAt" not in build

    def restarts(self, *pods: str) -> dict[str, int]:
        """Count the restarts of all containers of some Pods."""
        found = {}
        for pod in pods or (POD, *self.guards()):
            status = self.kubectl.get("pod", pod)["status"]
            for each in (*status.get("initContainerStatuses", ()), *status["containerStatuses"]):
                found[f"{pod}/{each['name']}"] = each["restartCount"]
        return found

    def guards(self) -> list[str]:
        """Give the Pods of the shared server that are not going."""
        listed = json.loads(self.kubectl("get", "pods", "-l", f"toolman.dev/server={SHARED}", "-o", "json"))["items"]
        return [each["metadata"]["name"] for each in listed if "deletionTimestamp" not in each["metadata"]]

    def rolled_out(self) -> None:
        """Wait until all Pods of the shared server are new and ready."""
        self.kubectl(
            "rollout", "status", f"deployment/{SHARED}-guard", f"--timeout={SECONDS:.0f}s", seconds=SECONDS + 10
        )

    def operator(self) -> dict[str, Any]:
        """Give the operator's Pod."""
        selector = "app.kubernetes.io/name=mcp-operator"
        (pod,) = json.loads(self.system("get", "pods", "-l", selector, "-o", "json"))["items"]
        return dict(pod)

    def operator_works(self) -> bool:
        """Say whether an operator is ready, which it is while it watches."""
        conditions = self.operator()["status"]["conditions"]
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def temporary_folders(self) -> str:
        """List the operator's temporary folder."""
        return self.system("exec", "deployment/mcp-operator", "--", "ls", "/tmp")  # noqa: S108 - only listed

    def state(self) -> str:
        """Show what there is, for whoever reads that something did not happen."""
        with contextlib.suppress(KubectlError):
            shown = self.kubectl("get", f"{SERVERS},{AGENTS},pods", "-o", "wide")
            return shown + self.system("logs", "deployment/mcp-operator", "--tail=30")
        return "the API server does not answer"


def server(name: str, url: str, path: str, **run: object) -> dict[str, Any]:
    """Give an MCPServer."""
    spec = {"source": {"git": {"url": url, "path": path}}, "build": {"runtime": "dockerfile"}, "run": run}
    return made("MCPServer", name, spec)


def shared_server(url: str, **run: object) -> dict[str, Any]:
    """Give the one in two Pods."""
    return server(SHARED, url, SHARED, placement="Shared", shared={"replicas": 2}, **run)


def agent(name: str, image: str, servers: list[str], command: list[str]) -> dict[str, Any]:
    """Give an MCPAgent that needs one tool of each server."""
    container = {"name": "agent", "image": image, "command": command}
    spec = {
        "servers": [{"name": each} for each in servers],
        "requiredTools": [f"{each}/echo" for each in servers],
        "template": {"spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}},
    }
    return made("MCPAgent", name, spec)


def made(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Give an object of ours."""
    return {"apiVersion": "toolman.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def policy(name: str, namespace: str) -> dict[str, Any]:
    """Give a ToolPolicy that takes the tool ``spare`` from a namespace."""
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    return made("ToolPolicy", name, {"target": {"namespaceSelector": selector}, "tools": {"deny": ["spare"]}})


def publish(git: GitServer, base: str) -> str:
    """Serve the repository of the servers: one over stdio, one over HTTP, and some whose builds take a while."""
    program = (_HERE / "server.py").read_text()
    start = 'USER 1000\nCMD ["python3", "-u", "/server.py"'
    kinds = {
        LOCAL: f"{start}]\n",
        SHARED: f'EXPOSE 8080\n{start}, "--http"]\n',
        "late": f"RUN echo late > /late\n{start}]\n",
        "held": f"RUN sleep 4 && echo held > /held\n{start}]\n",
        "slow": f"RUN sleep 4\n{start}]\n",
        "pushed": f"RUN sleep 4 && echo pushed > /pushed\n{start}]\n",
    }
    files: dict[str, tuple[bool, bytes]] = {}
    for folder, rest in kinds.items():
        files[f"{folder}/server.py"] = (False, program.encode())
        files[f"{folder}/Dockerfile"] = (False, f"FROM {base}\nCOPY server.py /server.py\n{rest}".encode())
    repositories.create(git.root / REPOSITORY, files)
    return git.url(REPOSITORY)


@contextlib.contextmanager
def calling(url: str) -> Iterator[World]:
    """Make the namespace and have the agent call."""
    image = throwaway.cluster("toolman-demo").get("pod", "assistant")["spec"]["containers"][0]["image"]
    with throwaway.namespace("chaos") as kubectl:
        calls = Calls(kubectl, POD, (LOCAL, SHARED))
        world = World(kubectl, calls, throwaway.cluster("mcp-system"), url, image)
        kubectl.apply(
            server(LOCAL, url, LOCAL),
            shared_server(url),
            agent(
                POD, image, [LOCAL, SHARED], ["python3", "-u", "-c", (_HERE / "client.py").read_text(), LOCAL, SHARED]
            ),
        )
        for each in (LOCAL, SHARED):
            world.ready(SERVERS, each)
        world.ready(AGENTS, POD)
        world.until("calls are answered on every lane", calls.are_answered)
        yield world


def _holds(check: Callable[[], bool]) -> bool:
    """Ask; an API server that is away has said nothing."""
    with contextlib.suppress(KubectlError):
        return check()
    return False

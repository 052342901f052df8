from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from kubectl import KubectlError
from mcp_operator import names

if TYPE_CHECKING:
    from kubectl import Kubectl
    from spare_apiserver import SpareApiServer

pytestmark = [pytest.mark.apiserver]


def server(name: str, **spec: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever a test writes
    """Give an MCPServer."""
    return {"apiVersion": names.API_VERSION, "kind": "MCPServer", "metadata": {"name": name}, "spec": spec}


@pytest.mark.requirement("O-38")
def test_definitions_fill_defaults_and_refuse_what_contradicts_itself(spare_apiserver: SpareApiServer) -> None:
    with spare_apiserver.namespace("crds") as kubectl:
        kubectl.apply(server("git", source={"git": {"url": "https://example.com/one"}}))
        stored = kubectl.get("mcpserver", "git")["spec"]
        assert stored["build"]["timeout"] == "10m"
        with pytest.raises(KubectlError, match="exactly one"):
            kubectl.apply(server("two", source={"git": {"url": "https://example.com/one"}, "npm": {"package": "two"}}))


@pytest.mark.requirement("O-05")
@pytest.mark.parametrize(
    ("path", "message"),
    [
        *((path, "the operator mounts folders there") for path in ("/tmp", "/run", "/mcp", "/run/mcp")),  # noqa: S108
        *((path, "the operator mounts folders there") for path in ("/mcp/bin/x", "/run/mcp/control")),
        *((path, "path must have no") for path in ("/run//mcp", "/etc/./x", "/etc/../mcp/x")),
    ],
)
def test_a_file_at_or_below_what_the_operator_mounts_is_refused(
    spare_apiserver: SpareApiServer, path: str, message: str
) -> None:
    source = {"git": {"url": "https://example.com/one"}}
    with spare_apiserver.namespace("files") as kubectl:
        with pytest.raises(KubectlError, match=message):
            kubectl.apply(server("git", source=source, run={"files": [{"path": path, "content": "x"}]}))
        allowed = ("/tmp/.config/x", "/mcp-data/x", "/run/mcpx", "/etc/x")  # noqa: S108 - the server's home is there
        kubectl.apply(server("git", source=source, run={"files": [{"path": each, "content": "x"} for each in allowed]}))


GIT: dict[str, Any] = {"git": {"url": "https://example.com/one"}}
REMOTE: dict[str, Any] = {"remote": {"url": "https://far.example.com/mcp"}}
IMAGE: dict[str, Any] = {"image": {"reference": "registry.example.com/one:1"}}
PUSHED = {"repository": "registry.example.com/one", "pushSecretRef": {"name": "push"}}
FOR_NOTHING: list[tuple[dict[str, Any], str]] = [
    *(
        ({"source": REMOTE, "run": run}, "a remote server is not run here")
        for run in (
            {"placement": "Shared"},
            {"args": ["--x"]},
            {"env": [{"name": "A", "value": "1"}]},
            {"port": 80},
            {"resources": {"limits": {"cpu": 1}}},
            {"resources": {"requests": {"cpu": "1m"}}},
            {"imagePullSecrets": [{"name": "pull"}]},
        )
    ),
    ({"source": REMOTE, "build": {"command": ["serve"]}}, "a remote server is not built"),
    *(
        ({"source": IMAGE, "build": build}, "an image that is there already is not built")
        for build in ({"systemPackages": ["git"]}, {"runtime": "node"}, {"pushTimeout": "1m"}, PUSHED)
    ),
    ({"source": GIT, "build": {"buildArgs": {"A": "1"}}}, "say runtime: dockerfile"),
    ({"source": GIT, "build": {"runtime": "node", "dockerfile": "x"}}, "say runtime: dockerfile"),
    ({"source": GIT, "build": {"runtime": "dockerfile", "systemPackages": ["git"]}}, "install them in the repository"),
    ({"source": GIT, "run": {"transport": "stdio", "port": 80}}, "port and path are for a server that speaks HTTP"),
    ({"source": GIT, "run": {"shared": {"replicas": 2}}}, "say placement: Shared"),
    ({"source": GIT, "run": {"placement": "Sidecar", "shared": {"network": "Open"}}}, "say placement: Shared"),
    ({"source": GIT, "run": {"transport": "sse", "shared": {"sessions": "PerSession"}}}, "keeps its sessions apart"),
]
FOR_SOMETHING: list[dict[str, Any]] = [
    {"source": REMOTE, "run": {"serverRequests": ["roots"]}},
    {"source": REMOTE, "run": {"resources": {"limits": {"memory": "512Mi"}}}, "build": {"runtime": "auto"}},
    {"source": IMAGE, "build": {"timeout": "20m", "verify": "None"}, "run": {"args": ["--x"]}},
    {"source": GIT, "build": {"runtime": "dockerfile", "dockerfile": "x", "buildArgs": {"A": "1"}}},
    {"source": GIT, "build": PUSHED, "run": {"port": 80, "path": "/mcp"}},
    {"source": GIT, "run": {"placement": "Shared", "shared": {"replicas": 2, "sessions": "PerSession"}}},
    {"source": GIT, "run": {"transport": "streamable-http", "port": 80, "shared": {"network": "Open"}}},
]


def _judge(kubectl: Kubectl, resource: dict[str, Any]) -> None:
    """Have the API server judge a resource and store nothing: operators of other tests would look at it."""
    kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=json.dumps(resource))


@pytest.mark.requirement("O-04")
def test_what_is_the_operators_own_may_not_be_written_on_the_pods_of_a_shared_server(
    spare_apiserver: SpareApiServer,
) -> None:
    with spare_apiserver.namespace("marks") as kubectl:
        for kind in ("labels", "annotations"):
            template = {"metadata": {kind: {"toolman.dev/agent": "other", "team": "web"}}}
            run = {"placement": "Shared", "shared": {"podTemplate": template}}
            with pytest.raises(KubectlError, match="is the operator's own"):
                kubectl.apply(server("git", source=GIT, run=run))


@pytest.mark.requirement("O-01")
def test_what_would_do_nothing_is_refused_and_told_why(spare_apiserver: SpareApiServer) -> None:
    with spare_apiserver.namespace("nothing") as kubectl:
        for spec, message in FOR_NOTHING:
            with pytest.raises(KubectlError, match=message):
                _judge(kubectl, server("one", **spec))
        for spec in FOR_SOMETHING:
            _judge(kubectl, server("one", **spec))


@pytest.mark.requirement("O-15", "O-20")
def test_what_would_do_nothing_in_an_agent_or_a_policy_is_refused_as_well(spare_apiserver: SpareApiServer) -> None:
    agent = {"apiVersion": names.API_VERSION, "kind": "MCPAgent", "metadata": {"name": "dev"}}
    policy = {"apiVersion": names.API_VERSION, "kind": "ToolPolicy", "metadata": {"name": "only-sources"}}
    servers, sources = [{"name": "one"}], {"allow": ["git:*"]}
    with spare_apiserver.namespace("nothing") as kubectl:
        with pytest.raises(KubectlError, match="decide when their Pods are replaced"):
            _judge(kubectl, {**agent, "spec": {"servers": servers, "updateStrategy": "OnDelete"}})
        _judge(kubectl, {**agent, "spec": {"servers": servers, "updateStrategy": "InPlace"}})
        for target in ({"servers": ["a"]}, {"agentSelector": {"matchLabels": {"a": "b"}}}, {"sources": {"git": ["*"]}}):
            with pytest.raises(KubectlError, match="sources are said of whole namespaces"):
                _judge(kubectl, {**policy, "spec": {"sources": sources, "target": target}})
            _judge(kubectl, {**policy, "spec": {"sources": sources, "limits": {"maxTools": 5}, "target": target}})
        namespaces = {"namespaceSelector": {"matchLabels": {"team": "a"}}}
        _judge(kubectl, {**policy, "spec": {"sources": sources, "target": namespaces}})

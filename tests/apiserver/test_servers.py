"""What the operator reads and writes for MCPServers, judged by a real API server: specs, statuses, lists, Secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from kubectl import KubectlError
from kubernetes import config
from mcp_operator import cluster, names, status
from mcp_operator.images.contract import Tool
from mcp_operator.kube import Kubernetes
from mcp_operator.models.status import (
    BuildStatus,
    Condition,
    EndpointStatus,
    HeldStatus,
    ImageStatus,
    MCPServerStatus,
    ProtocolStatus,
    SourceStatus,
    ToolStatus,
)
from mcp_operator.reconcile import approval, manifests_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spare_apiserver import SpareApiServer

pytestmark = [pytest.mark.apiserver]

NOW = "2026-01-01T00:00:00Z"
FOUND: dict[str, Any] = {
    "source": SourceStatus(name="git:https://git.test/one", revision="a" * 40, commit="a" * 40, tag="v1"),
    "image": ImageStatus(
        reference="r@sha256:1", id="sha256:1", size=2**40, tags=["r:1"], command=["run"], working_dir="/", build_key="k"
    ),
    "protocol": ProtocolStatus(version="2025-11-25", transport="sse", port=8080, path="/sse", server_info="x 1"),
    "tool_count": 1,
    "tools_hash": "f" * 64,
    "tools": [ToolStatus(name="read", hash="sha256:1", tokens=7, read_only=False)],
}
FULL = MCPServerStatus(
    **FOUND,
    observed_generation=1,
    conditions=[Condition(type="Ready", status="True", reason="X", observed_generation=1, last_transition_time=NOW)],
    summary="Ready",
    source_kind="git",
    build=BuildStatus(number=2, key="k", revision="b", started_at=NOW, step=3, of=9, warnings=["one"], transient=True),
    held=HeldStatus(**FOUND, added=["a"], removed=["b"], changed=["c"], approve="kubectl annotate"),
    manifest="one-manifest",
    handled_reconcile="1",
    detected=["pyproject.toml"],
    endpoint=EndpointStatus(url="https://mcp.test", transport="sse"),
)


@pytest.fixture
def api(spare_apiserver: SpareApiServer) -> Iterator[Kubernetes]:
    loaders: Any = config  # they have no types
    with loaders.new_client_from_config(str(spare_apiserver.kubeconfig)) as connection:
        yield Kubernetes(connection)


def server(name: str, **spec: object) -> dict[str, Any]:
    """Give an MCPServer."""
    spec = {"source": {"git": {"url": "https://git.test/one"}}, **spec}
    return {"apiVersion": names.API_VERSION, "kind": "MCPServer", "metadata": {"name": name}, "spec": spec}


@pytest.mark.requirement("O-02")
def test_a_status_is_stored_whole_and_kubectl_shows_it_in_columns(
    spare_apiserver: SpareApiServer, api: Kubernetes
) -> None:
    with spare_apiserver.namespace("servers") as kubectl:
        kubectl.apply(server("one"))
        raw = api.get(cluster.SERVER, kubectl.namespace, "one")
        assert raw is not None
        assert status.write(api, cluster.SERVER, raw, FULL)
        stored = api.get(cluster.SERVER, kubectl.namespace, "one")
        assert stored is not None
        assert status.read(MCPServerStatus, stored) == FULL
        assert not status.write(api, cluster.SERVER, stored, FULL)
        head, row = kubectl("get", "mcps", "one", "-o", "wide").splitlines()
        assert head.split() == [
            "NAME",
            "READY",
            "SOURCE",
            "STATUS",
            "TOOLS",
            "AGE",
            "REVISION",
            "TRANSPORT",
            "IMAGE",
            "REASON",
        ]
        assert row.split()[:5] == ["one", "True", "git", "Ready", "1"]


@pytest.mark.requirement("O-02")
def test_kubectl_waits_for_a_server_to_be_ready(spare_apiserver: SpareApiServer, api: Kubernetes) -> None:
    with spare_apiserver.namespace("servers") as kubectl:
        kubectl.apply(server("one"))
        raw = api.get(cluster.SERVER, kubectl.namespace, "one")
        assert raw is not None
        status.write(api, cluster.SERVER, raw, FULL)
        assert "condition met" in kubectl("wait", "mcps/one", "--for=condition=Ready", "--timeout=30s")


@pytest.mark.requirement("O-03", "O-30")
def test_a_list_of_tools_is_written_once_and_read_back(spare_apiserver: SpareApiServer, api: Kubernetes) -> None:
    tools = [Tool(name=f"tool-{number}", hash=f"sha256:{number:064}", tokens=9) for number in range(1500)]
    with spare_apiserver.namespace("servers") as kubectl:
        kubectl.apply(server("one"))
        raw = api.get(cluster.SERVER, kubectl.namespace, "one")
        assert raw is not None
        assert manifests_store.write(api, raw, tools, tools) == "one-manifest"
        first = kubectl.get("configmap", "one-manifest")["metadata"]["resourceVersion"]
        manifests_store.write(api, raw, tools, tools)
        assert kubectl.get("configmap", "one-manifest")["metadata"]["resourceVersion"] == first
        assert manifests_store.read(api, kubectl.namespace, "one", approval.tools_hash(tools)) == tuple(tools)
        manifests_store.write(api, raw, tools)
        assert manifests_store.read_held(api, kubectl.namespace, "one", None) is None


@pytest.mark.requirement("O-34")
def test_a_secret_is_read_by_its_name(spare_apiserver: SpareApiServer, api: Kubernetes) -> None:
    with spare_apiserver.namespace("servers") as kubectl:
        kubectl("create", "secret", "generic", "far", "--from-literal=token=hunter2")
        found = api.secret(kubectl.namespace, "far")
        assert found is not None
        assert found["token"] == b"hunter2"
        assert api.secret(kubectl.namespace, "absent") is None


@pytest.mark.requirement("O-01")
@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"source": {"git": {"url": "https://u:p@git.test/x"}}}, "no credentials in the URL"),
        ({"source": {"git": {"url": "https://git.test/x", "ref": {"tag": "a", "semver": "^1"}}}}, "give one of branch"),
        ({"source": {"git": {"url": "https://git.test/x", "interval": "1s"}}}, "interval must be from 30s to 24h"),
        ({"build": {"repository": "registry.test/x"}}, "needs pushSecretRef"),
        ({"source": {"remote": {"url": "https://u@mcp.test"}}}, "no credentials in the URL"),
        (
            {
                "source": {
                    "remote": {
                        "url": "https://mcp.test",
                        "headers": [{"name": "hOsT", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}],
                    }
                }
            },
            "toolman writes this header itself",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(
    spare_apiserver: SpareApiServer, spec: dict[str, Any], said: str
) -> None:
    with spare_apiserver.namespace("servers") as kubectl, pytest.raises(KubectlError, match=said):
        kubectl.apply(server("one", **spec))


@pytest.mark.requirement("O-01")
def test_every_kind_of_source_is_accepted(spare_apiserver: SpareApiServer) -> None:
    header = {"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": "far", "key": "token"}}}
    kinds: dict[str, dict[str, Any]] = {
        "git": {"url": "ssh://git@git.test/x", "ref": {"semver": "^1.2 || ~3"}, "secretRef": {"name": "forge"}},
        "npm": {"package": "@example/weather"},
        "pypi": {"package": "weather", "version": "1.0"},
        "image": {"reference": "registry.test/weather:1", "pullSecretRef": {"name": "pull"}},
        "remote": {"url": "https://mcp.test/mcp", "headers": [header], "caRef": {"name": "ca", "key": "ca.crt"}},
    }
    with spare_apiserver.namespace("servers") as kubectl:
        for kind, source in kinds.items():
            kubectl.apply(server(kind, source={kind: source}))

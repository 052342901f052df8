"""Resources as people write them, parsed. ``python tests/examples.py`` rewrites the golden files from them."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from mcp_operator import layers
from mcp_operator.manifests import config, pod
from mcp_operator.manifests.servers import RunningServer
from mcp_operator.manifests.upstreams import Upstream
from mcp_operator.models.agent import MCPAgentSpec
from mcp_operator.models.policy import ToolPolicySpec
from mcp_operator.models.run import Run
from mcp_operator.models.server import MCPServerSpec
from mcp_operator.models.source import Header, KeyRef
from mcp_operator.objects import Resource, parse
from mcp_operator.settings import Settings
from toolman.manifest import Tool

NAMESPACE = "team"
GOLDEN = Path(__file__).parent / "mcp_operator" / "manifests" / "golden"
SETTINGS = Settings(
    registry="registry.example.com",
    image_toolman="registry.example.com/toolman/toolman:1",
    image_wrapper="registry.example.com/toolman/mcp-wrapper:1",
)
TEMPLATE: dict[str, Any] = {"spec": {"containers": [{"name": "agent", "image": "agent:1"}]}}
FULL_TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"team": "blue"}, "annotations": {"example.com/note": "kept"}},
    "spec": {
        "nodeSelector": {"disk": "fast"},
        "automountServiceAccountToken": True,
        "serviceAccountName": "reader",
        "terminationGracePeriodSeconds": 5,
        "securityContext": {"runAsUser": 1000, "fsGroup": 2000},
        "initContainers": [{"name": "prepare", "image": "prepare:1", "command": ["prepare", "$(HOME)"]}],
        "containers": [
            {
                "name": "agent",
                "image": "agent:1",
                "env": [{"name": "MCP_TOOLMAN_SERVER_URL", "value": "http://localhost:3000/mcp"}],
                "volumeMounts": [{"name": "work", "mountPath": "/work"}],
                "resources": {"limits": {"memory": "1Gi"}},
            },
            {"name": "root", "image": "helper:1", "securityContext": {"runAsUser": 0, "capabilities": {"drop": []}}},
        ],
        "volumes": [{"name": "work", "emptyDir": {}}],
    },
}


def agent(
    *servers: str | dict[str, Any],
    name: str = "dev",
    labels: dict[str, str] | None = None,
    template: dict[str, Any] = TEMPLATE,
    **spec: object,
) -> Resource[MCPAgentSpec]:
    """Give an MCPAgent; a server is its name or an entry of ``servers``."""
    entries = [{"name": server} if isinstance(server, str) else server for server in servers or ("git",)]
    metadata = {"name": name, "namespace": NAMESPACE, "uid": f"uid-of-{name}", "labels": labels or {}}
    return parse(MCPAgentSpec, {"metadata": metadata, "spec": {"servers": entries, "template": template, **spec}})


def server(name: str = "git", **spec: object) -> Resource[MCPServerSpec]:
    """Give an MCPServer."""
    source = {"git": {"url": "https://git.example.com/servers"}}
    metadata = {"name": name, "namespace": NAMESPACE, "uid": f"uid-of-{name}"}
    return parse(MCPServerSpec, {"metadata": metadata, "spec": {"source": source, **spec}})


def policy(name: str = "base", *, target: dict[str, Any] | None = None, **tools: list[str]) -> Resource[ToolPolicySpec]:
    """Give a ToolPolicy with ``allow`` and ``deny`` globs."""
    return ceiling(name, target=target or {}, tools=tools)


def ceiling(name: str = "base", **spec: object) -> Resource[ToolPolicySpec]:
    """Give a ToolPolicy that says anything."""
    return parse(ToolPolicySpec, {"metadata": {"name": name, "uid": f"uid-of-{name}"}, "spec": spec})


def running(name: str = "git", command: tuple[str, ...] = ("python", "-m", "server"), **run: object) -> RunningServer:
    """Give a server with an image in service."""
    return RunningServer(
        name=name,
        image=f"registry.example.com/mcp/{NAMESPACE}/{name}@sha256:{'0' * 64}",
        command=command,
        working_dir="/app",
        run=Run.model_validate(run),
    )


def manifests(of: Resource[MCPAgentSpec], *servers: RunningServer) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give an agent's Pod and ConfigMap."""
    written = config.toolman_config(of, servers, layers.layers({}, of, [server(each.name) for each in servers], []))
    made = pod.agent_pod(of, servers, config.config_hash(written), SETTINGS)
    return made, config.config_map(of, written)


def golden() -> dict[str, dict[str, Any]]:
    """Give what the golden files hold, by file name."""
    small = manifests(agent("git"), running("git"))
    secret = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "git-token", "key": "token"}}}
    limits = {"limits": {"cpu": 1, "memory": "1Gi"}}
    full = manifests(
        agent(
            {"name": "git", "tools": {"allow": ["git_*"], "deny": ["git_push"]}},
            "time",
            toolNames="Plain",
            requiredTools=["git/git_log", "time/now"],
            template=copy.deepcopy(FULL_TEMPLATE),
        ),
        running("git", env=[secret, {"name": "HOME", "value": "/app"}], resources=limits),
        running("time", args=["--zone", "$(HOME)"]),
    )
    outside = _outside()
    return {
        "outside-pod.yaml": outside[0],
        "outside-config-map.yaml": outside[1],
        "pod.yaml": small[0],
        "config-map.yaml": small[1],
        "full-pod.yaml": full[0],
        "full-config-map.yaml": full[1],
    }


def _outside() -> tuple[dict[str, Any], dict[str, Any]]:
    """Give the manifests of an agent that runs to completion, with servers outside and one that is given a lot."""
    bearer = {"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": "bearer", "key": "token"}}}
    far = Upstream(
        name="far",
        url="https://mcp.example.com/mcp",
        transport="streamable-http",
        headers=(Header.model_validate(bearer),),
        ca=KeyRef(name="authorities", key="pem"),
        server_requests=("elicitation", "sampling"),
    )
    near = Upstream(
        name="near",
        url="https://near.team.svc:8443/mcp",
        transport="streamable-http",
        ca=KeyRef(name="near-ca", key="ca.crt"),
        audience="toolman.dev/mcpserver/uid-of-near",
        manifest=(Tool(name="ask", hash=f"sha256:{'0' * 64}"),),
    )
    given = running(
        "git",
        envFrom=[{"prefix": "DB_", "secretRef": {"name": "database"}}],
        files=[
            {"path": "/etc/git/key", "secretKeyRef": {"name": "deploy", "key": "ssh"}},
            {"path": "/etc/git/config", "content": "[user]"},
        ],
    )
    of = agent("far", "git", "near", restartPolicy="OnFailure", activeDeadlineSeconds=600)
    servers = (far, replace(given, inputs="12ab34cd", pull_secrets=("pull",)), near)
    written = config.toolman_config(of, servers, layers.layers({}, of, [server(each.name) for each in servers], []))
    run = pod.Run(key="0123456789abcdef", seconds=600)
    made = pod.agent_pod(of, servers, config.config_hash(written), SETTINGS, run)
    return made, config.config_map(of, written)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        del data
        return True

    def write_text(self, data: str) -> yaml.Node:
        """Write text of several lines as it is."""
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


_Dumper.add_representer(str, _Dumper.write_text)


def main() -> None:
    """Rewrite the golden files."""
    GOLDEN.mkdir(exist_ok=True)
    for name, manifest in golden().items():
        (GOLDEN / name).write_text(yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, width=120))


if __name__ == "__main__":
    main()

"""A shared server as people write it. ``python tests/shared_examples.py`` rewrites the golden file from it."""

from __future__ import annotations

from typing import Any

import yaml
from examples import GOLDEN, NAMESPACE, SETTINGS
from mcp_operator import names
from mcp_operator.manifests import guard_config, shared, shared_network
from mcp_operator.manifests.servers import RunningServer
from mcp_operator.manifests.shared import Shared
from mcp_operator.models.server import MCPServerSpec
from mcp_operator.objects import Resource, parse
from toolman.policy import Layer, Rules

from toolman import config

FILE = GOLDEN / "shared.yaml"
API_SERVER = (("192.0.2.1", 6443), ("192.0.2.2", 6443), ("2001:db8::1", 6443))
RUN: dict[str, Any] = {
    "placement": "Shared",
    "env": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "git", "key": "token"}}}],
    "imagePullSecrets": [{"name": "pull"}],
    "shared": {
        "replicas": 2,
        "podTemplate": {
            "metadata": {"labels": {"team": "blue", f"{names.GROUP}/agent": "dev"}, "annotations": {"note": "kept"}},
            "spec": {"nodeSelector": {"disk": "fast"}, "priorityClassName": "high"},
        },
    },
}


def server(**run: object) -> Resource[MCPServerSpec]:
    """Give a shared MCPServer."""
    spec = {"source": {"git": {"url": "https://git.example.com/git"}}, "run": {**RUN, **run}}
    metadata = {"name": "git", "namespace": NAMESPACE, "uid": "server-uid", "generation": 1}
    return parse(MCPServerSpec, {"metadata": metadata, "spec": spec})


def example(transport: str = "stdio", **run: object) -> Shared:
    """Give it as it is to run."""
    resource = server(**run)
    running = RunningServer(
        name="git",
        image=f"registry.example.com/git@sha256:{'1' * 64}",
        command=("serve", "$HOME"),
        working_dir="/app",
        run=resource.spec.run,
        pull_secrets=("pull",),
        inputs="12345678",
    )
    return Shared(server=resource, running=running, transport=transport, port=9000, path="/api")


def everything(made: Shared) -> list[dict[str, Any]]:
    """Give all that the server is made of but its certificate."""
    layer = Layer(source="MCPAgent/dev", servers=("git",), tools=Rules(allow=("read",)))
    callers = [config.Caller(pod="pod-uid", name="MCPAgent/dev", layers=(layer,))]
    written = config.dumps(guard_config.guard_config(made, callers, "a" * 64)).decode()
    return [
        shared.service_account(made.server),
        shared.config_map(made.server, written),
        shared_network.network_policy(made.server, API_SERVER, "mcp-system"),
        shared.service(made.server),
        shared.disruption_budget(made.server),
        shared.deployment(made, SETTINGS),
    ]


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        del data
        return True

    def write_text(self, data: str) -> yaml.Node:
        """Write text of several lines as it is."""
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


_Dumper.add_representer(str, _Dumper.write_text)

if __name__ == "__main__":
    FILE.write_text(yaml.dump_all(everything(example()), Dumper=_Dumper, sort_keys=False, width=120))

"""Who may reach a shared server's Pods, and what these may reach. Pure. Not every network plugin enforces it."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, Final

from mcp_operator import names
from mcp_operator.manifests.shared import metadata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp_operator.models.server import MCPServerSpec
    from mcp_operator.objects import Resource

NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"
DNS_NAMESPACE: Final = "kube-system"
DNS_LABELS: Final = {"k8s-app": "kube-dns"}
"""Of CoreDNS and its predecessor alike."""
NODE_DNS: Final = "169.254.20.10/32"
"""Where a cache on each node listens, in clusters that have one."""
DNS_PORT: Final = 53


def network_policy(
    server: Resource[MCPServerSpec], api_server: Sequence[tuple[str, int]], operator_namespace: str
) -> dict[str, Any]:
    """Give the NetworkPolicy: in, agents to the guard and the operator to its report; out, by ``shared.network``.

    An isolated server's Pod reaches DNS, and the API server, which its guard asks whose tokens are; without any token
    it lets nobody do anything.

    Args:
        server: Whose Pods.
        api_server: Addresses and ports of the API server.
        operator_namespace: Where the operator runs.
    """
    written = metadata(server, names.guard(server.name))
    agents = {"podSelector": {"matchExpressions": [{"key": names.LABEL_AGENT, "operator": "Exists"}]}}
    operator = {"namespaceSelector": {"matchLabels": {NAMESPACE_NAME: operator_namespace}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": written,
        "spec": {
            "podSelector": {"matchLabels": written["labels"]},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {"from": [agents], "ports": [_port(names.GUARD_PORT)]},
                {"from": [operator], "ports": [_port(names.ADMIN_PORT)]},
            ],
            "egress": [{}] if server.spec.run.shared.network == "Open" else _isolated(api_server),
        },
    }


def _isolated(api_server: Sequence[tuple[str, int]]) -> list[dict[str, Any]]:
    dns = {
        "namespaceSelector": {"matchLabels": {NAMESPACE_NAME: DNS_NAMESPACE}},
        "podSelector": {"matchLabels": DNS_LABELS},
    }
    rules: list[dict[str, Any]] = [
        {
            "to": [dns, {"ipBlock": {"cidr": NODE_DNS}}],
            "ports": [_port(DNS_PORT, "UDP"), _port(DNS_PORT)],
        }
    ]
    ports = sorted({port for _, port in api_server})
    for port in ports:
        hosts = sorted({host for host, number in api_server if number == port})
        rules.append({"to": [{"ipBlock": {"cidr": _alone(host)}} for host in hosts], "ports": [_port(port)]})
    return rules


def _alone(address: str) -> str:
    return str(ipaddress.ip_network(address))


def _port(number: int, protocol: str = "TCP") -> dict[str, Any]:
    return {"port": number, "protocol": protocol}

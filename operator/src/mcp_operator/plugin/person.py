"""Who asks, and in which namespace: a kubeconfig's context, as kubectl itself takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mcp_operator import access, names

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Protocol

    from mcp_operator.cluster import Cluster, Manifest

    class Api(Cluster, Protocol):
        """A cluster, and how a person asks it for more."""

        requests: Any


LOG: Final = access.Access(verb="get", resource=access.Resource(plural="pods", sub="log"))
"""A right of people's; the operator has no use for it."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """The cluster as one person sees it, and the namespace that is asked about."""

    api: Api
    namespace: str

    def pods(self, agent: str) -> list[str]:
        """Name the Pods that run for an agent, its own and those of workloads that carry its label."""
        query = {"labelSelector": f"{names.LABEL_AGENT}={agent}"}
        found: Sequence[Manifest] = self.api.requests(access.LIST_PODS, self.namespace, query=query)["items"]
        return sorted(pod["metadata"]["name"] for pod in found)

    def log(self, pod: str, query: Mapping[str, str]) -> Iterator[bytes]:
        """Give the log of toolman in a Pod, line by line."""
        lines: Iterator[bytes] = self.api.requests.lines(
            LOG, self.namespace, pod, query={"container": names.TOOLMAN_CONTAINER, **query}
        )
        return lines


def connect(given: argparse.Namespace) -> Person:
    """Connect as the options say.

    Raises:
        cluster.ClusterError: There is no such cluster.
    """
    from mcp_operator import kube  # noqa: PLC0415 - it takes longer to import than help takes to print

    api, namespace = kube.connect_as_person(given.kubeconfig, given.context)
    return Person(api=api, namespace=given.namespace or namespace)

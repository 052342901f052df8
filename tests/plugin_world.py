"""A person with limited rights, over a cluster in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_world import World
from fake_cluster import POLICY, FakeCluster
from mcp_operator import cluster
from mcp_operator.plugin.person import Person

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mcp_operator.access import Access
    from mcp_operator.cluster import Kind, Manifest


class Requests:
    """Pods by label, and their logs: a list of answers each, of lines, or of an error that comes instead."""

    def __init__(self) -> None:
        self.pods: dict[str, list[str]] = {}
        self.logs: dict[str, list[Sequence[bytes | Exception]]] = {}
        self.asked: list[tuple[str, Mapping[str, str]]] = []

    def __call__(self, _right: Access, _namespace: str = "", *, query: Mapping[str, str]) -> Manifest:
        agent = query["labelSelector"].rpartition("=")[2]
        return {"items": [{"metadata": {"name": name}} for name in self.pods.get(agent, ())]}

    def lines(self, _right: Access, _namespace: str, name: str, *, query: Mapping[str, str]) -> Iterator[bytes]:
        self.asked.append((name, query))
        for line in self.logs[name].pop(0):
            if isinstance(line, Exception):
                raise line
            yield line


class PersonsCluster(FakeCluster):
    """A cluster in which somebody may not read everything."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: Any = Requests()
        self.hidden: set[str] = set()

    def list(self, kind: Kind, namespace: str = "") -> Sequence[Manifest]:
        self._check(kind.plural)
        return super().list(kind, namespace)

    def get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        self._check(kind.plural)
        return super().get(kind, namespace, name)

    def _check(self, plural: str) -> None:
        if plural in self.hidden:
            raise cluster.ForbiddenError(f'{plural} is forbidden: User "tenant" cannot list it')


class AskingWorld(World):
    """An agent that runs, and somebody who asks about it."""

    def __init__(self) -> None:
        self.asked = PersonsCluster()
        super().__init__()
        self.person = Person(api=self.asked, namespace="team")

    def restart(self) -> None:
        self.cluster = self.asked
        super().restart()

    def policy(self, name: str, **spec: object) -> None:
        """Apply a policy and let the agent hear of it."""
        self.cluster.add(POLICY, name, spec)
        self.look(times=2)

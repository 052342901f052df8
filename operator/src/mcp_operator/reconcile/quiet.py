"""Which MCPServers have nothing to wait for but another answer of their source.

Of a thousand servers three or four are due each second, only because their source is to be asked for again. Where the
last look found everything done, nothing has been told of since, and the MCPServer is still the very version that was
looked at, asking is all that is to be done. Now and then each has a whole look nevertheless.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mcp_operator import server_references, workqueue
from mcp_operator.outcomes import Done

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from mcp_operator.models.server import MCPServerSpec
    from mcp_operator.models.status import MCPServerStatus
    from mcp_operator.objects import Resource
    from mcp_operator.reconcile.progress import Progress

RESYNC: Final = 1800.0
"""Seconds after which a server has a whole look even if nothing tells of a change."""


class Quiet:
    """Versions of MCPServers that were found as they should be. One worker at a time has each of them.

    Args:
        clock: The time, UTC.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._found: dict[str, tuple[str, datetime]] = {}

    def holds(self, raw: Mapping[str, Any]) -> bool:
        """Tell whether a server is as it was found, and nobody has called for this look."""
        version, since = self._found.get(raw["metadata"]["uid"], ("", None))
        if not version or since is None or not workqueue.is_uncalled():
            return False
        is_same = raw["metadata"].get("resourceVersion") == version
        return is_same and (self._clock() - since).total_seconds() < RESYNC

    def note(
        self, raw: Mapping[str, Any], server: Resource[MCPServerSpec], after: MCPServerStatus, progress: Progress
    ) -> None:
        """Take note of what a whole look has come to, which has written nothing.

        What has Pods of its own, an agent written in it or Secrets depends on more than is told of: it is never quiet.
        """
        alone = server.spec.agent is None and (after.endpoint is None or after.endpoint.audience is None)
        needs = (
            *server_references.of_container(server.spec.run),
            *server_references.of_toolman(server.spec),
            *server_references.of_kubelet(server.spec),
            *server_references.of_operator(server.spec),
        )
        done = isinstance(progress.ready, Done) and progress.delay is None
        if done and alone and not needs:
            self._found[server.uid] = (str(raw["metadata"].get("resourceVersion") or ""), self._clock())
        else:
            self.forget(server.uid)

    def forget(self, uid: str) -> None:
        """Let the next look at a server be a whole one."""
        self._found.pop(uid, None)

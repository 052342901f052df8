"""Plays the kubelet of every agent's Pod: whatever carries our label runs and is ready a moment after it was made."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mcp_operator import access, cluster, kube, watches
from mcp_operator.access import Access, Resource

if TYPE_CHECKING:
    from mcp_operator.cluster import Manifest

PATCH_STATUS = Access(verb="patch", resource=Resource(plural="pods", sub="status"), content=access.MERGE_PATCH)
HANDS = 4


class Kubelet:
    """Follows the Pods with our label.

    Args:
        requests: To the API server.
    """

    def __init__(self, requests: kube.Requests) -> None:
        self._requests = requests
        self._hands = ThreadPoolExecutor(HANDS)

    def follow(self) -> None:
        """Work until the process ends."""
        version = ""
        while True:
            try:
                version = version or self._list()
                query = {"watch": "true", "labelSelector": watches.SELECTOR, "resourceVersion": version}
                for event in self._requests.stream(access.WATCH_PODS, "", {**query, "timeoutSeconds": "300"}):
                    version = event["object"]["metadata"]["resourceVersion"]
                    self._look(event["object"])
            except cluster.ClusterError:
                version = ""

    def _list(self) -> str:
        page = self._requests(access.LIST_PODS, query={"labelSelector": watches.SELECTOR})
        for pod in page["items"]:
            self._look(pod)
        return str(page["metadata"]["resourceVersion"])

    def _look(self, pod: Manifest) -> None:
        if (pod.get("status") or {}).get("phase") != "Running" and "deletionTimestamp" not in pod["metadata"]:
            self._hands.submit(self._run, pod)

    def _run(self, pod: Manifest) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ready = [{"type": kind, "status": "True", "lastTransitionTime": now} for kind in ("Ready", "PodScheduled")]
        body = {"status": {"phase": "Running", "conditions": ready, "startTime": now}}
        try:
            self._requests(PATCH_STATUS, pod["metadata"]["namespace"], pod["metadata"]["name"], body=body)
        except cluster.ClusterError as error:
            sys.stderr.write(f"kubelet: {error}\n")


if __name__ == "__main__":
    threading.stack_size(256 * 1024)
    Kubelet(kube.connect().requests).follow()

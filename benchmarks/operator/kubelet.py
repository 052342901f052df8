"""Plays the kubelet of every agent's Pod, and the toolman in it.

Whatever carries our label runs and is ready a moment after it was made. All Pods have this machine's address, where
one toolman gives its report to whoever asks.
"""

from __future__ import annotations

import json
import socketserver
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mcp_operator import access, cluster, kube, names, watches
from mcp_operator.access import Access, Resource

if TYPE_CHECKING:
    from mcp_operator.cluster import Manifest

WATCH_PODS = Access(verb="watch", resource=access.PODS)
PATCH_STATUS = Access(verb="patch", resource=Resource(plural="pods", sub="status"), content=access.MERGE_PATCH)
HANDS = 4
ADDRESS = "127.0.0.1"
ENTRIES = [
    {"server": "x", "kind": "tools", "name": name, "exposed": name, "allowed": True, "reason": "", "pin": "same"}
    for name in ("read", "write")
]
REPORT = json.dumps({"version": "1", "servers": [{"name": "x", "running": True}], "entries": ENTRIES}).encode()


class Toolman(socketserver.StreamRequestHandler):
    """Answers one question."""

    def handle(self) -> None:
        """See :class:`socketserver.StreamRequestHandler`."""
        while self.rfile.readline().strip():
            pass
        self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + REPORT)


class Toolmans(socketserver.ThreadingTCPServer):
    """All of them."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64


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
                for event in self._requests.stream(WATCH_PODS, "", {**query, "timeoutSeconds": "300"}):
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
        where = {"podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}]}
        body = {"status": {"phase": "Running", "conditions": ready, "startTime": now, **where}}
        try:
            self._requests(PATCH_STATUS, pod["metadata"]["namespace"], pod["metadata"]["name"], body=body)
        except cluster.ClusterError as error:
            sys.stderr.write(f"kubelet: {error}\n")


if __name__ == "__main__":
    threading.stack_size(256 * 1024)
    threading.Thread(target=Toolmans((ADDRESS, names.ADMIN_PORT), Toolman).serve_forever, daemon=True).start()
    Kubelet(kube.connect().requests).follow()

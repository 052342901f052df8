"""The workers: take a key, have it reconciled, decide when it comes again. What goes wrong with one stays with it."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from typing import TYPE_CHECKING, Protocol

from mcp_operator import cluster

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_operator.workqueue import Key, WorkQueue

WORKERS = 8
"""Threads: most of their time they wait for the API server or a git host."""

logger = logging.getLogger(__name__)


class Reconciler(Protocol):
    """Looks at one object."""

    def reconcile(self, namespace: str, name: str, /) -> float | None:
        """Bring it closer to what it should be; give the seconds until it should be looked at again."""


class Controller:
    """Worker threads over a queue.

    Args:
        queue: Where keys come from.
        reconcilers: By the kind of a key.
        workers: How many objects are looked at at the same time.
    """

    def __init__(self, queue: WorkQueue, reconcilers: Mapping[str, Reconciler], workers: int = WORKERS) -> None:
        self._queue = queue
        self._reconcilers = reconcilers
        self._threads = [
            threading.Thread(target=self._work, name=f"worker-{number}", daemon=True) for number in range(workers)
        ]
        self._logged: dict[Key, str] = {}

    def start(self) -> None:
        """Start the workers."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float) -> bool:
        """Let the workers finish what they have in hand; True when all did within ``timeout`` seconds."""
        self._queue.close()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while (key := self._queue.get()) is not None:
            try:
                self._reconcile(key)
            finally:
                self._queue.done(key)

    def _reconcile(self, key: Key) -> None:
        try:
            delay = self._reconcilers[key.kind].reconcile(key.namespace, key.name)
        except (cluster.UnreachableError, cluster.ConflictError, cluster.NotFoundError) as error:
            logger.info("%s: %s; again in %.1f s", key, error, self._queue.retry(key))
        except cluster.ClusterError as error:
            logger.warning("%s: the API server refuses: %s; again in %.1f s", key, error, self._queue.retry(key))
        except Exception:  # noqa: BLE001 - a bug: it costs this object a delay, and no other one anything
            self._report(key, self._queue.retry(key))
        else:
            self._queue.succeeded(key)
            self._logged.pop(key, None)
            if delay is not None:
                self._queue.add(key, delay)

    def _report(self, key: Key, delay: float) -> None:
        trace = traceback.format_exc()
        if self._logged.get(key) == trace:
            logger.error("%s: the same failure again; again in %.1f s", key, delay)
            return
        self._logged[key] = trace
        logger.error("%s: a bug in the operator; again in %.1f s\n%s", key, delay, trace)

"""The workers: take a key, have it reconciled, decide when it comes again. What goes wrong with one stays with it."""

from __future__ import annotations

import logging
import random
import threading
import time
import traceback
from typing import TYPE_CHECKING, Final, Protocol

from mcp_operator import cluster, logs, snapshots

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_operator.metrics import Metrics
    from mcp_operator.workqueue import Key, WorkQueue

WORKERS: Final = 8
"""Threads: most of their time they wait for the API server or a git host."""
LONG: Final = 60.0
"""Seconds from which on a delay is no appointment but "now and then"."""
SPREAD: Final = 0.1
"""Of such a delay, added to it: a thousand objects that were looked at together come again one after the other. Never
less: who comes before it is time finds nothing to do and has to come again."""
STUCK_SECONDS: Final = 900.0
"""With one object in hand: every request has a bound, and no sum of them comes near this."""

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
        metrics: Gets how long each look took, and what came of it.
    """

    def __init__(
        self,
        queue: WorkQueue,
        reconcilers: Mapping[str, Reconciler],
        workers: int = WORKERS,
        metrics: Metrics | None = None,
    ) -> None:
        self._queue = queue
        self._reconcilers = reconcilers
        self._metrics = metrics
        self._threads = [
            threading.Thread(target=self._work, name=f"worker-{number}", daemon=True) for number in range(workers)
        ]
        self._logged: dict[Key, str] = {}
        self._in_hand: dict[Key, float] = {}

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

    def busy(self) -> int:
        """Say how many workers have an object in hand."""
        return len(self._in_hand)

    def stuck(self, limit: float = STUCK_SECONDS) -> str:
        """Say which object a worker has had in hand for longer than ``limit`` seconds; empty when there is none."""
        dead = [thread.name for thread in self._threads if thread.ident is not None and not thread.is_alive()]
        if dead and not self._queue.closed:
            return f"{dead[0]} has ended"
        now = time.monotonic()
        late = [key for key, since in self._in_hand.copy().items() if now - since > limit]
        return f"{late[0]} has been looked at for more than {limit:.0f} s" if late else ""

    def _work(self) -> None:
        while (key := self._queue.get()) is not None:
            started = self._in_hand[key] = time.monotonic()
            result = "failed"
            try:
                with logs.about(key), snapshots.since(self._queue.woken(key)), self._queue.in_hand(key):
                    result = self._reconcile(key)
            finally:
                del self._in_hand[key]
                self._queue.done(key)
                if self._metrics is not None:
                    self._metrics.reconcile_seconds.observe(time.monotonic() - started, key.kind, result)

    def _reconcile(self, key: Key) -> str:
        try:
            delay = self._reconcilers[key.kind].reconcile(key.namespace, key.name)
        except cluster.UnreachableError as error:
            logger.info("%s: %s; again in %.1f s", key, error, self._queue.retry(key, error.retry_after or 0.0))
            return "unreachable"
        except cluster.EndingError as error:
            logger.debug("%s: %s; nothing more is done about it", key, error)
            delay = None
        except (cluster.ConflictError, cluster.NotFoundError) as error:
            logger.info("%s: %s; again in %.1f s", key, error, self._queue.retry(key))
            return "conflict"
        except cluster.ClusterError as error:
            logger.warning("%s: the API server refuses: %s; again in %.1f s", key, error, self._queue.retry(key))
            return "refused"
        except Exception:  # noqa: BLE001 - a bug: it costs this object a delay, and no other one anything
            self._report(key, self._queue.retry(key))
            return "bug"
        self._queue.succeeded(key)
        self._logged.pop(key, None)
        if delay is not None:
            self._queue.add(key, delay * random.uniform(1, 1 + SPREAD) if delay >= LONG else delay)  # noqa: S311
        return "done"

    def _report(self, key: Key, delay: float) -> None:
        trace = traceback.format_exc()
        if self._logged.get(key) == trace:
            logger.error("%s: the same failure again; again in %.1f s", key, delay)
            return
        self._logged[key] = trace
        logger.error("%s: a bug in the operator; again in %.1f s\n%s", key, delay, trace)

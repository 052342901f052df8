"""The Lease that keeps two operators from working at the same time.

Expiry is judged by how long the Lease has not changed on *our* clock, never by comparing the times in it with it, so
clocks of nodes may differ. The holder gives up before anybody else may take over: it must have renewed within
``RENEW_DEADLINE``, others wait for ``DURATION``.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from mcp_operator import cluster, names

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcp_operator.cluster import Manifest

DURATION = 11.0
"""Seconds without a renewal after which another operator may take over."""
RENEW_DEADLINE = 8.5
"""Seconds without a successful renewal after which the holder stops; the difference is for stopping."""
RETRY = 1.5
"""Seconds between looks."""
WATCH = 0.5
"""Seconds between checks of the deadline."""

logger = logging.getLogger(__name__)


class Leases(Protocol):
    """What the Lease needs of the API server."""

    def lease(self, namespace: str, name: str) -> Manifest | None:
        """Read a Lease; None when it is not there."""

    def create_lease(self, manifest: Manifest) -> Manifest:
        """Create a Lease.

        Raises:
            cluster.ConflictError: There is one already.
        """

    def replace_lease(self, manifest: Manifest) -> Manifest:
        """Replace a Lease.

        Raises:
            cluster.ConflictError: It has changed since it was read.
        """


class Lease:
    """One candidate for holding the Lease.

    Args:
        leases: The API.
        namespace: Where the Lease is.
        identity: Unique to this process.
        clock: Seconds, monotonic.
        retry: Seconds between looks.
        place: With what identities begin of processes that can only follow each other, as those of one container do;
            empty where nothing is known of that. One of these that holds the Lease has ended.
    """

    def __init__(
        self,
        leases: Leases,
        namespace: str,
        identity: str,
        clock: Callable[[], float] = time.monotonic,
        retry: float = RETRY,
        place: str = "",
    ) -> None:
        self._leases = leases
        self._namespace = namespace
        self._identity = identity
        self._clock = clock
        self._observed: tuple[str, float] = ("", 0.0)
        self._retry = retry
        self._place = place
        self._renewed = 0.0
        self._taken_by = ""
        self._stop = threading.Event()
        self._keeper: threading.Thread | None = None

    def acquire(self, stop: threading.Event) -> bool:
        """Wait until the Lease is ours; False when ``stop`` was set first."""
        told = ""
        while not stop.is_set():
            holder = self._attempt()
            if holder == self._identity:
                return True
            if holder != told:
                logger.info("waiting for the lease, held by %s", holder or "nobody known")
                told = holder
            stop.wait(self._retry)
        return False

    def keep(self, lost: Callable[[], None]) -> None:
        """Renew from now on, in a thread; ``lost`` is called, once, when somebody else holds it or renewing failed.

        The deadline is watched by a thread of its own: a request that hangs must not keep us working without the Lease.
        """
        self._keeper = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._keeper.start()
        threading.Thread(target=self._watch, args=(lost,), name="lease-watch", daemon=True).start()

    def release(self) -> None:
        """Stop renewing and let the next operator take over at once."""
        self._stop.set()
        if self._keeper is not None:
            self._keeper.join(timeout=RENEW_DEADLINE)
        with contextlib.suppress(cluster.ClusterError):  # it expires by itself
            raw = self._leases.lease(self._namespace, names.LEASE)
            if raw is not None and _holder(raw) == self._identity:
                raw["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
                self._leases.replace_lease(raw)

    def _renew(self) -> None:
        while not self._stop.wait(self._retry):
            holder = self._attempt()
            if holder not in {self._identity, ""}:
                self._taken_by = holder
                return

    def _watch(self, lost: Callable[[], None]) -> None:
        while not self._stop.wait(WATCH):
            silent = self._clock() - self._renewed
            if self._taken_by or silent > RENEW_DEADLINE:
                logger.critical(
                    "the lease is lost: %s", f"{self._taken_by} has it" if self._taken_by else "not renewed"
                )
                lost()
                return

    def _attempt(self) -> str:
        """Take or renew the Lease if we may; give the holder's identity, or nothing when the API did not tell."""
        started = self._clock()
        try:
            raw = self._leases.lease(self._namespace, names.LEASE)
            if raw is None:
                self._leases.create_lease(self._manifest())
            elif self._may_take(raw):
                self._leases.replace_lease(self._taken(raw))
            else:
                return _holder(raw)
        except cluster.ConflictError:
            return ""  # another candidate was faster; the next look tells who
        except cluster.ClusterError as error:
            logger.warning("lease: %s", error)
            return ""
        self._renewed = started
        return self._identity

    def _may_take(self, raw: Manifest) -> bool:
        version, since = self._observed
        if raw["metadata"]["resourceVersion"] != version:
            since = self._clock()
            self._observed = (raw["metadata"]["resourceVersion"], since)
        holder = _holder(raw)
        if holder in {self._identity, ""} or (self._place and holder.startswith(self._place)):
            return True
        duration = float(raw.get("spec", {}).get("leaseDurationSeconds") or DURATION)
        return self._clock() - since > duration

    def _taken(self, raw: Manifest) -> Manifest:
        spec = dict(raw.get("spec") or {})
        if _holder(raw) != self._identity:
            spec["acquireTime"] = _now()
            spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + 1
        spec |= {"holderIdentity": self._identity, "leaseDurationSeconds": int(DURATION), "renewTime": _now()}
        return {**raw, "spec": spec}

    def _manifest(self) -> Manifest:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"namespace": self._namespace, "name": names.LEASE},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": int(DURATION),
                "acquireTime": _now(),
                "renewTime": _now(),
                "leaseTransitions": 0,
            },
        }


def _holder(raw: Manifest) -> str:
    return str((raw.get("spec") or {}).get("holderIdentity") or "")


def _now() -> str:
    """RFC 3339 with microseconds, as a Lease wants it; for people only."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

"""Builds under way: at most one a server, a bounded number in all, each in a thread of its own, all cancellable.

Namespaces take turns: what waits is in an order in which none waits for all the servers of another.

A reconciliation never waits for a build. It says which build it wants, looks at how far that is, and is called again
when there is something new to see; the result stays here until it has been written to the status.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from mcp_operator import conditions
from mcp_operator.images.contract import BuildCancelled, BuildError, BuildRequest, BuildResult, Progress, Step
from mcp_operator.images.existing import ImageRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mcp_operator.metrics import Metrics
    from mcp_operator.workqueue import Key

Request = BuildRequest | ImageRequest
"""What a job is asked for: to build an image, or to try out one that is there."""

PROGRESS_INTERVAL = 1.0
"""Seconds at least between two looks at a build's progress: each is a write to the API server."""

logger = logging.getLogger(__name__)


class Builder(Protocol):
    """What runs a build."""

    def build(self, request: Request, progress: Progress, cancelled: threading.Event) -> BuildResult:
        """Build, verify and push; or pull and verify.

        Raises:
            BuildError: It failed.
            BuildCancelled: ``cancelled`` was set.
        """


class State(Enum):
    """Of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, kw_only=True)
class View:
    """A job at one moment. ``position`` counts from 1 while it is queued. At most one of result and error is set."""

    key: str
    state: State
    position: int
    step: Step
    detail: str
    result: BuildResult | None
    error: BuildError | None


@dataclass(kw_only=True)
class _Job:
    owner: Key
    key: str
    request: Request
    cancelled: threading.Event = field(default_factory=threading.Event)
    step: Step = Step.FETCH
    detail: str = ""
    result: BuildResult | None = None
    error: BuildError | None = None


class Builds:
    """All jobs, by the UID of the MCPServer that each is for.

    Args:
        builder: Runs one build.
        limit: Builds at the same time.
        wake: Called with a server's key and a delay in seconds when there is something new to see.
        metrics: Gets how long each build took, and how it ended.
    """

    def __init__(
        self, builder: Builder, limit: int, wake: Callable[[Key, float], None], metrics: Metrics | None = None
    ) -> None:
        self._builder = builder
        self._limit = limit
        self._wake = wake
        self._metrics = metrics
        self._changed = threading.Condition()
        self._queued: dict[str, _Job] = {}
        self._running: dict[str, _Job] = {}
        self._ended: dict[str, _Job] = {}
        self._open = False
        self._turn = 0
        self._turns: dict[str, int] = {}
        """The number of each namespace's last turn."""

    def open(self) -> None:
        """Let builds start. Before this they queue, so that tidying up at start meets nothing new."""
        with self._changed:
            self._open = True
            news = self._schedule()
        self._tell(news)

    def ensure(self, owner: Key, key: str, request: Request) -> None:
        """See to it that the build of this key runs for this server, and no other one."""
        uid = request.uid
        with self._changed:
            job = self._current(uid)
            if job is not None and job.key == key and not job.cancelled.is_set():
                return
            self._drop(uid)
            self._queued[uid] = _Job(owner=owner, key=key, request=request)
            news = self._schedule()
        self._tell(news)

    def view(self, uid: str) -> View | None:
        """Look at a server's job; None when there is none, or when it has been cancelled."""
        with self._changed:
            job = self._current(uid)
            if job is None or job.cancelled.is_set():
                return None
            return View(
                key=job.key,
                state=self._state(uid),
                position=self._order().index(uid) + 1 if uid in self._queued else 0,
                step=job.step,
                detail=job.detail,
                result=job.result,
                error=job.error,
            )

    def settle(self, uid: str, key: str) -> None:
        """Forget a job that has ended, its result being written down."""
        with self._changed:
            if uid in self._ended and self._ended[uid].key == key:
                del self._ended[uid]

    def cancel(self, uid: str) -> bool:
        """Cancel a server's job; True when nothing of it runs any more. The owner is woken when that comes true."""
        with self._changed:
            self._drop(uid)
            return uid not in self._running

    def counts(self) -> dict[State, int]:
        """Say how many jobs are queued and how many run."""
        with self._changed:
            return {State.QUEUED: len(self._queued), State.RUNNING: len(self._running)}

    def close(self, timeout: float) -> bool:
        """Cancel all jobs and wait, at most ``timeout`` seconds; True when all have ended."""
        with self._changed:
            self._open = False
            self._queued.clear()
            for job in self._running.values():
                job.cancelled.set()
            return self._changed.wait_for(lambda: not self._running, timeout)

    # --- the rest is called with the lock held, except _run and _tell

    def _current(self, uid: str) -> _Job | None:
        return self._queued.get(uid) or self._running.get(uid) or self._ended.get(uid)

    def _state(self, uid: str) -> State:
        if uid in self._queued:
            return State.QUEUED
        return State.RUNNING if uid in self._running else State.ENDED

    def _drop(self, uid: str) -> None:
        self._queued.pop(uid, None)
        self._ended.pop(uid, None)
        if uid in self._running:
            self._running[uid].cancelled.set()

    def _order(self) -> list[str]:
        """Give who waits, the next first: namespaces in turn, so that one with many servers keeps no other waiting."""
        turns = dict(self._turns)
        waiting: dict[str, list[str]] = {}
        for uid, job in self._queued.items():
            waiting.setdefault(job.owner.namespace, []).append(uid)
        order: list[str] = []
        while waiting:
            # Whose turn is longest ago; among those that had none, who came first: a dictionary keeps that order.
            namespace = min(waiting, key=lambda name: turns.get(name, 0))
            turns[namespace] = self._turn + len(order) + 1
            order.append(waiting[namespace].pop(0))
            if not waiting[namespace]:
                del waiting[namespace]
        return order

    def _schedule(self) -> list[tuple[Key, float]]:
        """Start what may start; give whom to wake, once the lock is free again, and when."""
        started = []
        for uid in self._order():
            if not self._open or len(self._running) >= self._limit:
                break
            if uid in self._running:  # a cancelled build of the same server is still tidying up
                continue
            job = self._running[uid] = self._queued.pop(uid)
            self._turn += 1
            self._turns[job.owner.namespace] = self._turn
            threading.Thread(target=self._run, args=(job,), name=f"build {job.owner}", daemon=True).start()
            started.append((job.owner, 0.0))
        return [*started, *((job.owner, PROGRESS_INTERVAL) for job in self._queued.values())]

    def _run(self, job: _Job) -> None:
        started = time.monotonic()
        try:
            job.result = self._builder.build(job.request, _Progress(job, self._wake), job.cancelled)
        except BuildCancelled:
            job.cancelled.set()
        except BuildError as error:
            job.error = error
        except Exception as error:  # a bug; it must not leave the server building for ever
            if job.cancelled.is_set():  # its connections were cut on purpose
                logger.info("build of %s: cancelled, ended by %r", job.owner, error)
            else:
                logger.exception("build of %s", job.owner)
            job.error = BuildError(
                conditions.INTERNAL_ERROR,
                "the operator failed while building",
                step=job.step,
                hint="this is a bug in the operator: see its log",
                transient=True,
            )
        self._measure(job, time.monotonic() - started)
        uid = job.request.uid
        with self._changed:
            del self._running[uid]
            if not job.cancelled.is_set() and uid not in self._queued:
                self._ended[uid] = job
            news = self._schedule()
            self._changed.notify_all()
        self._tell([(job.owner, 0.0), *news])

    def _measure(self, job: _Job, seconds: float) -> None:
        if self._metrics is None:
            return
        ended = "failed" if job.error is not None else "succeeded"
        self._metrics.build_seconds.observe(seconds, "cancelled" if job.cancelled.is_set() else ended)

    def _tell(self, news: Iterable[tuple[Key, float]]) -> None:
        for owner, delay in news:
            self._wake(owner, delay)


class _Progress:
    """Hears a build: remembers where it is and has its server looked at, now and then."""

    def __init__(self, job: _Job, wake: Callable[[Key, float], None]) -> None:
        self._job = job
        self._wake = wake

    def step(self, step: Step, detail: str) -> None:
        self._job.step = step
        self._job.detail = detail
        self._wake(self._job.owner, PROGRESS_INTERVAL)

    def log(self, line: str) -> None:
        logger.debug("%s: %s", self._job.owner, line)

"""Questions to git hosts, registries and remote servers: asked beside the workers, answered from memory.

A worker never waits for a host. It gets the last answer that there is, or hears that there is none yet, and is woken
when there is. What one host takes is nobody else's time: few questions of one namespace run at once.
"""

from __future__ import annotations

import logging
import random
import threading
from collections import Counter, deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from mcp_operator import conditions
from mcp_operator.images.contract import BuildCancelled, BuildError
from mcp_operator.outcomes import Problem, Stalled, Waiting
from mcp_operator.reconcile import build_status
from mcp_operator.workqueue import backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcp_operator.images.http_probe import Found
    from mcp_operator.workqueue import Key

    Runner = Callable[[str, Callable[[], None]], None]

RETRY_FIRST: Final = 5.0
"""Seconds until a host that did not answer is asked again; doubling."""
RECHECK_FIRST: Final = 30.0
"""Seconds until a repository or ref that is not there is asked for again; doubling. Nobody tells us of a push."""
RETRY_CAP: Final = 300.0
"""Seconds at most between two such questions."""
JITTER: Final = 0.1
"""Part of an interval by which it may be shorter or longer, so that a thousand servers do not ask at once."""
THREADS: Final = 24
"""Questions at the same time: nearly all of their time they wait for somebody."""
SHARE: Final = 4
"""Of those, at most so many for one namespace: whoever names hosts that never answer delays himself."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a source means now.

    Attributes:
        revision: Commit, version or digest; empty for a remote server.
        tag: The tag that a range of versions led to.
        greeting: What a remote server said.
        inside: It may be inside of the cluster.
    """

    revision: str = ""
    tag: str = ""
    greeting: Found | None = None
    inside: bool = False


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question.

    Attributes:
        subject: What it is about: with another one, earlier answers are of no use.
        token: Another one means asking again now.
        interval: Seconds for which an answer counts.
        ask: Asks; raises a problem or a BuildError.
    """

    subject: str
    token: str
    interval: float
    ask: Callable[[], Answer]


class PendingError(Exception):
    """There is no answer yet; the owner is woken when there is."""


@dataclass
class _Entry:
    """``failures`` counts the problems in a row; ``expires`` is None until there was an answer of either kind."""

    subject: str
    token: str
    answer: Answer | None = None
    problem: Problem | None = None
    failures: int = 0
    expires: datetime | None = None
    asking: bool = True


class Lookups:
    """The answers, by the server's UID. Thread-safe.

    Args:
        run: Runs something for a namespace, soon, in another thread.
        clock: The time, UTC.
        wake: Called with a key and a delay when there is something new to see.
        jitter: Gives a factor for each interval.
    """

    def __init__(
        self,
        run: Runner,
        clock: Callable[[], datetime],
        wake: Callable[[Key, float], None],
        jitter: Callable[[], float] = lambda: random.uniform(1 - JITTER, 1 + JITTER),  # noqa: S311 - spreads load
    ) -> None:
        self._run = run
        self._clock = clock
        self._wake = wake
        self._jitter = jitter
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}

    def answer(self, owner: Key, uid: str, question: Question, *, busy: bool) -> Answer:
        """Give what is known, and see to it that it is asked when it is time.

        Args:
            owner: Whom to wake.
            uid: Of the owner.
            question: What is asked.
            busy: A build runs: the answer that it was started with stands, whatever is pushed, or fails, meanwhile.

        Raises:
            PendingError: Nothing is known yet.
            Problem: The last answer was one.
        """
        with self._lock:
            entry, ask = self._current(uid, question, busy=busy)
        if ask:
            self._run(owner.namespace, partial(self._ask, owner, uid, entry, question))
        with self._lock:
            if entry.problem is not None and not (busy and entry.answer is not None):
                problem = entry.problem
                raise type(problem)(problem.reason, problem.message, delay=self._remaining(entry))
            if entry.answer is None:
                raise PendingError
            return entry.answer

    def delay(self, uid: str) -> float | None:
        """Give the seconds until a server's source is to be asked about again; None while it is being asked."""
        with self._lock:
            entry = self._entries.get(uid)
            return self._remaining(entry) if entry is not None else None

    def forget(self, uid: str) -> None:
        """Drop what is known of a server that is gone."""
        with self._lock:
            self._entries.pop(uid, None)

    def _current(self, uid: str, question: Question, *, busy: bool) -> tuple[_Entry, bool]:
        entry = self._entries.get(uid)
        if entry is None or entry.subject != question.subject or (entry.token != question.token and not busy):
            entry = self._entries[uid] = _Entry(subject=question.subject, token=question.token)
            return entry, True
        is_due = entry.expires is not None and self._clock() >= entry.expires
        if entry.asking or busy or not is_due:
            return entry, False
        entry.asking = True
        return entry, True

    def _remaining(self, entry: _Entry) -> float | None:
        if entry.asking or entry.expires is None:
            return None
        return max(0.0, (entry.expires - self._clock()).total_seconds())

    def _ask(self, owner: Key, uid: str, entry: _Entry, question: Question) -> None:
        failures = entry.failures + 1
        try:
            reply = _reply(owner, question, failures)
        except BuildCancelled:
            return  # the operator ends
        with self._lock:
            if self._entries.get(uid) is not entry:
                return  # something else is asked by now
            is_news = reply != entry.answer or entry.problem is not None
            if isinstance(reply, Answer):
                entry.answer, entry.problem, entry.failures = reply, None, 0
                seconds = question.interval * self._jitter()
            else:
                entry.problem, entry.failures = reply, failures
                seconds = reply.delay or RETRY_CAP
            entry.expires = self._clock() + timedelta(seconds=seconds)
            entry.asking = False
        self._wake(owner, 0.0 if is_news else seconds)


class Threads:
    """Runs questions, a bounded number at once, and of each namespace fewer.

    The others wait in their order, but who has the fewest under way comes first: also somebody who has many namespaces,
    full of hosts that never answer, leaves room for everybody else.
    """

    def __init__(self, limit: int = THREADS, share: int = SHARE) -> None:
        self._limit = limit
        self._share = share
        self._lock = threading.Lock()
        self._waiting: deque[tuple[str, Callable[[], None]]] = deque()
        self._running: Counter[str] = Counter()

    def run(self, namespace: str, job: Callable[[], None]) -> None:
        """Run something soon."""
        with self._lock:
            self._waiting.append((namespace, job))
        self._start()

    def _start(self) -> None:
        started = []
        with self._lock:
            while self._waiting and self._running.total() < self._limit:
                entry = min(self._waiting, key=lambda each: self._running[each[0]])
                if self._running[entry[0]] >= self._share:
                    break
                self._waiting.remove(entry)
                self._running[entry[0]] += 1
                started.append(entry)
        for entry in started:
            threading.Thread(target=self._work, args=entry, name=f"lookup {entry[0]}", daemon=True).start()

    def _work(self, namespace: str, job: Callable[[], None]) -> None:
        try:
            job()
        finally:
            with self._lock:
                self._running[namespace] -= 1
                if not self._running[namespace]:
                    del self._running[namespace]
            self._start()


def _reply(owner: Key, question: Question, failures: int) -> Answer | Problem:
    """Ask.

    Raises:
        BuildCancelled: The operator ends.
    """
    try:
        return question.ask()
    except Problem as problem:
        return problem
    except BuildError as error:
        return _problem(error, failures)
    except BuildCancelled:
        raise
    except Exception:  # a bug; it must not leave the server without an answer for ever
        logger.exception("looking up the source of %s", owner)
        text = "the operator failed while looking up the source: this is a bug, see its log"
        return Waiting(conditions.INTERNAL_ERROR, text, delay=RETRY_CAP)


def _problem(error: BuildError, failures: int) -> Problem:
    kind, first = (Waiting, RETRY_FIRST) if error.transient else (Stalled, RECHECK_FIRST)
    return kind(error.reason, build_status.explain(error), delay=backoff(failures - 1, first, RETRY_CAP))

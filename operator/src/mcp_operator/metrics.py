"""What the operator counts and measures, for Prometheus: every metric that there is, with the labels that it may have.

Label values are kinds, verbs, resources, codes and reasons of our own. Nothing that a tenant chose is one, so their
number is bounded whatever people put into the cluster. An own few lines as in toolman, instead of a client library.
"""

from __future__ import annotations

import bisect
import re
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mcp_operator.access import Access
    from mcp_operator.cluster import Manifest

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
RECONCILE_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
BUILD_BUCKETS: Final = (5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0)
PREFIX: Final = "mcp_operator_"
REQUEST_LABELS: Final = ("verb", "resource", "code")

OTHER: Final = "other"
WORD: Final = re.compile("[A-Za-z]{1,64}")
CONDITIONS: Final = 1000
"""Combinations of kind, type, status and reason that are told apart; ours are a few hundred."""

Labels = tuple[str, ...]


class Metric:
    """One metric: values by the labels' values. Thread-safe.

    Args:
        name: Without the prefix that all have.
        kind: ``counter`` or ``gauge``.
        help_text: One sentence.
        labels: Names.
    """

    def __init__(self, name: str, kind: str, help_text: str, labels: Labels = ()) -> None:
        self.name = PREFIX + name
        self.kind = kind
        self.help = help_text
        self.labels = labels
        self._lock = threading.Lock()
        self._values: dict[Labels, float] = {}

    def add(self, amount: float, *labels: str) -> None:
        """Count."""
        with self._lock:
            self._values[labels] = self._values.get(labels, 0.0) + amount

    def set(self, value: float, *labels: str) -> None:
        """Say what it is now."""
        with self._lock:
            self._values[labels] = value

    def replace(self, values: Mapping[Labels, float]) -> None:
        """Say what all of them are now; others are gone."""
        with self._lock:
            self._values = dict(values)

    def value(self, *labels: str) -> float:
        """Give one value; 0 when nothing was said."""
        with self._lock:
            return self._values.get(labels, 0.0)

    def lines(self) -> Iterator[str]:
        """Give the lines of its values."""
        with self._lock:
            values = sorted(self._values.items())
        for labels, value in values:
            yield _line(self.name, zip(self.labels, labels, strict=True), value)


class Histogram(Metric):
    """Seconds by the labels' values, in buckets."""

    def __init__(self, name: str, help_text: str, labels: Labels, buckets: tuple[float, ...]) -> None:
        super().__init__(name, "histogram", help_text, labels)
        self._buckets = buckets
        self._counts: dict[Labels, list[int]] = {}

    def observe(self, seconds: float, *labels: str) -> None:
        """Take note of how long something took."""
        with self._lock:
            counts = self._counts.setdefault(labels, [0] * (len(self._buckets) + 1))
            counts[bisect.bisect_left(self._buckets, seconds)] += 1
            self._values[labels] = self._values.get(labels, 0.0) + seconds

    def count(self, *labels: str) -> int:
        """Give how often something was observed."""
        with self._lock:
            return sum(self._counts.get(labels, ()))

    def lines(self) -> Iterator[str]:
        """Give the lines of its buckets, its sum and its count."""
        with self._lock:
            rows = sorted((labels, list(counts), self._values[labels]) for labels, counts in self._counts.items())
        for labels, counts, total in rows:
            named = list(zip(self.labels, labels, strict=True))
            seen = 0
            for limit, count in zip((*map(_number, self._buckets), "+Inf"), counts, strict=True):
                seen += count
                yield _line(f"{self.name}_bucket", [*named, ("le", limit)], seen)
            yield _line(f"{self.name}_sum", named, total)
            yield _line(f"{self.name}_count", named, seen)


class Metrics:
    """All of them. What is a state rather than a count is asked for when somebody wants to know it."""

    def __init__(self) -> None:
        self.reconcile_seconds = Histogram(
            "reconcile_seconds", "Seconds that looking at one object took.", ("kind", "result"), RECONCILE_BUCKETS
        )
        self.queue_depth = Metric("queue_depth", "gauge", "Objects that are due and that no worker has yet.")
        self.queue_age = Metric("queue_age_seconds", "gauge", "Seconds for which the first of those has been due.")
        self.workers_busy = Metric("workers_busy", "gauge", "Workers that have an object in hand.")
        self.build_seconds = Histogram(
            "build_seconds", "Seconds that a build took, by how it ended.", ("result",), BUILD_BUCKETS
        )
        self.builds = Metric("builds", "gauge", "Builds by state: queued or running.", ("state",))
        self.conditions = Metric(
            "conditions", "gauge", "Objects that have a condition.", ("kind", "type", "status", "reason")
        )
        self.requests = Metric(
            "api_requests_total", "counter", "Requests to the API server; code 0: none came back.", REQUEST_LABELS
        )
        self.watch_restarts = Metric(
            "watch_restarts_total", "counter", "Watches that were begun anew, by why.", ("resource", "why")
        )
        self.leader = Metric("leader", "gauge", "1 while this process holds the Lease.")
        self._refreshers: list[Callable[[], None]] = []
        self._held: dict[tuple[str, str, str], frozenset[Labels]] = {}
        self._holding: dict[Labels, int] = {}
        self._lock = threading.Lock()

    def every(self) -> list[Metric]:
        """Give all metrics, in the order in which they are shown."""
        return [value for value in vars(self).values() if isinstance(value, Metric)]

    def refresh_with(self, refresh: Callable[[], None]) -> None:
        """Call this before values are shown."""
        self._refreshers.append(refresh)

    def requested(self, right: Access, code: int, seconds: float) -> None:
        """See :class:`mcp_operator.kube.Observer`."""
        del seconds
        self.requests.add(1, right.verb, right.resource.full, str(code))

    def holds(self, kind: str, namespace: str, name: str, conditions: Iterable[Manifest]) -> None:
        """Take note of the conditions that an object has now; of none when it is gone."""
        with self._lock:
            now = frozenset(self._labels(kind, each) for each in conditions)
            before = self._held.pop((kind, namespace, name), frozenset())
            if now:
                self._held[kind, namespace, name] = now
            for labels in before - now:
                self._holding[labels] -= 1
                if not self._holding[labels]:
                    del self._holding[labels]
            for labels in now - before:
                self._holding[labels] = self._holding.get(labels, 0) + 1

    def _labels(self, kind: str, condition: Manifest) -> Labels:
        """Give a condition's labels; a status that others have written must not make ever more of them."""
        labels = (kind, *(str(condition.get(field)) for field in ("type", "status", "reason")))
        known = labels in self._holding or len(self._holding) < CONDITIONS
        return labels if known and all(WORD.fullmatch(label) for label in labels) else (kind, OTHER, OTHER, OTHER)

    def text(self) -> str:
        """Give everything in the text format of Prometheus."""
        for refresh in self._refreshers:
            refresh()
        with self._lock:
            self.conditions.replace(self._holding)
        lines = []
        for metric in self.every():
            lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}", *metric.lines()]
        return "\n".join(lines) + "\n"


def _line(name: str, labels: Iterable[tuple[str, str]], value: float) -> str:
    named = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
    return f"{name}{{{named}}} {_number(value)}" if named else f"{name} {_number(value)}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)

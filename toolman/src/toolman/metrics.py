"""Counting what happens, for Prometheus: every metric that there is, with the labels that it may have.

Label values are names of servers in the configuration and words of our own: never a tool's name, which may be hidden,
and never anything that a client chose. An own few lines instead of a client library, which would cost every sidecar
two megabytes.
"""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds: from what toolman itself needs to calls that work for minutes."""

METHODS = frozenset(
    {
        "initialize",
        "server/discover",
        "ping",
        "tools/list",
        "tools/call",
        "prompts/list",
        "prompts/get",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "resources/subscribe",
        "resources/unsubscribe",
        "completion/complete",
        "logging/setLevel",
        "subscriptions/listen",
        "tasks/get",
        "tasks/result",
        "tasks/list",
        "tasks/cancel",
        "tasks/update",
    }
)
OTHER = "other"


class Sample(NamedTuple):
    """One value: what stands behind the metric's name, and the labels' values."""

    suffix: str
    labels: tuple[tuple[str, str], ...]
    value: float


class Metric:
    """Something that is counted or measured.

    Args:
        name: Without the prefix that all have.
        help_text: One sentence.
        labels: Names.
    """

    kind = "gauge"

    def __init__(self, name: str, help_text: str, labels: tuple[str, ...] = ()) -> None:
        self.name = f"toolman_{name}"
        self.help = help_text
        self.labels = labels
        self._values: dict[tuple[str, ...], float] = {}

    def set(self, value: float, *labels: str) -> None:
        """Say what it is now."""
        self._values[labels] = value

    def clear(self) -> None:
        """Forget all values, before they are said anew."""
        self._values.clear()

    def samples(self) -> Iterator[Sample]:
        """Give all values."""
        for labels, value in self._values.items():
            yield Sample("", tuple(zip(self.labels, labels, strict=True)), value)


class Counter(Metric):
    """Something that only grows."""

    kind = "counter"

    def count(self, *labels: str) -> None:
        """Count one more."""
        self._values[labels] = self._values.get(labels, 0) + 1


class Histogram(Metric):
    """How long things take."""

    kind = "histogram"

    def __init__(self, name: str, help_text: str, labels: tuple[str, ...] = ()) -> None:
        super().__init__(name, help_text, labels)
        self._counts: dict[tuple[str, ...], list[int]] = {}

    def observe(self, seconds: float, *labels: str) -> None:
        """Take one duration."""
        counts = self._counts.get(labels)
        if counts is None:
            counts = self._counts[labels] = [0] * (len(BUCKETS) + 1)
        counts[bisect.bisect_left(BUCKETS, seconds)] += 1
        self._values[labels] = self._values.get(labels, 0) + seconds

    def samples(self) -> Iterator[Sample]:
        """Give all values: counts up to each bound, the sum, the count."""
        for values, counts in self._counts.items():
            labels = tuple(zip(self.labels, values, strict=True))
            total = 0
            for bound, count in zip((*map(_number, BUCKETS), "+Inf"), counts, strict=True):
                total += count
                yield Sample("_bucket", (*labels, ("le", bound)), total)
            yield Sample("_sum", labels, self._values[values])
            yield Sample("_count", labels, total)


class Metrics:
    """All that toolman counts. Gauges are set when somebody looks."""

    def __init__(self) -> None:
        self.requests = Counter(
            "requests_total", "Requests of clients that were answered.", ("era", "method", "outcome")
        )
        self.calls = Histogram("call_seconds", "Duration of tool calls that reached a server.", ("server", "outcome"))
        self.denied = Counter("denied_total", "Uses of what a client may not see, or is not there.", ("kind",))
        self.would_deny = Counter("would_deny_total", "Uses that a layer in audit mode would have denied.", ("kind",))
        self.limited = Counter("limited_total", "Calls refused because a limit was reached.", ("limit",))
        self.refused = Counter("guard_refused_total", "Requests that the guard refused for who sent them.", ("reason",))
        self.reloads = Counter("config_reloads_total", "Changes of the configuration file.", ("result",))
        self.reload_ok = Metric("config_last_reload_successful", "Whether the file as it is now is in force.")
        self.up = Metric("upstream_up", "Whether a server is running.", ("server",))
        self.restarts = Metric("upstream_restarts", "Restarts of a server since toolman began.", ("server",))
        self.sessions = Metric("sessions", "Sessions of clients.")
        self.store_up = Metric("session_store_up", "Whether sessions are kept where they should be.")
        self.list_bytes = Metric(
            "list_bytes", "Bytes of the tools listed by servers, and of the visible ones.", ("stage",)
        )
        self.list_tokens = Metric("list_tokens", "Estimated tokens of the same.", ("stage",))
        self.list_tools = Metric("list_tools", "Number of the same.", ("stage",))
        self.build = Metric("build_info", "Version of toolman.", ("version",))

    def __iter__(self) -> Iterator[Metric]:
        return iter(vars(self).values())

    def requested(self, era: str, method: str | None, outcome: str) -> None:
        """Count a request; a method that is not MCP's own is not named."""
        self.requests.count(era, method if method in METHODS else OTHER, outcome)

    def text(self) -> str:
        """Write all metrics in Prometheus' text format."""
        return "".join(map(_family, self))


def _family(metric: Metric) -> str:
    lines = [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}"]
    lines += [f"{metric.name}{each.suffix}{_labels(each.labels)} {_number(each.value)}" for each in metric.samples()]
    return "\n".join((*lines, ""))


def _labels(labels: Iterable[tuple[str, str]]) -> str:
    inner = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{{{inner}}}" if inner else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    return f"{value:.15g}"

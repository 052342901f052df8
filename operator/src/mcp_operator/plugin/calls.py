"""The audit log of an agent's toolman, read from the logs of its Pods: lines that are no records are passed over."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import msgspec

from mcp_operator import cluster
from mcp_operator.status import printable
from toolman import policy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcp_operator.plugin.person import Person

DENIED: Final = "denied"


class Call(msgspec.Struct, frozen=True):
    """One record, as far as it is shown; :class:`toolman.audit.Record` is all of it."""

    tool: str
    decision: str
    time: str = ""
    client: str = ""
    kind: str = "tools"
    server: str = ""
    name: str = ""
    reason: str = ""
    layer: str = ""
    would_deny: tuple[str, ...] = ()
    outcome: str = ""
    ms: float = 0.0

    def __str__(self) -> str:
        what = f"{self.server}/{self.name or self.tool}" if self.server else self.tool
        why = " ".join(part for part in (self.reason, self.layer) if part) if self.decision == DENIED else self.outcome
        audited = f"would be denied by {', '.join(self.would_deny)}" if self.would_deny else ""
        duration = f"{self.ms:.0f} ms" if self.decision != DENIED else ""
        parts = (self.time[:19], self.decision.upper().ljust(7), what, why, duration, audited, self.client)
        return printable("  ".join(part for part in parts if part))


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What of a log is wanted.

    Attributes:
        denied: Only what was denied, or would be.
        tools: Globs over tools' names; empty for all.
        tail: Lines of the log at most; None for all.
        since: Seconds to look back; None for as long as the log is.
        follow: Go on as new lines come.
    """

    denied: bool = False
    tools: tuple[str, ...] = ()
    tail: int | None = None
    since: int | None = None
    follow: bool = False

    def takes(self, call: Call) -> bool:
        """Tell whether a call is wanted."""
        if self.denied and call.decision != DENIED and not call.would_deny:
            return False
        return not self.tools or policy.matches(self.tools, call.name or call.tool)


_DECODER: Final = msgspec.json.Decoder(Call)


def parse(line: bytes) -> Call | None:
    """Read a line of a log; None where it is no record."""
    if not line.startswith(b"{"):
        return None
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def lines(asking: Person, pod: str, wanted: Wanted) -> Iterator[bytes]:
    """Give the lines of a log; while they are followed, a connection that breaks off is made anew without loss.

    Raises:
        cluster.ClusterError: The log cannot be read.
    """
    last = ""
    query = {"timestamps": "true", "follow": str(wanted.follow).lower()}
    if wanted.tail is not None:
        query["tailLines"] = str(wanted.tail)
    if wanted.since is not None:
        query["sinceSeconds"] = str(wanted.since)
    while True:
        try:
            for line in asking.log(pod, query):
                stamp, _, text = line.partition(b" ")
                if stamp.decode("ascii", "replace") > last:
                    last = stamp.decode("ascii", "replace")
                    yield text.rstrip(b"\r\n")
        except cluster.UnreachableError:
            if not wanted.follow or not last:
                raise
        else:
            return
        query = {"timestamps": "true", "follow": "true", "sinceTime": last}


def of_agent(asking: Person, agent: str, wanted: Wanted) -> Iterator[bytes]:
    """Give the lines of all Pods of an agent, one Pod after the other.

    Raises:
        cluster.ClusterError: A log cannot be read.
        cluster.NotFoundError: There is no Pod.
    """
    pods = asking.pods(agent)
    if not pods:
        why = f"kubectl toolman status -n {asking.namespace} says why"
        raise cluster.NotFoundError(f"no Pod runs for MCPAgent {agent} in namespace {asking.namespace}: {why}")
    if wanted.follow and len(pods) > 1:
        wanted = replace(wanted, follow=False)
    for pod in pods:
        yield from lines(asking, pod, wanted)

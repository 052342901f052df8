"""What became of the calls of :mod:`chaos.client` while something was ended."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from kubectl import KubectlError
from lab.processes import poll

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kubectl import Kubectl

SETTLED_SECONDS = 60.0
"""For every lane to have made a call after the end of what is looked at; the client gives each 20 seconds."""
LANES = 5
"""Of each server, in the client."""


class Record(NamedTuple):
    """What the client wrote about one call; times are Unix."""

    lane: str
    server: str
    number: int
    sent: float
    ended: float
    outcome: str
    why: str


@dataclass
class Window:
    """The calls that were on their way, or made, while something happened."""

    what: str
    begun: float = field(default_factory=time.time)
    ended: float = 0.0
    records: list[Record] = field(default_factory=list)

    def of(self, server: str) -> Window:
        """Give what became of the calls to one server."""
        return Window(self.what, self.begun, self.ended, [each for each in self.records if each.server == server])

    @property
    def lost(self) -> list[Record]:
        """All that were not answered rightly."""
        return [each for each in self.records if each.outcome != "answered"]

    @property
    def unclear(self) -> list[Record]:
        """Those whose client cannot know what happened: no answer, or a wrong one."""
        return [each for each in self.records if each.outcome not in {"answered", "error"}]

    @property
    def answered(self) -> int:
        """How many were answered."""
        return len(self.records) - len(self.lost)

    @property
    def instances(self) -> set[str]:
        """The processes of servers that answered."""
        return {each.why for each in self.records if each.outcome == "answered"}

    @property
    def recovery(self) -> float:
        """Seconds from the first failure to the next answer on the lane that took longest; 0 where nothing failed."""
        return max((self._recovery(lane) for lane in {each.lane for each in self.lost}), default=0.0)

    def lost_on(self, words: str) -> dict[str, list[str]]:
        """Give the errors of the lanes with these words in their names."""
        found: dict[str, list[str]] = {}
        for each in self.lost:
            if words in each.lane:
                found.setdefault(each.lane, []).append(each.why)
        return found

    def __str__(self) -> str:
        """Give the row of a table, and what was said."""
        outcomes = Counter(each.outcome for each in self.records)
        figures = (len(self.records), *(outcomes[each] for each in ("answered", "error", "hung", "wrong")))
        row = f"| {self.what} | {' | '.join(map(str, figures))} | {self.recovery:.1f} s |"
        said = Counter((each.lane, each.why) for each in self.lost)
        return "\n".join([row, *(f"    {count} x {lane}: {why}" for (lane, why), count in said.items())])

    def _recovery(self, lane: str) -> float:
        on_lane = [each for each in self.records if each.lane == lane]
        failed = [each.ended for each in on_lane if each.outcome != "answered"]
        again = [each.ended for each in on_lane if each.outcome == "answered" and each.ended > failed[-1]]
        return (min(again) if again else self.ended) - failed[0]


@dataclass(frozen=True)
class Calls:
    """The client in a Pod. It runs all the time: what is looked at is a part of what it wrote."""

    kubectl: Kubectl
    pod: str
    servers: tuple[str, ...]

    @contextlib.contextmanager
    def during(self, what: str) -> Iterator[Window]:
        """Look at the calls while the block runs, and until calls are answered on every lane after it."""
        window = Window(what)
        yield window
        window.ended = time.time()
        assert poll(lambda: self._are_answered_after(window.ended), SETTLED_SECONDS), self._tail()
        window.ended = time.time()
        window.records = [
            each for each in self._read(window.begun) if each.ended >= window.begun and each.sent <= window.ended
        ]
        print(window)
        assert {each.server for each in window.records} == set(self.servers), self._tail()

    def are_answered(self) -> bool:
        """Say whether calls are answered on every lane."""
        return self._are_answered_after(0)

    def _are_answered_after(self, moment: float) -> bool:
        with contextlib.suppress(KubectlError):
            answered = {each.lane for each in self._read(moment) if each.sent > moment and each.outcome == "answered"}
            return len(answered) == LANES * len(self.servers)
        return False

    def _read(self, since: float) -> list[Record]:
        start = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        text = self.kubectl("logs", self.pod, "-c", "agent", f"--since-time={start}")
        lines: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        return [Record(**line) for line in lines]

    def _tail(self) -> str:
        return self.kubectl("logs", self.pod, "-c", "agent", "--tail=30")

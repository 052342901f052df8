"""Asking toolmans what they see: each agent's Pod now and then, a few at a time, with a token of the operator's.

What is found is kept here and wakes the MCPAgent, and the MCPServers whose tools are not as they were verified. It is
for people to read: nothing that anybody may use depends on it.
"""

from __future__ import annotations

import heapq
import logging
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from mcp_operator import cluster, names, sightings
from mcp_operator.sightings import Drift, Sighting
from mcp_operator.workqueue import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mcp_operator.own_secrets import ReportTokens

INTERVAL: Final = 30.0
"""Seconds between two questions to one toolman."""
RATE: Final = 10.0
"""Questions in a second, to all together: of a thousand toolmans each is asked every hundred seconds."""
SOON: Final = 3.0
"""Seconds until a Pod that has become ready is asked, and until a difference is looked at again: while a server is
being replaced its tools and what is written down of them differ for a moment."""
TIMEOUT: Final = 5.0
"""Seconds for connecting, and for a whole answer: one that trickles in keeps nobody."""
MAX_ANSWER: Final = sightings.MAX_REPORT + 16 * 1024
"""Bytes, the head included."""
WORKERS: Final = 8
"""Questions at a time."""
_PIECE: Final = 64 * 1024
_LEAST: Final = 0.001

logger = logging.getLogger(__name__)


class Target(NamedTuple):
    """A toolman to be asked.

    Attributes:
        agent_uid: Whose it is; its token is made from it.
        pod_uid: In which Pod it is.
        address: Of the Pod.
    """

    agent_uid: str
    pod_uid: str
    address: str


@dataclass
class _Watched:
    target: Target
    sighting: Sighting | None = None
    doubtful: frozenset[Drift] = field(default_factory=frozenset)


Place = tuple[str, str]
"""Namespace and name of an agent."""


class Reports:
    """All that toolmans have reported.

    Args:
        tokens: Gives the token of each.
        wake: Has an object looked at.
        clock: Seconds, monotonic.
        fetch: Gets a report from an address with a token; raises ``OSError``.
    """

    def __init__(
        self,
        tokens: ReportTokens,
        wake: Callable[[Key], None],
        clock: Callable[[], float] = time.monotonic,
        fetch: Callable[[str, str], bytes] | None = None,
    ) -> None:
        self._tokens = tokens
        self._wake = wake
        self._clock = clock
        self._fetch = fetch or get_report
        self._watched: dict[Place, dict[str, _Watched]] = {}
        self._due: list[tuple[float, Place, Target]] = []
        self._changed = threading.Condition()
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name="reports", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more; what is on its way ends with the process."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify()

    def track(self, namespace: str, name: str, targets: Iterable[Target]) -> None:
        """Note where an agent's toolmans are: one for each of its Pods, nowhere while there are none."""
        place, wanted = (namespace, name), {target.pod_uid: target for target in targets}
        with self._changed:
            known = self._watched.pop(place, {})
            kept = {pod: each for pod, each in known.items() if wanted.get(pod) == each.target}
            drifts = _drifts(known.values()) - _drifts(kept.values())
            for pod, target in wanted.items():
                if pod not in kept:
                    kept[pod] = _Watched(target)
                    heapq.heappush(self._due, (self._clock() + SOON, place, target))
                    self._changed.notify()
            if kept:
                self._watched[place] = kept
        self._wake_servers(namespace, drifts)

    def of_agent(self, namespace: str, name: str) -> Sighting | None:
        """Give what an agent's toolmans have reported last, the worst of it; None before the first has."""
        with self._changed:
            return sightings.worst(_seen(self._watched.get((namespace, name), {}).values()))

    def drift(self, namespace: str, server: str) -> str:
        """Say how the tools of a server differ from those that were verified; empty when they do not."""
        with self._changed:
            seeing = {
                name: {each for each in _drifts(known.values()) if each.server == server}
                for (where, name), known in self._watched.items()
                if where == namespace
            }
        found = {each for drifts in seeing.values() for each in drifts}
        if not found:
            return ""
        return sightings.explain(found, [f"MCPAgent/{name}" for name, drifts in seeing.items() if drifts])

    def ask(self, place: Place, target: Target) -> float:
        """Ask one toolman and note what it says; give the seconds until it is to be asked again."""
        try:
            sighting = sightings.read(self._fetch(target.address, self._tokens.token(target.agent_uid)))
        except (OSError, sightings.UnreadableError, cluster.ClusterError) as error:
            # It is starting, ending or too busy; its Pod's own conditions say so better.
            logger.debug("the toolman of %s/%s gives no report: %s", *place, type(error).__name__)
            return self._interval()
        return self._note(place, target, sighting)

    def _interval(self) -> float:
        return max(INTERVAL, len(self._due) / RATE)

    def _note(self, place: Place, target: Target, found: Sighting) -> float:
        with self._changed:
            known = self._known(place, target)
            if known is None:
                return self._interval()
            before = known.sighting or Sighting()
            doubtful = found.drifts - before.drifts - known.doubtful
            known.doubtful = found.drifts
            settled = Sighting(
                found.visible, found.total, found.upstreams, found.problem, frozenset(found.drifts - doubtful)
            )
            is_same, known.sighting = settled == known.sighting, settled
        if not is_same:
            self._wake(Key(cluster.AGENT.kind, *place))
            self._wake_servers(place[0], before.drifts ^ settled.drifts)
        return SOON if doubtful else self._interval()

    def _known(self, place: Place, target: Target) -> _Watched | None:
        known = self._watched.get(place, {}).get(target.pod_uid)
        return known if known is not None and known.target == target else None

    def _wake_servers(self, namespace: str, drifts: frozenset[Drift]) -> None:
        for server in {each.server for each in drifts}:
            self._wake(Key(cluster.SERVER.kind, namespace, server))

    def _run(self) -> None:
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="report") as pool:
            while (batch := self._next()) is not None:
                for (place, target), delay in zip(batch, pool.map(lambda each: self.ask(*each), batch), strict=True):
                    with self._changed:
                        if self._known(place, target) is not None:
                            heapq.heappush(self._due, (self._clock() + delay, place, target))

    def _next(self) -> list[tuple[Place, Target]] | None:
        """Wait for toolmans that are to be asked now; None when told to stop."""
        with self._changed:
            while not self._is_stopped:
                now = self._clock()
                batch: list[tuple[Place, Target]] = []
                while self._due and self._due[0][0] <= now and len(batch) < WORKERS:
                    _, place, target = heapq.heappop(self._due)
                    if self._known(place, target) is not None:
                        batch.append((place, target))
                if batch:
                    return batch
                self._changed.wait(self._due[0][0] - now if self._due else None)
        return None


def _seen(watched: Iterable[_Watched]) -> list[Sighting]:
    return [each.sighting for each in watched if each.sighting is not None]


def _drifts(watched: Iterable[_Watched]) -> frozenset[Drift]:
    return frozenset[Drift]().union(*(each.drifts for each in _seen(watched)))


def get_report(address: str, token: str, port: int = names.ADMIN_PORT) -> bytes:
    """Ask the toolman at an address, which closes the connection behind its answer.

    Whoever has taken its port may send what he likes, as slowly as he likes: all of it together has one bound in time
    and one in size.

    Raises:
        OSError: It cannot be reached, takes too long, or answers something else.
    """
    until = time.monotonic() + TIMEOUT
    host = f"[{address}]" if ":" in address else address
    head = f"GET /report HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    with socket.create_connection((address, port), timeout=TIMEOUT) as connection:
        connection.sendall(head.encode("ascii"))
        answer = bytearray()
        while len(answer) <= MAX_ANSWER:
            connection.settimeout(max(until - time.monotonic(), _LEAST))
            piece = connection.recv(_PIECE)
            if not piece:
                return _body(bytes(answer))
            if time.monotonic() > until:
                raise TimeoutError("too slow")
            answer += piece
    raise OSError("too long")


def _body(answer: bytes) -> bytes:
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise OSError("it does not give a report")
    return body

"""What many objects are judged by, read once for all that wait: policies, namespaces' labels, lists for counting.

A worker may be given what was read after the event for which it looks at its object, and never anything older: so of a
thousand agents that a policy has woken the first one reads it, and the others need not. Outside of a worker, and for
everything else, each read goes to the cluster.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mcp_operator.cluster import Cluster, Kind, Manifest

T = TypeVar("T")

KEPT: Final = 60.0
"""Seconds after which nobody who waits can be given it any more, or hardly anybody."""

_since: contextvars.ContextVar[float | None] = contextvars.ContextVar("since", default=None)


@contextlib.contextmanager
def since(moment: float | None) -> Iterator[None]:
    """Take what was read after a moment of the monotonic clock for new enough in the block; None takes nothing."""
    token = _since.set(moment)
    try:
        yield
    finally:
        _since.reset(token)


class Snapshots:
    """A cluster whose lists and namespaces' labels may have been read for somebody else. Nobody may change them.

    Args:
        api: The cluster.
        clock: Seconds, monotonic: that of the queue.
    """

    def __init__(self, api: Cluster, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._lock = threading.Lock()
        self._places: dict[tuple[str, str], threading.Lock] = {}
        self._held: dict[tuple[str, str], tuple[float, Any]] = {}

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the cluster has
        return getattr(self._api, name)

    def list(self, kind: Kind, namespace: str = "") -> Sequence[Manifest]:
        """See :class:`mcp_operator.cluster.Objects`."""
        return self._read((kind.plural, namespace), lambda: self._api.list(kind, namespace))

    def namespace_labels(self, namespace: str) -> Mapping[str, str]:
        """See :class:`mcp_operator.cluster.Objects`."""
        return self._read(("labels", namespace), lambda: self._api.namespace_labels(namespace))

    def shared(self, what: str, find: Callable[[], T]) -> T:
        """Give what somebody has found in the cluster, by a name for it; what it is found from is not kept besides."""

        def anew() -> T:
            with since(None):
                return find()

        return self._read(("", what), anew)

    def _read(self, place: tuple[str, str], read: Callable[[], T]) -> T:
        moment = _since.get()
        if moment is None:
            return read()
        with self._lock:
            stale = [each for each, (begun, _) in self._held.items() if self._clock() - begun > KEPT]
            for each in stale:
                del self._held[each]
            turn = self._places.setdefault(place, threading.Lock())
        with turn:  # whoever comes meanwhile waits for the same answer
            held = self._held.get(place)
            if held is None or held[0] < moment:
                begun = self._clock()
                held = self._held[place] = (begun, read())
            found: T = held[1]
            return found


def shared(api: Cluster, what: str, find: Callable[[], T]) -> T:
    """Give what was found in a cluster, by a name for it: for all who wait where snapshots are kept, else anew."""
    return api.shared(what, find) if isinstance(api, Snapshots) else find()

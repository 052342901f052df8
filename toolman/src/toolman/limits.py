"""How much may be used: calls a minute and calls at a time, for every layer that bounds them. Time is an argument.

Each layer has its own bucket for all servers that it is about, and a call needs room in every one of them, so the
tightest wins. A layer in audit mode refuses nothing; that it would have is reported with the call.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, NamedTuple

from toolman import jsonrpc
from toolman.policy import matches

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from toolman.policy import Layer

LIMITED = -32005
"""Code of the error, from the range that JSON-RPC leaves to servers."""

_MINUTE = 60.0


class Refusal(NamedTuple):
    """A call that has no room.

    Attributes:
        source: The layer, for the audit log alone.
        limit: Name of the bound, as it is written in a layer.
        value: The bound.
        wait: Seconds until there is room, None if that depends on when other calls end.
    """

    source: str
    limit: str
    value: int
    wait: float | None

    @property
    def error(self) -> jsonrpc.Outcome:
        """What the caller gets: the limit, and when it is worth trying again."""
        seconds = None if self.wait is None else math.ceil(self.wait * 10) / 10
        when = "when another call has ended" if seconds is None else f"in {seconds:g} s"
        data = {"limit": self.limit, "value": self.value, "retryAfterSeconds": seconds}
        return jsonrpc.error(LIMITED, f"limit {self.limit} of {self.value} is reached: try again {when}", data)


class Permit:
    """Room that a call has; given back once by :meth:`release`."""

    __slots__ = ("_meters", "would_refuse")

    def __init__(self, meters: Sequence[_Meter] = (), would_refuse: tuple[str, ...] = ()) -> None:
        self._meters = meters
        self.would_refuse = would_refuse

    def release(self) -> None:
        """Give the room back."""
        meters, self._meters = self._meters, ()
        for meter in meters:
            meter.running -= 1


FREE = Permit()
"""For servers that no layer bounds."""


class _Meter:
    """What one layer bounds, and how much of it is used."""

    def __init__(self, layer: Layer, now: float) -> None:
        self.layer = layer
        self.running = 0
        self._left = float(layer.limits.calls_per_minute or 0)
        self._filled = now

    def refusal(self, now: float) -> Refusal | None:
        """Tell why there is no room, None if there is."""
        limits, source = self.layer.limits, self.layer.source
        if limits.max_concurrent_calls is not None and self.running >= limits.max_concurrent_calls:
            return Refusal(source, "maxConcurrentCalls", limits.max_concurrent_calls, None)
        if limits.calls_per_minute is None:
            return None
        rate = limits.calls_per_minute / _MINUTE
        self._left = min(float(limits.calls_per_minute), self._left + (now - self._filled) * rate)
        self._filled = now
        if self._left < 1:
            return Refusal(source, "callsPerMinute", limits.calls_per_minute, (1 - self._left) / rate)
        return None

    def take(self) -> None:
        """Use room for one call."""
        self.running += 1
        self._left = max(self._left - 1, 0.0)  # a layer in audit mode goes on when nothing is left


class Limiter:
    """All meters of a configuration.

    Args:
        clock: Seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._meters: list[_Meter] = []
        self._of = functools.lru_cache(maxsize=1024)(self._find)

    def apply(self, layers: Sequence[Layer]) -> None:
        """Put other layers in force; what was used under a layer that stays as it is remains used."""
        kept = {meter.layer: meter for meter in self._meters}
        now = self._clock()
        self._meters = [kept.get(layer) or _Meter(layer, now) for layer in layers if _is_metered(layer)]
        self._of.cache_clear()

    def admit(self, server: str) -> Permit | Refusal:
        """Find room for one call of a server's."""
        meters = self._of(server)
        if not meters:
            return FREE
        now = self._clock()
        would_refuse: list[str] = []
        for meter in meters:
            refusal = meter.refusal(now)
            if refusal is None:
                continue
            if meter.layer.enforcement == "enforce":
                return refusal
            would_refuse.append(meter.layer.source)
        for meter in meters:
            meter.take()
        return Permit(meters, tuple(would_refuse))

    def _find(self, server: str) -> tuple[_Meter, ...]:
        return tuple(meter for meter in self._meters if matches(meter.layer.servers, server))


def _is_metered(layer: Layer) -> bool:
    return layer.limits.calls_per_minute is not None or layer.limits.max_concurrent_calls is not None

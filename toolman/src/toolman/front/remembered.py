"""What the Kubernetes API has said about tokens, for as long as that counts. Tokens are known by their hash alone."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolman.config import Guard

MAX_KNOWN = 8_192
"""Tokens that answers are kept of. A Pod shows one, and another when that is renewed."""

REFUSED_FOR = 5.0
"""Seconds for which a token that was not accepted is not asked about again."""

BLIND_FOR = 5.0
"""Seconds for which an API that has given no answer is not asked again about a token that is known."""


class Known(NamedTuple):
    """An answer: the Pod, empty if the token is not accepted.

    Attributes:
        pod: Its UID.
        until: When it does not count any more.
        last: The same where there is no other answer to be had.
    """

    pod: str
    until: float
    last: float


class Remembered:
    """Answers by the hashes of tokens.

    Args:
        clock: Seconds, monotonic.
        now: The time, Unix, by which tokens end.
    """

    def __init__(self, clock: Callable[[], float], now: Callable[[], float]) -> None:
        self._clock = clock
        self._now = now
        self._known: OrderedDict[bytes, Known] = OrderedDict()

    def clear(self) -> None:
        """Forget all."""
        self._known.clear()

    def learn(self, digest: bytes, pod: str, ends: float, settings: Guard) -> None:
        """Take an answer about a token that ends at a time; it counts no longer than that."""
        clock = self._clock()
        end = clock + ends - self._now()
        until = min(end, clock + (settings.cache if pod else min(REFUSED_FOR, settings.cache)))
        self._known[digest] = Known(pod, until, min(end, until + settings.outage) if pod else until)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    def look_up(self, digest: bytes) -> Known | None:
        """Give the answer about a token, if it still counts."""
        now = self._clock()
        known = self._known.get(digest)
        if known is not None and known.last <= now:
            del self._known[digest]
        return known if known is not None and now < known.until else None

    def prolonged(self, digest: bytes) -> Known | None:
        """Go on for a moment with the last answer about a Pod's token, if it counts for want of another one."""
        now = self._clock()
        known = self._known.get(digest)
        if known is None or now >= known.last or not known.pod:
            return None
        self._known[digest] = known = known._replace(until=min(now + BLIND_FOR, known.last))
        return known

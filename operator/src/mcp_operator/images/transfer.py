"""Read what Docker Engine says while it pushes or pulls: lines worth showing, and bytes over all layers. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from mcp_operator.images import redact

if TYPE_CHECKING:
    from collections.abc import Mapping

_WORTH_SAYING = frozenset({"Pushed", "Layer already exists", "Pull complete", "Already exists"})
"""Of what is said of a layer: its end."""
_AGAIN = re.compile(r"Retrying in (\d+) second")
_MOVING = frozenset({"Pushing", "Downloading"})
_MEGABYTE = 1_000_000


class Bytes(NamedTuple):
    """How far a transfer is; the total grows while layers are still being announced."""

    done: int
    total: int

    def __str__(self) -> str:
        return f"{self.done / _MEGABYTE:.1f} of {self.total / _MEGABYTE:.1f} MB"


class Transfer:
    """One push or pull.

    Attributes:
        digest: ``sha256:...``, once the registry gave it.
        failing: Docker is about to try a layer again.
    """

    def __init__(self) -> None:
        self.digest = ""
        self.failing = False
        self._countdown: dict[str, int] = {}
        self._layers: dict[str, Bytes] = {}

    @property
    def bytes(self) -> Bytes:
        """What has gone over the line, and what will."""
        return Bytes(sum(done for done, _ in self._layers.values()), sum(total for _, total in self._layers.values()))

    def take(self, event: Mapping[str, Any]) -> str:
        """Take an event; gives a line, if it is worth one."""
        self.digest = str((event.get("aux") or {}).get("Digest", self.digest))
        layer, status = str(event.get("id", "")), str(event.get("status", ""))
        detail = event.get("progressDetail") or {}
        if status in _MOVING and "current" in detail:
            # The engine learns the size of a layer late: it may have sent more than it announced.
            done = int(detail["current"])
            self.failing = False
            self._layers[layer] = Bytes(done, max(done, int(detail.get("total") or 0)))
        if status not in _WORTH_SAYING and not self._begins_again(layer, status):
            return ""
        if layer in self._layers and status in _WORTH_SAYING:
            total = self._layers[layer].total
            self._layers[layer] = Bytes(total, total)
        return redact.line(f"{layer} {status}".strip())

    def _begins_again(self, layer: str, status: str) -> bool:
        """Tell whether Docker begins to count down to its next attempt at a layer: it says every second of it."""
        if not (match := _AGAIN.match(status)):
            return False
        self.failing = True
        left, before = int(match[1]), self._countdown.get(layer, 0)
        self._countdown[layer] = left
        return left > before

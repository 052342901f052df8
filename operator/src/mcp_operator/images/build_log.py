"""Read what the classic builder prints while it builds. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from mcp_operator.images import redact

LIMIT = 16 * 1024 * 1024
"""Characters of a build's output that are looked at."""

_STEP = re.compile(r"Step (\d+/\d+) : (.*)")
_NOISE = re.compile(r" ---> Running in |Removing intermediate container ")
_LAYER = re.compile(r" ---> ([0-9a-f]{12,64})\Z")


@dataclass
class BuildLog:
    """What a build said: filled while it runs, and readable after it failed.

    Attributes:
        layers: Short IDs of all images that it used or made.
        instruction: The Dockerfile instruction at work, with its number.
        tail: Last lines of output of that instruction.
    """

    layers: set[str] = field(default_factory=set)
    instruction: str = ""
    tail: redact.Tail = field(default_factory=redact.Tail)
    _heard: int = 0

    def take(self, text: str) -> list[str]:
        """Take a piece of output; gives its lines, printable, without what is of use to us only."""
        self._heard += len(text)
        if self._heard > LIMIT:
            return []
        shown = []
        for line in redact.lines(text):
            if layer := _LAYER.match(line):
                self.layers.add(layer[1][:12])
                continue
            if _NOISE.match(line):
                continue
            if step := _STEP.match(line):
                self.instruction = f"{step[1]} : {step[2]}"
                self.tail = redact.Tail()
            else:
                self.tail.add(line)
            shown.append(line)
        return shown

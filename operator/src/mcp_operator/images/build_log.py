"""Read what the classic builder prints while it builds. Pure."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field

from mcp_operator.images import redact
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.reasons import Reason

LIMIT = 32 * 1024 * 1024
"""Characters of a build's output: a large build writes a tenth of it, and each line costs us time."""

LAYERS = 1000
"""No Dockerfile makes more; a build can print what looks like one."""
RECENT = 300
"""Lines: package managers write pages of consequences below the cause."""

_STEP = re.compile(r"Step (\d+/\d+) : (.*)")
_NOISE = re.compile(r" ---> Running in |Removing intermediate container ")
_LAYER = re.compile(r" ---> ([0-9a-f]{12,64})\Z")


@dataclass
class BuildLog:
    """What a build said: filled while it runs, and readable after it failed.

    Attributes:
        layers: Short IDs of all images that it used or made.
        instruction: The Dockerfile instruction at work, with its number.
        tail: Last lines of output of that instruction, for people.
        recent: More of them, to find out why it failed.
        step: Number of that instruction, and how many there are; 0 before the first.
    """

    layers: set[str] = field(default_factory=set)
    instruction: str = ""
    tail: redact.Tail = field(default_factory=redact.Tail)
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=RECENT))
    step: tuple[int, int] = (0, 0)
    _heard: int = 0

    def take(self, text: str) -> list[str]:
        """Take a piece of output; gives its lines, printable, without what is of use to us only.

        Raises:
            BuildError: There is too much of it (``BuildLimit``).
        """
        self._heard += len(text)
        if self._heard > LIMIT:
            raise BuildError(
                Reason.BUILD_LIMIT,
                f"step {self.instruction} was stopped: the build wrote more than {LIMIT // 2**20} MiB of output",
                step=Step.BUILD,
                hint="Make the build script quieter, or look for one that never ends.",
                log_tail=str(self.tail),
            )
        return [line for line in redact.lines(text) if self._take(line)]

    def _take(self, line: str) -> bool:
        """Take one line; tells whether it is of use to people."""
        if layer := _LAYER.match(line):
            if len(self.layers) < LAYERS:
                self.layers.add(layer[1][:12])
            return False
        if _NOISE.match(line):
            return False
        if step := _STEP.match(line):
            self.instruction = f"{step[1]} : {step[2]}"
            number, _, total = step[1].partition("/")
            self.step = (int(number), int(total))
            self.tail = redact.Tail()
            self.recent.clear()
        else:
            self.tail.add(line)
            self.recent.append(line)
        return True

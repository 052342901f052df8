"""What a step of a reconciliation comes to: it is done, the user must act, or time must pass.

A step returns :class:`Done`, or raises a :class:`Problem` that ends the reconciliation there, or returns a problem that
later steps need not wait for. Anything else that is raised is a bug in the operator.
"""

from __future__ import annotations

from dataclasses import dataclass

WAITING_DELAY = 10.0
"""Seconds until something that is waited for is looked at again even if no event tells of it."""


@dataclass(frozen=True)
class Done:
    """The step's condition is true. ``reason`` is a constant of :mod:`mcp_operator.conditions`."""

    reason: str
    message: str = ""


class Problem(Exception):  # noqa: N818 - two kinds of it below, named for what happens next
    """The step's condition is false.

    Attributes:
        reason: A constant of :mod:`mcp_operator.conditions`, or a builder's reason.
        message: What is wrong and what to do, for people.
        delay: Seconds until it is worth looking again; None when an event will tell.
    """

    def __init__(self, reason: str, message: str, *, delay: float | None = None) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
        self.delay = delay


class Stalled(Problem):
    """Nothing will change until somebody changes something."""


class Waiting(Problem):
    """It will go on by itself."""

    def __init__(self, reason: str, message: str, *, delay: float | None = WAITING_DELAY) -> None:
        super().__init__(reason, message, delay=delay)


Outcome = Done | Problem

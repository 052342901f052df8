"""Push a built image: say beforehand what goes where, try again where that may help, ask the registry what it got."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mcp_operator.images import credentials, engine_wire, reference, registry, registry_errors
from mcp_operator.images.contract import BuildError, RegistryAuth, Step
from mcp_operator.images.reasons import Reason
from mcp_operator.images.registry_http import Access

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcp_operator.images.budget import Budget
    from mcp_operator.images.contract import Progress
    from mcp_operator.images.engine import Engine
    from mcp_operator.images.stored import Image
    from mcp_operator.images.transfer import Bytes

BACKOFF = (1.0, 3.0, 9.0)
"""Seconds before another attempt at what Docker gives up at once: a connection refused, an answer that is none."""
PATIENCE = 40.0
"""Seconds after which an attempt that failed is the last: then Docker has tried a layer five times by itself."""
_SHOWN_EVERY = 0.05
"""Of all bytes: a line of progress is for people."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where to push.

    Attributes:
        repository: Without tag.
        tags: At least one; all for the same image.
        auth: Without, what Docker's configuration has.
        access: How we reach the registry when we ask it. Docker has settings of its own.
    """

    repository: str
    tags: tuple[str, ...]
    auth: RegistryAuth | None = None
    access: Access = field(default_factory=Access)

    @property
    def names(self) -> tuple[str, ...]:
        """``repository:tag`` each."""
        return tuple(f"{self.repository}:{tag}" for tag in self.tags)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a push would do. Printing it shows no secret.

    Attributes:
        image: ``sha256:...`` of what is pushed; empty for what is not built yet.
        size: Bytes, uncompressed; 0 for what is not built yet.
        names: ``repository:tag`` each.
        server: Host that is talked to.
        identity: As whom, for people; empty without credentials.
        plain_http: Without TLS, because that was asked for or the registry is on this machine.
    """

    image: str
    size: int
    names: tuple[str, ...]
    server: str
    identity: str
    plain_http: bool

    def lines(self) -> list[str]:
        """Say it, a line for each name."""
        who = f"as {self.identity}" if self.identity else "without credentials"
        how = "HTTP without TLS if it has none" if self.plain_http else "HTTPS"
        what = f"{self.image} ({self.size / 1e6:.1f} MB)" if self.image else "the image"
        head = f"would push {what} to {self.server} {who}, over {how}:"
        return [head, *(f"  {name}" for name in self.names)]


def plan(image: Image | None, target: Target) -> Plan:
    """Say what a push would do, also of an image that is not built yet; nothing is sent.

    Raises:
        BuildError: A name is none, or the credentials cannot be read.
    """
    for name in target.names:
        _checked(name)
    where = _checked(target.repository)
    found = target.auth or credentials.find(target.repository)
    return Plan(
        image=image.id if image else "",
        size=image.size if image else 0,
        names=target.names,
        server=where.server,
        identity=credentials.identity(found) if found else "",
        plain_http=where.on_loopback or where.server in target.access.plain_http,
    )


def push(engine: Engine, target: Target, budget: Budget, progress: Progress) -> str:
    """Push all the tags of an image and see to it that the registry has them; gives the digest, ``sha256:...``.

    Args:
        engine: Where the image has all of these tags.
        target: Where to.
        budget: When to stop.
        progress: Hears which name, and how many bytes.

    Raises:
        BuildError: Why not, and what to do.
        BuildCancelled: As the budget says.
    """
    for name in target.names:
        _checked(name)
    auth = target.auth or credentials.find(target.repository)
    digest = ""
    for tag in target.tags:
        once = _Once(engine, dataclasses.replace(target, auth=auth, tags=(tag,)), budget, progress)
        progress.step(Step.PUSH, once.name)
        digest = retried(once, budget, progress)
    return digest


def retried(once: Callable[[], str], budget: Budget, progress: Progress) -> str:
    """Do something with a registry, and again after failures that may pass.

    Raises:
        BuildError: The last failure, or the first that will not pass.
        BuildCancelled: As the budget says.
    """
    last: BuildError | None = None
    pauses = iter(BACKOFF)
    while True:
        pause = next(pauses, None)
        began = time.monotonic()
        try:
            return once()
        except BuildError as error:
            # What went wrong says more than that the time was used up by it.
            if last and error.reason == Reason.TIMED_OUT:
                raise last from error
            if pause is None or not error.transient or budget.over() or time.monotonic() - began > PATIENCE:
                raise
            last = error
        progress.log(f"{last.message}; trying again in {pause:.0f} s")
        engine_wire.pause(pause, budget, Step.PUSH)


class _Once:
    """One attempt at one tag."""

    def __init__(self, engine: Engine, target: Target, budget: Budget, progress: Progress) -> None:
        self.name = target.names[0]
        self._engine = engine
        self._target = target
        self._budget = budget
        self._progress = progress
        self._shown = 0

    def __call__(self) -> str:
        """Push and verify; gives the digest."""
        target = self._target
        self._shown = 0
        pushed = self._engine.push(
            target.repository, target.tags[0], self._budget, self._progress.log, auth=target.auth, moved=self._moved
        )
        try:
            registry.verify_digest(self.name, pushed, target.auth, self._budget, target.access)
        except BuildError as error:
            # The engine has pushed it. It may stand where the registry can be reached, and this program where not.
            if error.reason != Reason.REGISTRY_UNREACHABLE:
                raise
            self._progress.log(f"the registry cannot be asked from here whether it has the image: {error.message}")
        return pushed

    def _moved(self, what: Bytes) -> None:
        if what.done - self._shown >= max(1, what.total * _SHOWN_EVERY):
            self._shown = what.done
            self._progress.step(Step.PUSH, f"{self.name}: {what}")


def _checked(name: str) -> reference.Reference:
    try:
        return reference.parse(name)
    except ValueError as error:
        raise registry_errors.explain(f"name invalid: {error}", name) from error

"""Run an image as a Pod will and see that it speaks MCP: first with nothing, then with what it asks for."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcp_operator import names
from mcp_operator.images import attempt, cleanup, diagnosis, placeholders, redact, sandbox, signs
from mcp_operator.images.contract import BuildError, Needs, Step
from mcp_operator.images.detect.candidate import Hints
from mcp_operator.images.reasons import Reason
from mcp_operator.images.variation import Variation, Variations

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcp_operator.images.attempt import Failure, Spoken
    from mcp_operator.images.budget import Budget
    from mcp_operator.images.contract import Transport, Trial
    from mcp_operator.images.engine import Engine
    from mcp_operator.images.handshake import Era, Manifest
    from mcp_operator.images.writable import Link

ATTEMPTS = 10
SECONDS = 300
"""For all attempts together; one that says why it does not start takes a second or two."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What is known of how a server is run and reached.

    Attributes:
        hints: What its own files say; tried when it does not start as it is.
        relay: Image with ``sh`` and Python or Node, through which a server is reached that speaks HTTP; the server's
            own if empty.
        folder: Where it starts, as its image says; empty if that is not known.
        moves: It may start in another folder.
        link: Gives an image like the server's with links in it, empty if it cannot have them; None if nobody asks.
    """

    hints: Hints = dataclasses.field(default_factory=Hints)
    relay: str = ""
    folder: str = ""
    moves: bool = False
    link: Callable[[tuple[Link, ...]], str] | None = None


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What the handshake found.

    Attributes:
        manifest: What the server said.
        transport: How it was spoken with.
        port: Where it listens, for HTTP.
        path: Of its endpoint, for HTTP.
        needs: What it did not answer without.
        seconds: How long the attempt took that succeeded.
        folder: Where it has to start; empty if where its image says is right.
        links: What its image has to have besides.
    """

    manifest: Manifest
    seconds: float
    folder: str = ""
    links: tuple[Link, ...] = ()
    transport: Transport = "stdio"
    port: int | None = None
    path: str = ""
    needs: Needs = dataclasses.field(default_factory=Needs)

    @property
    def era(self) -> Era:
        """The era in which the handshake succeeded."""
        return self.manifest.era

    @property
    def network(self) -> bool:
        """It did not start without network."""
        return self.needs.network

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is worth knowing although it works, for people."""
        found = []
        if self.needs.network:
            found.append("it did not start without network")
        if self.needs.env:
            found.append(f"it does not start without {', '.join(self.needs.env)}: set spec.run.env")
        if self.needs.args:
            found.append(f"it was started with the arguments {' '.join(self.needs.args)}: set spec.run.args")
        if self.folder:
            found.append(f"it writes to where it starts, so it starts in {self.folder}: what it writes does not last")
        if self.links:
            places = ", ".join(link.path for link in self.links)
            found.append(f"it writes to {places}, a link to {names.SERVER_HOME}: what it writes does not last")
        if not self.manifest.tools:
            found.append("it lists no tools; some servers list none until they are configured")
        if self.manifest.noise:
            found.append(f"it writes to stdout what is no message ({self.manifest.noise} lines)")
        return tuple(found)


def verify(
    engine: Engine,
    image: str,
    request: Trial,
    budget: Budget,
    hear: Callable[[str], None],
    probe: Probe | None = None,
) -> Verified:
    """Do the handshake with an image.

    Args:
        engine: Where the image is.
        image: Its ID.
        request: Arguments, environment and owner.
        budget: When to stop.
        hear: Gets what is tried, and what the server writes to stderr.
        probe: What is known of how the server is run and reached.

    Raises:
        BuildError: It does not speak MCP; its last lines on stderr are in the log tail.
        BuildCancelled: The budget says so.
    """
    return _Verification(engine, image, request, budget, hear, probe or Probe()).run()


class _Verification:
    """The attempts at one image."""

    def __init__(
        self,
        engine: Engine,
        image: str,
        request: Trial,
        budget: Budget,
        hear: Callable[[str], None],
        probe: Probe,
    ) -> None:
        self._engine = engine
        self._image = image
        self._request = request
        self._budget = budget
        self._hear = hear
        hints = _asked_for(probe.hints, request)
        self._reach = attempt.Reach(probe.relay or image, hints, cleanup.owner(request))
        self._variations = Variations(request, hints, probe)

    def run(self) -> Verified:
        """Try until it answers or nothing is left to try; then the error is the one of the most telling failure."""
        all_of_it = self._budget.at_most(SECONDS)
        failures: list[Failure] = []
        tried: set[Variation] = set()
        run: Variation | None = Variation()
        while run and len(tried) < ATTEMPTS and not (failures and all_of_it.over()):
            tried.add(run)
            try:
                outcome = self._attempt(run, all_of_it)
            except BuildError as error:
                self._budget.check(Step.VERIFY)
                if not failures or error.reason != Reason.TIMED_OUT:
                    raise
                break  # the time for all attempts: what the others found says more
            if isinstance(outcome, Verified):
                return outcome
            failures.append(outcome)
            run = next((one for one in self._variations.following(run, outcome) if one not in tried), None)
        raise _explain(failures, self._reach.hints)

    def _attempt(self, run: Variation, budget: Budget) -> Verified | Failure:
        self._hear(f"handshake {run}")
        began = time.monotonic()
        limits = sandbox.Limits(
            network=run.network,
            arguments=(*self._request.args, *run.args),
            folder=run.folder,
            env={"HOME": names.SERVER_HOME, **dict(run.env), **self._request.env},
        )
        outcome = attempt.make(self._engine, run.image or self._image, limits, self._reach, run.era, budget)
        if isinstance(outcome, attempt.Failure):
            self._budget.check(Step.VERIFY)  # the whole build's time is another matter
            for line in outcome.lines[-redact.TAIL_LINES :]:
                self._hear(line)
            return outcome
        asked = self._request.transport
        if asked and (asked == "stdio") != (outcome.transport == "stdio"):
            message = f"the server speaks MCP over {outcome.transport}; run.transport says {asked}"
            return attempt.Failure(message=message, code=diagnosis.ANSWERED)
        return self._verified(run, outcome, time.monotonic() - began)

    def _verified(self, run: Variation, spoken: Spoken, seconds: float) -> Verified:
        needs = Needs(env=tuple(name for name, _ in run.env), args=run.args, network=run.network)
        return Verified(
            manifest=spoken.manifest,
            transport=spoken.transport,
            port=spoken.port,
            path=spoken.path,
            needs=needs,
            seconds=seconds,
            folder=run.folder,
            links=run.links,
        )


def _asked_for(hints: Hints, request: Trial) -> Hints:
    """Put what the user says of transport, port and path before what the server's files say."""
    return dataclasses.replace(
        hints,
        transport=request.transport or hints.transport,
        port=request.port or hints.port,
        path=request.path or hints.path,
    )


def _explain(failures: list[Failure], hints: Hints) -> BuildError:
    errors = [_error(failure) for failure in failures]
    # A server that first says what it wants and then, given a placeholder, something else: the first is the cause.
    telling = (error for error in errors if error.reason == Reason.SETTING_MISSING)
    error = next(telling, errors[0])
    known = hints.required or tuple(setting.name for setting in hints.env) or hints.read
    silent = all(failure.silent for failure in failures)
    refused = failures[0].code == diagnosis.ANSWERED and placeholders.lacks(failures[0].message)
    if known and (silent or refused):
        error.reason = Reason.SETTING_MISSING
        named = ", ".join(known[: placeholders.MOST])
        error.hint = (
            f"It {'says nothing' if silent else 'does not say which setting'}; its own files name {named}: set those "
            "with spec.run.env. What they lead to may have to be reachable as well."
        )
    return error


def _error(failure: Failure) -> BuildError:
    tail = redact.Tail()
    for line in failure.lines:
        tail.add(line)
    if failure.out_of_memory:
        finding = signs.Finding(
            Reason.OUT_OF_MEMORY,
            f"It needs more than {sandbox.MEMORY // 2**20} MiB to start: it is too large to run in a Pod of ours.",
        )
    else:
        finding = diagnosis.start(failure.lines, failure.code)
    log = str(tail)
    if (quote := redact.line(finding.quote)) and quote not in log:
        log = f"{quote}\n...\n{log}"
    return BuildError(
        finding.reason,
        failure.message,
        step=Step.VERIFY,
        hint=finding.hint,
        log_tail=log,
        transient=finding.transient,
    )

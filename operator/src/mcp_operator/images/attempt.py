"""One start of an image: a handshake over stdio and, when it turns out to serve HTTP instead, over that."""

from __future__ import annotations

import contextlib
import re
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from mcp_operator.images import diagnosis, handshake, http_probe, redact, sandbox, writable
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_operator.images.budget import Budget
    from mcp_operator.images.contract import Transport
    from mcp_operator.images.detect.candidate import Hints
    from mcp_operator.images.engine import Engine
    from mcp_operator.images.handshake import Era, Manifest
    from mcp_operator.images.relay import Address

SECONDS = 60
"""For one attempt: large Python servers import for up to 37 s on a small machine, some try a database for a while."""
GRACE = 2.0
"""For an answer over stdio, after the server has said that it serves HTTP: some do both. HTTP is tried meanwhile."""
SILENT = (8.0, 20.0, 40.0, 55.0)
"""After how long without an answer to look for what listens, if the server says nothing of HTTP."""
ANNOUNCED = (0.0, 1.0, 3.0, *range(6, SECONDS, 5))
"""The same, after it has said so: it may not listen yet."""
HINTED = ANNOUNCED[1:]
"""The same, from its start, where its files say so."""
_GLANCE = 0.001

_SPEAKS_OF_HTTP = re.compile(
    r"(?i)https?://[\w.\-\[\]:*]+:\d{2,5}|uvicorn running"
    r"|(?:listening|running|started|serving)\b.{0,60}\b(?:port|http)\b"
)
_SPEAKS_OF_NETWORK = re.compile(
    r"ENOTFOUND|EAI_AGAIN|ENETUNREACH|ECONNREFUSED|getaddrinfo|(?i:name or service not known|name resolution"
    r"|network is unreachable|failed to (?:fetch|lookup|resolve)|connect(?:ion)? (?:error|refused|timed? ?out))"
)
_CANNOT_RUN = re.compile(r'exec: "[^"\n]+": [^:\n]+')
_MESSAGE = re.compile(rb'^\{"(?:jsonrpc|id|result|error|method)"', re.MULTILINE)
NOT_FOUND = 127
"""What a shell would give for a program that is not there."""
_STDOUT_LINES = 40
MAX_PORTS = 3
"""Of those that listen; a port that is named in the hints first, others may serve metrics or a page for people."""


class Reach(NamedTuple):
    """How a server that speaks HTTP is reached: an image for the relay, where it may listen, whose containers."""

    image: str
    hints: Hints
    owner: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """A handshake that succeeded."""

    manifest: Manifest
    transport: Transport = "stdio"
    port: int | None = None
    path: str = ""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A start without a handshake.

    Attributes:
        message: What happened, one sentence.
        lines: Its last lines on stderr; those on stdout, if there it wrote nothing.
        code: Its exit code, :data:`diagnosis.RUNNING`, :data:`diagnosis.ANSWERED` or :data:`diagnosis.LISTENS`.
        out_of_memory: That is why it ended.
    """

    message: str
    lines: list[str] = field(default_factory=list)
    code: int = diagnosis.RUNNING
    out_of_memory: bool = False

    @property
    def silent(self) -> bool:
        """It ended with an error, and without a word."""
        return self.code > 0 and not self.lines

    @property
    def wants_network(self) -> bool:
        """Its last lines speak of a network that it does not have."""
        return any(_SPEAKS_OF_NETWORK.search(line) for line in self.lines)

    @property
    def cannot_write(self) -> bool:
        """Its last lines say that it could not write."""
        return self.code not in (diagnosis.ANSWERED, diagnosis.LISTENS) and writable.refused(self.lines)


def make(
    engine: Engine, image: str, limits: sandbox.Limits, reach: Reach, era: Era, budget: Budget
) -> Spoken | Failure:
    """Start an image and shake hands with it; nothing of it runs afterwards.

    Raises:
        BuildCancelled: The budget says so.
    """
    try:
        with sandbox.started(engine, image, limits, reach.owner) as server:
            watched = _Watched(engine, server, reach, budget.at_most(SECONDS))
            with contextlib.closing(watched):
                return _shake(server, watched, era, budget)
    except BuildError as error:
        # The engine's words for a start command that is nothing that can be run.
        if not (wrong := _CANNOT_RUN.search(error.message)):
            raise
        return Failure(message=f"the start command cannot be run: {wrong[0]}", lines=[wrong[0]], code=NOT_FOUND)


def _shake(server: sandbox.Sandbox, watched: _Watched, era: Era, budget: Budget) -> Spoken | Failure:
    try:
        manifest = handshake.perform(handshake.Stdio(watched, watched.budget), era)
    except _OverHTTP as other:
        return other.spoken
    except (handshake.HandshakeError, _NoToolsOverHTTP) as error:
        return Failure(message=str(error), lines=watched.lines, code=diagnosis.ANSWERED)
    except sandbox.Ended:
        code, out_of_memory = server.exit()
        when = "after its first answer" if watched.answered else "before it answered"
        message = f"the server ended with status {code} {when}"
        return Failure(message=message, lines=watched.lines, code=code, out_of_memory=out_of_memory)
    except BuildError:
        budget.check(Step.VERIFY)
        if watched.wrong:
            return Failure(message=f"over HTTP, {watched.wrong}", lines=watched.lines, code=diagnosis.LISTENS)
        return Failure(message=f"the server did not answer within {watched.budget.seconds:.0f} s", lines=watched.lines)
    return Spoken(manifest=manifest)


class _OverHTTP(Exception):  # noqa: N818 - a success, from the midst of waiting for another
    """The server answered over HTTP."""

    def __init__(self, spoken: Spoken) -> None:
        super().__init__()
        self.spoken = spoken


class _NoToolsOverHTTP(Exception):  # noqa: N818 - as above
    """The server shook hands over HTTP, and refuses to list its tools."""


class _Answering(Exception):  # noqa: N818 - as above
    """The server says something on stdio that may be an answer, while HTTP is tried."""


class _Watched:
    """A server's streams; while nothing comes it is looked whether the server serves HTTP instead."""

    def __init__(self, engine: Engine, server: sandbox.Sandbox, reach: Reach, budget: Budget) -> None:
        self.budget = budget
        self.wrong = ""
        self.answered = False
        self._within = False
        self._server = server
        self._reach = reach
        self._relay = Relay(engine, reach.image, server.container, reach.owner)
        self._said: deque[str] = deque(maxlen=_STDOUT_LINES)
        self._ahead: deque[bytes] = deque()
        self._began = time.monotonic()
        self._announced = False
        self._hinted = reach.hints.transport not in (None, "stdio")
        self._looks: list[float] = list(HINTED if self._hinted else SILENT)
        self._interrupted = False
        self._spoken: Spoken | None = None
        self._patient_until = self._began

    @property
    def lines(self) -> list[str]:
        """What it wrote for people."""
        return self._server.stderr or list(self._said)

    def write(self, data: bytes, budget: Budget) -> None:
        """Write to its stdin."""
        self._spoken = None  # there was an answer on stdio, or there is more to say
        self._server.write(data, budget)

    def read(self, budget: Budget) -> bytes:
        """Give the next piece of its stdout.

        Raises:
            _OverHTTP: It answered there.
            _NoToolsOverHTTP: It did, and refuses to list its tools.
            sandbox.Ended: There is no more.
            BuildCancelled: The budget says so.
            BuildError: The time is used up.
        """
        while True:
            budget.check(Step.VERIFY)
            if piece := self._ahead.popleft() if self._ahead else self._receive():
                return piece
            now = time.monotonic()
            if not self._spoken:
                self._look(now)
            elif now >= self._patient_until:
                raise _OverHTTP(self._spoken)

    def close(self) -> None:
        """End the connections to it."""
        self._relay.close()

    def _receive(self, *seconds: float) -> bytes:
        piece = self._server.receive(*seconds)
        # Of a message, which may come in pieces, nothing is for people.
        words = piece.partition(b"\n")[2] if self._within else piece
        begun = bool(_MESSAGE.match(piece.rpartition(b"\n")[2]))
        self._within = begun or (self._within and b"\n" not in piece)
        self.answered = self.answered or begun or bool(_MESSAGE.search(piece))
        lines = (line for line in words[:8192].splitlines() if not _MESSAGE.match(line))
        self._said.extend(redact.lines(b"\n".join(lines).decode(errors="replace")))
        return piece

    def _look(self, now: float) -> None:
        if not self._announced and any(_SPEAKS_OF_HTTP.search(line) for line in (*self._server.stderr, *self._said)):
            self._announced = True
            self._looks = [now - self._began + after for after in ANNOUNCED]
            self._patient_until = now + (0 if self._hinted else GRACE)
        if self._looks and now - self._began >= self._looks[0]:
            self._looks = [look for look in self._looks if now - self._began < look]
            self._try_http()

    def _try_http(self) -> None:
        budget = self.budget if self._interrupted else self.budget.with_interrupt(self._overhear)
        try:
            addresses = self._relay.listening(budget)
            for address in sorted(addresses, key=lambda each: each.port != self._reach.hints.port)[:MAX_PORTS]:
                if self._try_port(address, budget):
                    return
        except _Answering:
            self._interrupted = True  # not again: it may write there what it is asked over HTTP
        except BuildError as error:
            self.budget.check(Step.VERIFY)
            self._looks = []  # there is no way in, now or later
            self.wrong = f"it cannot be reached from an image without a shell and Python or Node ({error.message})"

    def _overhear(self) -> None:
        with contextlib.suppress(sandbox.Ended):  # that is noticed when it is waited for
            if piece := self._receive(_GLANCE):
                self._ahead.append(piece)
                if b'"jsonrpc"' in piece:
                    raise _Answering

    def _try_port(self, address: Address, budget: Budget) -> bool:
        paths = [self._reach.hints.path, *http_probe.paths_in([*self._server.stderr, *self._said])]
        try:
            found = http_probe.find(lambda: self._relay.dial(address), address.port, paths, budget)
        except handshake.NoToolsError as error:
            raise _NoToolsOverHTTP(f"over HTTP, {error}") from error
        except handshake.HandshakeError as error:
            self.wrong = self.wrong or str(error)
            return False
        finally:
            self._relay.close()
        self._spoken = Spoken(manifest=found.manifest, transport=found.transport, port=address.port, path=found.path)
        return True

"""A dispatcher on a real gateway, whose servers say what a test has them say, in either era."""

from __future__ import annotations

import asyncio
import itertools
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from gateway_world import FakePeer, FakeServer, offers, settings, until
from msgspec import Raw
from toolman.audit import Audit
from toolman.core.dispatch import Dispatcher
from toolman.core.gateway import Gateway
from toolman.exchange import Question
from toolman.sessions import Session, Sessions
from toolman.upstreams import Failure

from toolman import jsonrpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from toolman.config import Config
    from toolman.exchange import Call, Era
    from toolman.jsonrpc import Outcome
    from toolman.upstreams import Events
    from toolman.upstreams.offers import Offers

MODERN = {"era": "modern", "version": "2026-07-28"}
"""What a server of the modern era says of itself."""

OPEN = {"tools": {}, "prompts": {}, "resources": {"subscribe": True}, "completions": {}, "logging": {}}
ALL = b'{"elicitation":{"form":{},"url":{}},"sampling":{"tools":{}},"roots":{}}'
"""Capabilities of a client that can all."""


def dumps(value: object) -> bytes:
    """Write JSON without blanks."""
    return json.dumps(value, separators=(",", ":")).encode()


class Ear:
    """Listens on a session's stream."""

    def __init__(self, session: Session) -> None:
        self.heard: list[dict[str, Any]] = []
        session.streams.open("get", self)

    def send(self, message: bytes, identifier: bytes, *, is_last: bool = False) -> None:
        del identifier, is_last
        self.heard.append(json.loads(message))

    def prime(self, identifier: bytes) -> None:
        """Take an event without a message."""

    def comment(self) -> None:
        """Take a sign of life."""

    def close(self) -> None:
        """End."""


class TalkingPeer(FakePeer):
    """A server that keeps what it is sent."""

    def __init__(self, events: Events, given: Offers) -> None:
        super().__init__(events, given)
        self.calls: list[Call] = []
        self.cancelled: list[Call] = []
        self.notified: list[str] = []
        self.answers: dict[str, list[bytes]] = {}
        self.is_deaf = False

    def send(self, call: Call) -> None:
        if self.is_deaf:
            raise Failure("it does not read")
        self.calls.append(call)
        call.number = len(self.calls)

    def cancel(self, call: Call, reason: Raw | None = None) -> None:
        del reason
        self.cancelled.append(call)

    def notify(self, method: str, params: bytes | None = None) -> None:
        del params
        self.notified.append(method)

    async def request(self, method: str, params: Mapping[str, bytes | Raw], limit: float) -> bytes:
        if method in self.answers:
            return self.answers[method].pop(0)
        return await super().request(method, params, limit)

    @property
    def call(self) -> Call:
        """The newest call."""
        return self.calls[-1]

    @property
    def sent(self) -> dict[str, Any]:
        """The params of the newest call, as its server reads them, without what an era adds."""
        written = jsonrpc.dump(self.call.outgoing.params)
        found: dict[str, Any] = json.loads(written)
        return found

    def reply(self, result: object) -> None:
        """Answer the newest call."""
        self.call.replied(jsonrpc.result(result if isinstance(result, bytes) else dumps(result)))

    def fail(self, code: int, message: str = "no", data: object = None) -> None:
        """Answer the newest call with an error."""
        self.call.replied(jsonrpc.error(code, message, data))

    def ask(self, method: str, params: object = None) -> list[Outcome]:
        """Ask within the newest call; give where the answer will be."""
        answers: list[Outcome] = []
        raw = None if params is None else Raw(dumps(params))
        self.call.asked(Question(method, raw, lambda outcome: answers.append((outcome[0], bytes(outcome[1])))))
        return answers


class TalkingServer(FakeServer):
    """How such a server is reached."""

    async def connect(self, events: Events, capabilities: bytes) -> FakePeer:
        self.capabilities = capabilities
        await self.ready.wait()
        if self.offers is None:
            raise Failure("it does not start")
        peer = TalkingPeer(events, self.offers)
        self.lives.append(peer)
        return peer


class Answer:
    """What a request got."""

    def __init__(self) -> None:
        self.notes: list[dict[str, Any]] = []
        self.raw: Outcome | None = None
        self.takes_notes = True
        self.cancel: Callable[[Raw | None], None] | None = None

    def note(self, message: bytes) -> bool:
        assert self.raw is None, "a note after the outcome"
        if self.takes_notes:
            self.notes.append(json.loads(message))
        return self.takes_notes

    def finish(self, outcome: Outcome) -> None:
        assert self.raw is None, "two outcomes"
        self.raw = outcome

    @property
    def bytes(self) -> bytes:
        """The outcome, as it is written."""
        assert self.raw is not None
        return bytes(self.raw[1])

    @property
    def result(self) -> dict[str, Any]:
        assert self.raw is not None, "no outcome yet"
        assert self.raw[0] is jsonrpc.RESULT, self.raw
        found: dict[str, Any] = json.loads(self.bytes)
        return found

    @property
    def error(self) -> dict[str, Any]:
        assert self.raw is not None, "no outcome yet"
        assert self.raw[0] is jsonrpc.ERROR, self.raw
        found: dict[str, Any] = json.loads(self.bytes)
        return found

    async def done(self) -> Answer:
        """Wait for the outcome."""
        await until(lambda: self.raw)
        return self


class Modern:
    """A client of the modern era, as one request shows it."""

    era: Era = "modern"
    version = "2026-07-28"
    label = "-"
    client_info: bytes | None = b'{"name":"c","version":"2"}'

    def __init__(
        self,
        capabilities: bytes = b"{}",
        principal: str = "",
        log_level: str | None = None,
        server: str | None = None,
        mirrored: Mapping[str, bytes] | None = None,
    ) -> None:
        self.capabilities = capabilities
        self.principal = principal
        self.log_level = log_level
        self.server = server
        self.mirrored: Mapping[str, bytes] = mirrored or {}
        self.owner: object = principal or object()


class World:
    """The parts, running."""

    def __init__(self, config: Config, offered: Mapping[str, Offers | None], audit: Path) -> None:
        self.servers = {name: TalkingServer(given) for name, given in offered.items()}
        self.now = 1_000_000.0
        loop = asyncio.get_running_loop()
        self.sessions = Sessions(loop.time, 1800.0)
        self.gateway = Gateway(config, lambda server: self.servers[server.name], self.sessions)
        self._audit = Audit(str(audit))
        self._file = audit
        self.dispatcher = Dispatcher(self.gateway, self._audit, b"k" * 32, lambda: self.now)
        self._numbers = itertools.count(1)

    def peer(self, name: str = "s") -> TalkingPeer:
        """The server that is running."""
        peer = self.servers[name].peer
        assert isinstance(peer, TalkingPeer)
        return peer

    def session(self, capabilities: bytes = b"{}", server: str | None = None) -> tuple[Session, Ear]:
        """Open a session."""
        made = self.sessions.create("2025-11-25", server, capabilities, b'{"name":"c","version":"1"}')
        return made, Ear(made)

    def send(self, caller: Any, method: str, params: object = None, identifier: object = None) -> Answer:  # noqa: ANN401
        """Send a request; ``params`` may be the very bytes."""
        identifier = next(self._numbers) if identifier is None else identifier
        body = b'{"jsonrpc":"2.0","id":%b,"method":%b' % (dumps(identifier), dumps(method))
        if params is not None:
            body += b',"params":' + (params if isinstance(params, bytes) else dumps(params))
        answer = Answer()
        answer.cancel = self.dispatcher.request(caller, jsonrpc.parse(body + b"}"), answer)
        assert (answer.cancel is None) == (answer.raw is not None), "either it is over, or it can be cancelled"
        return answer

    def call(self, caller: Any, name: str = "s__t", **params: object) -> Answer:  # noqa: ANN401
        """Call a tool."""
        return self.send(caller, "tools/call", {"name": name, **params})

    def notify(self, session: Session, method: str, params: object = None) -> None:
        """Send a notification."""
        body = {"jsonrpc": "2.0", "method": method} | ({} if params is None else {"params": params})
        self.dispatcher.notification(session, jsonrpc.parse(dumps(body)))

    def answer(self, session: Session, identifier: object, **outcome: object) -> None:
        """Answer a question."""
        self.dispatcher.response(session, jsonrpc.parse(dumps({"jsonrpc": "2.0", "id": identifier, **outcome})))

    def audit(self) -> list[dict[str, Any]]:
        """Give the records so far."""
        self._audit.flush()
        return [json.loads(line) for line in self._file.read_text().splitlines()] if self._file.exists() else []


@asynccontextmanager
async def running(
    audit: Path, config: Config | None = None, *, wait: bool = True, **offered: Offers | None
) -> AsyncIterator[World]:
    """Run a world; without more it has one legacy server ``s`` with a tool ``t``."""
    given = offered or {"s": standard()}
    world = World(config or settings(*given), given, audit)
    world.gateway.start()
    try:
        if wait:
            await until(lambda: all(server.lives for server in world.servers.values()))
            await world.gateway.introduced(Modern())
        yield world
    finally:
        await world.gateway.stop()


def standard(era: str = "legacy", capabilities: Mapping[str, object] | None = None) -> Offers:
    """Offer one of each."""
    said = {"capabilities": dumps(capabilities or OPEN), "server_info": b'{"name":"fake","version":"1"}'}
    return offers(
        ["t", "u"],
        prompts=["p"],
        resources=["r://1"],
        templates=["r://{id}/x"],
        hello=said | (MODERN if era == "modern" else {}),
    )

"""Upstreams on their own: a supervisor with everything it says kept, calls that remember what came back."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolman.exchange import Call, Outgoing
from toolman.upstreams.kinds import Connectors
from toolman.upstreams.supervisor import Supervisor
from toolman_harness import LIMIT, SCRIPTED

from toolman import config, jsonrpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping

    from msgspec import Raw
    from toolman.exchange import Question
    from toolman.upstreams import Connector, Peer
    from toolman.upstreams.offers import Offers

ERAS = [SCRIPTED[0], str(Path(SCRIPTED[1]).with_name("eras.py"))]
"""The command of a server that speaks the eras that its arguments name."""


async def eventually(look: Callable[[], Awaitable[object] | object]) -> None:
    """Look again and again until there is something, for what nobody tells."""
    async with asyncio.timeout(LIMIT):
        while not (await found if inspect.isawaitable(found := look()) else found):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


class Kept(Call):
    """A call that keeps all that comes back."""

    def __init__(self, sent: Outgoing, timeout: float = LIMIT, owner: Hashable = "someone") -> None:
        super().__init__(sent, timeout, owner)
        self.heard_of: list[Any] = []
        self.questions: list[Question] = []
        self.outcome: asyncio.Future[jsonrpc.Outcome] = asyncio.get_running_loop().create_future()
        self.is_asked = asyncio.Event()

    def replied(self, outcome: jsonrpc.Outcome) -> None:
        self.outcome.set_result(outcome)

    def progressed(self, params: jsonrpc.Members) -> None:
        self.heard_of.append(json.loads(bytes(params["progress"])))

    def logged(self, params: Raw) -> None:
        self.heard_of.append(json.loads(bytes(params)))

    def asked(self, question: Question) -> None:
        self.questions.append(question)
        self.is_asked.set()

    async def answer(self) -> dict[str, Any]:
        """Give ``{"result": ...}`` or ``{"error": ...}``."""
        async with asyncio.timeout(LIMIT):
            kind, value = await self.outcome
        return {"result" if kind == jsonrpc.RESULT else "error": json.loads(bytes(value))}


def tool_call(
    name: str, arguments: Mapping[str, object] | None = None, timeout: float = LIMIT, owner: Hashable = "someone"
) -> Kept:
    """Make a call of a tool."""
    params = {"name": jsonrpc.encode(name), "arguments": jsonrpc.encode(arguments or {})}
    return Kept(Outgoing("tools/call", params, progress=True), timeout, owner)


class Recorder:
    """What a watcher or the events of a peer are told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.questions: list[Question] = []
        self._news = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def all(self, what: str) -> list[Any]:
        """Give everything of one kind."""
        return [value for kind, value in self.told if kind == what]

    async def until(self, what: str, count: int = 1) -> Any:  # noqa: ANN401 - whatever was told
        """Wait until something has been told so many times; give the last one."""
        async with asyncio.timeout(LIMIT), self._news:
            await self._news.wait_for(lambda: len(self.all(what)) >= count)
        return self.all(what)[count - 1]

    def tell(self, what: str, value: object) -> None:
        self.told.append((what, value))
        task = asyncio.ensure_future(self._wake())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _wake(self) -> None:
        async with self._news:
            self._news.notify_all()


class Events(Recorder):
    """Implements :class:`toolman.upstreams.Events`."""

    def changed(self, kind: str) -> None:
        self.tell("changed", kind)

    def updated(self, uri: str, params: Raw) -> None:
        self.tell("updated", (uri, json.loads(bytes(params))))

    def logged(self, params: Raw) -> None:
        self.tell("logged", json.loads(bytes(params)))

    def notified(self, method: str, params: Raw | None) -> None:
        self.tell("notified", (method, None if params is None else json.loads(bytes(params))))

    def asked(self, question: Question) -> None:
        self.questions.append(question)
        self.tell("asked", question.method)

    def ended(self, how: str) -> None:
        self.tell("ended", how)


class Watching(Recorder):
    """Implements the watcher of a supervisor."""

    def offered(self, _: Supervisor, offers: Offers | None) -> None:
        self.tell("offered", None if offers is None else [item.name for item in offers.tools])

    def updated(self, _: Supervisor, uri: str, params: Raw) -> None:
        self.tell("updated", (uri, json.loads(bytes(params))))

    def logged(self, _: Supervisor, params: Raw) -> None:
        self.tell("logged", json.loads(bytes(params)))

    def notified(self, _: Supervisor, method: str, params: Raw | None) -> None:
        self.tell("notified", (method, None if params is None else json.loads(bytes(params))))

    def asked(self, _: Supervisor, question: Question) -> None:
        self.questions.append(question)
        self.tell("asked", question.method)


class Upstream:
    """A supervisor and what it told."""

    def __init__(self, server: config.Server, connector: Connector | None = None) -> None:
        self.watching = Watching()
        self.supervisor = Supervisor(server, connector or Connectors()(server), self.watching, b"{}")

    async def peer(self) -> Peer:
        async with asyncio.timeout(LIMIT):
            return await self.supervisor.get()

    async def running(self) -> None:
        """Wait until it runs, however often it is started."""
        await eventually(lambda: self.supervisor.peer)

    async def call(self, name: str, **arguments: object) -> dict[str, Any]:
        """Call a tool; give its result or error as it is."""
        call = tool_call(name, arguments)
        (await self.peer()).send(call)
        return await call.answer()

    async def ask(self, name: str, **arguments: object) -> Any:  # noqa: ANN401 - whatever JSON holds
        """Call a tool that answers with JSON in a text."""
        answer = await self.call(name, **arguments)
        return json.loads(answer["result"]["content"][0]["text"])


def process(*command: str, name: str = "git", **settings: Any) -> config.Server:  # noqa: ANN401 - any setting
    """Configure a server that is a child process."""
    upstream = config.Process(command=tuple(command or SCRIPTED), env=settings.pop("env", {}))
    return config.Server(name=name, upstream=upstream, **settings)


@contextlib.asynccontextmanager
async def supervised(server: config.Server, connector: Connector | None = None) -> AsyncIterator[Upstream]:
    """Run a server for as long as the block runs."""
    found = Upstream(server, connector)
    found.supervisor.start()
    try:
        yield found
    finally:
        async with asyncio.timeout(LIMIT):
            await found.supervisor.stop()

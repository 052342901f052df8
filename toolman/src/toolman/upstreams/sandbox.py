"""Sandboxes: servers that are containers, one for each session of a client, and nothing of them left behind.

A sandbox has no network unless it is given one, no capabilities, a root that cannot be written, and bounds on memory,
processes and CPU. It is ended in this order, each step followed by :data:`POLITE` seconds in which it may go: its input
is closed, it gets SIGTERM, it is killed and removed. A toolman that is killed closes the input, too. What it leaves all
the same carries the label of its owner, and is removed by the next toolman that uses the engine and can tell that its
owner is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import signal
import threading
from typing import TYPE_CHECKING

from toolman import tokens
from toolman.upstreams import SESSION, Failure, hijack, lease
from toolman.upstreams.complaints import Complaints
from toolman.upstreams.ending import to_the_end
from toolman.upstreams.engine import Engine
from toolman.upstreams.lines import LineSplitter, LineTooLong

if TYPE_CHECKING:
    from toolman.config import Docker
    from toolman.upstreams import Receiver

log = logging.getLogger(__name__)

LABEL_GATEWAY = "toolman.dev/gateway"
LABEL_SERVER = "toolman.dev/server"
LABEL_SESSION = "toolman.dev/session"
LABEL_OWNER = "toolman.dev/owner"
"""Labels of every sandbox: which toolman made it (for people), for which server and session; who may remove it."""

POLITE = 2.0
"""Seconds that a server has after the end of its input, and again after SIGTERM, before the next stronger means."""

ATTACH = 30.0
"""Seconds for the engine to give a container's streams."""

_RUNNING = frozenset({"created", "running", "paused", "restarting"})
_LABEL = re.compile(r"[^A-Za-z0-9._-]")


class Sandboxes:
    """All sandboxes of this process, and its connection to the engine."""

    def __init__(self) -> None:
        self.gateway = tokens.hexadecimal(6)
        self.live: set[str] = set()
        self._engine: Engine | None = None
        self._is_tidy = False
        self._owner: lease.Owner | None = None
        self._connecting = asyncio.Lock()
        self._pulls: dict[str, tuple[asyncio.Task[None], threading.Event]] = {}

    async def engine(self) -> Engine:
        """Give the engine; the first time remove what toolmans that are gone have left on it.

        Raises:
            Failure: It cannot be reached.
        """
        async with self._connecting:
            if self._engine is None:
                self._engine = await to_the_end(asyncio.to_thread(Engine))
            if not self._is_tidy:
                self._is_tidy = True
                await to_the_end(asyncio.to_thread(self._tidy, self._engine))
        return self._engine

    async def provide(self, engine: Engine, image: str) -> None:
        """See that an image is there. A pull goes on when who asked does not wait any longer: the next one joins it.

        Raises:
            Failure: It cannot be had.
        """
        if image not in self._pulls:
            cancelled = threading.Event()
            task = asyncio.create_task(asyncio.to_thread(engine.provide, image, cancelled), name=f"image {image}")
            self._pulls[image] = task, cancelled
            task.add_done_callback(lambda _: self._pulled(image))
        await asyncio.shield(self._pulls[image][0])

    def _pulled(self, image: str) -> None:
        task, _ = self._pulls.pop(image)
        if not task.cancelled():
            task.exception()  # who asked may not wait any longer

    def labels(self, server: str) -> dict[str, str]:
        """Give the labels of a new sandbox."""
        return {
            LABEL_GATEWAY: self.gateway,
            LABEL_SERVER: server,
            LABEL_SESSION: _LABEL.sub("_", SESSION.get())[:63],
            LABEL_OWNER: "" if self._owner is None else lease.dumps(self._owner),
        }

    def leave(self, container: str) -> None:
        """Note that a container could not be removed: the next one who needs the engine tries again."""
        self.live.discard(container)
        self._is_tidy = False

    async def close(self) -> None:
        """Let go of the engine once no sandbox runs."""
        if self._connecting.locked() or self.live:
            return
        for _, cancelled in self._pulls.values():
            cancelled.set()
        engine, self._engine = self._engine, None
        self._is_tidy = False
        if engine is not None:
            engine.close()

    def _tidy(self, engine: Engine) -> None:
        try:
            self._owner = self._owner or lease.own(engine.started_at)
            self._remove_leftovers(engine, self._owner)
        except Failure as problem:
            self._is_tidy = False
            log.warning("what earlier toolmans left on the Docker Engine is not removed: %s%s", problem, problem.detail)

    def _remove_leftovers(self, engine: Engine, me: lease.Owner) -> None:
        for found in engine.labelled(LABEL_OWNER):
            owner = lease.loads(found.labels.get(LABEL_OWNER, ""))
            is_ours = found.labels.get(LABEL_GATEWAY) == self.gateway
            is_beginning = is_ours and found.state == "created"
            if found.identifier in self.live or owner is None or is_beginning:
                continue
            if is_ours or found.state not in _RUNNING or lease.is_gone(owner, me, engine.started_at):
                engine.remove(found.identifier)
                log.info(
                    "removed container %s of server %r, which a toolman that is gone has left",
                    found.identifier[:12],
                    found.labels.get(LABEL_SERVER, ""),
                )


sandboxes = Sandboxes()
"""Those of this process."""


class SandboxLauncher:
    """Starts one server in a new container, as often as wanted.

    Args:
        name: The server's.
        config: The container's.
        max_message: Bytes of one message from it.
    """

    def __init__(self, name: str, config: Docker, max_message: int) -> None:
        self._name = name
        self._config = config
        self._max_message = max_message

    async def launch(self, receiver: Receiver) -> SandboxLink:
        """Start a container.

        Raises:
            Failure: The engine cannot be reached, or does not do it.
        """
        engine = await sandboxes.engine()
        await sandboxes.provide(engine, self._config.image)
        link = SandboxLink(self._name, engine, receiver, self._max_message)
        try:
            await to_the_end(link.begin(self._config))
        except BaseException:
            await to_the_end(link.close())
            raise
        return link

    async def close(self) -> None:
        """Let go of the engine once no sandbox runs."""
        await sandboxes.close()


class SandboxLink:
    """One container."""

    def __init__(self, name: str, engine: Engine, receiver: Receiver, max_message: int) -> None:
        self._name = name
        self._engine = engine
        self._receiver = receiver
        self._lines = LineSplitter(max_message)
        self._max_message = max_message
        self._complaints = Complaints(name)
        self._container = ""
        self._attachment: hijack.Attachment | None = None
        self._over = asyncio.Event()
        self._inquiry: asyncio.Task[None] | None = None
        self._is_started = self._is_removed = False

    async def begin(self, config: Docker) -> None:
        """Make the container, take its streams, start it.

        Raises:
            Failure: One of these does not work.
        """
        engine = self._engine
        name = f"toolman-{self._name}-{tokens.hexadecimal(4)}"
        labels = {**config.labels, **sandboxes.labels(self._name)}
        self._container = await asyncio.to_thread(engine.create, name, config, labels)
        sandboxes.live.add(self._container)
        self._attachment = await hijack.attach(engine.address, engine.version, self._container, self, ATTACH)
        await asyncio.to_thread(engine.start, self._container)
        self._is_started = True
        if self._over.is_set():  # it was quick
            self.closed()
        log.info(
            "Session provisioned: server %r, session %s, container %s (%s), image %s",
            self._name,
            SESSION.get(),
            self._container[:12],
            name,
            config.image,
        )

    def write(self, line: bytes) -> bool:
        """Send one line."""
        return self._attachment is not None and self._attachment.write(line)

    def wrote(self, stream: int, data: bytes) -> None:
        """Take what the container wrote."""
        if stream == hijack.STDERR:
            self._complaints.feed(data)
            return
        try:
            for line in self._lines.feed(data):
                self._receiver.line(line)
        except LineTooLong:
            if self._attachment is not None:
                self._attachment.close()  # whatever else it writes is not read
            self._receiver.ended(f"it sent a message of more than {self._max_message} bytes")

    def closed(self) -> None:
        """Learn that the container wrote its last: find out why."""
        self._over.set()
        if self._is_started and not self._is_removed:
            self._inquiry = asyncio.create_task(self._inquire(), name=f"end of a sandbox of {self._name}")

    async def close(self) -> None:
        """Close its input, wait, SIGTERM, wait, remove it."""
        if self._attachment is not None and self._is_started:
            self._attachment.end_input()
            if not await self._ends():
                with contextlib.suppress(Failure):
                    await asyncio.to_thread(self._engine.signal, self._container, signal.SIGTERM)
                await self._ends()
        if self._inquiry is not None:
            await self._inquiry
        self._is_removed = True
        if self._container:
            await self._remove()
        if self._attachment is not None:
            self._attachment.close()

    async def _remove(self) -> None:
        try:
            await asyncio.to_thread(self._engine.remove, self._container)
        except Failure as problem:
            sandboxes.leave(self._container)
            log.warning("container %s stays until the engine is back: %s", self._container[:12], problem)
        else:
            sandboxes.live.discard(self._container)
            log.info("Session ended: server %r, container %s is removed", self._name, self._container[:12])

    async def _ends(self) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLITE):
                await self._over.wait()
        return self._over.is_set()

    async def _inquire(self) -> None:
        how = "its container is gone"
        try:
            state = await asyncio.to_thread(self._engine.state, self._container)
        except Failure:
            how = "the Docker Engine went away"
        else:
            if state is not None and state.is_running:
                how = "it closed its output"
            elif state is not None:
                how = f"exit code {state.exit_code}" + (", out of memory" if state.is_out_of_memory else "")
        self._receiver.ended(how, self._complaints.end)

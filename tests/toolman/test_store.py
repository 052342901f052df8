from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import ports
import pytest
from toolman_harness import LIMIT, until

from toolman import sessions, store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.requirement("T-23"), pytest.mark.integration]

SECRET = "correct horse"


class Server:
    """A real Redis that can be ended and begun again."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = ports.free()
        self._folder = folder
        self._options = options
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder), *self._options]
        self.process = subprocess.Popen(["redis-server", *arguments, "--save", ""], stdout=subprocess.DEVNULL)
        until(lambda: self.command("PING").strip() in {"PONG", "NOAUTH Authentication required."})

    def end(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(LIMIT)

    def command(self, *words: str) -> str:
        arguments = ["redis-cli", "--no-raw", "-p", str(self.port), *words]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=LIMIT, check=False)
        return done.stdout.replace("(error) ", "")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path)
    running.start()
    yield running
    running.end()


@contextlib.asynccontextmanager
async def opened(server: Server, password: str | None = None, ttl: float = 60) -> AsyncGenerator[store.RedisStore]:
    made = store.RedisStore(server.url, ttl, lambda: password, time.monotonic)
    yield made
    await made.close()


async def test_what_one_toolman_keeps_another_finds_until_it_is_deleted(server: Server) -> None:
    async with opened(server) as one, opened(server) as other:
        assert await one.load("id") is None
        await one.save("id", b"\x00data")
        assert await other.load("id") == b"\x00data"
        await other.delete("id")
        assert await one.load("id") == sessions.ENDED


async def test_it_is_forgotten_after_its_time_unless_it_is_used(server: Server) -> None:
    async with opened(server, ttl=100) as made:
        await made.save("id", b"x")
        (key,) = server.command("KEYS", "*").strip().splitlines()
        name = key.partition('"')[2].rstrip('"')
        server.command("EXPIRE", name, "5")
        await made.load("id")
        assert "(integer) 100" in server.command("TTL", name)


async def test_redis_never_holds_the_identifier(server: Server) -> None:
    async with opened(server) as made:
        await made.save("very-secret-identifier", b"x")
        assert "very-secret-identifier" not in server.command("KEYS", "*")
        assert store.PREFIX in server.command("KEYS", "*")


async def test_while_redis_is_away_nothing_fails_and_it_is_said_once(
    server: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PAUSE", 0.0)
    async with opened(server) as made:
        await made.save("id", b"x")
        server.end()
        for _ in range(3):
            await made.save("id", b"y")
            assert await made.load("id") is None
        assert "cannot be used" in made.problem
        assert caplog.text.count("live in memory meanwhile") == 1
        server.start()
        await made.save("id", b"z")
        assert await made.load("id") == b"z"
        assert made.problem == ""
        assert "is back" in caplog.text


async def test_a_redis_that_does_not_answer_delays_nobody_twice(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PATIENCE", 0.2)
    async with opened(server) as made:
        await made.save("id", b"x")
        assert server.process is not None
        server.process.send_signal(signal.SIGSTOP)
        async with asyncio.timeout(LIMIT):
            assert await made.load("id") is None
        with monkeypatch.context() as patched:
            patched.setattr(made, "_redis", None)  # it must not even be asked now
            assert await made.load("id") is None


async def test_a_wrong_password_is_a_problem_that_does_not_tell_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    protected = Server(tmp_path, "--requirepass", SECRET)
    protected.start()
    try:
        async with opened(protected, SECRET) as right, opened(protected, "wrong horse") as wrong:
            await right.save("id", b"x")
            assert await right.load("id") == b"x"
            assert await wrong.load("id") is None
            assert wrong.problem
            assert "horse" not in caplog.text + wrong.problem
    finally:
        protected.end()

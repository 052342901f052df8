from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from toolman.upstreams import Failure, children
from toolman.upstreams.connect import LineConnector
from toolman.upstreams.process import ProcessLauncher
from toolman_harness import LIMIT, SCRIPTED, is_alive, until
from upstream_harness import Events, eventually, process, supervised, tool_call

from toolman import config

if TYPE_CHECKING:
    from toolman_harness import Client, Starter

pytestmark = pytest.mark.requirement("T-20")

STUBBORN = [
    SCRIPTED[0],
    "-c",
    "import signal, sys, runpy\nsignal.signal(15, signal.SIG_IGN)\nrunpy.run_path(sys.argv[1], run_name='__main__')",
    SCRIPTED[1],
]
"""A server that SIGTERM does not end. Being mute it does not see the end of its input, either."""


async def gone(*pids: int) -> None:
    await eventually(lambda: not any(is_alive(pid) for pid in pids))


def marked(token: str) -> list[str]:
    """Give the command lines of processes that have a word among their arguments or in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdecimal() and int(entry.name) != os.getpid():
                command = (entry / "cmdline").read_bytes()
                if token.encode() in command + (entry / "environ").read_bytes():
                    found.append(command.replace(b"\0", b" ").decode())
    return found


async def test_a_server_leads_its_own_session_and_inherits_nothing() -> None:
    async with supervised(process()) as upstream:
        state = await upstream.ask("state")
    assert state["pid"] == state["group"] == state["session"]
    assert state["ignored"] == 0
    assert len(state["descriptors"]) <= 4, "0, 1, 2 and the one it lists with"


async def test_the_environment_is_added_to_and_no_shell_is_between() -> None:
    async with supervised(process(*SCRIPTED, "one", "two  three", "$HOME;*", env={"NEW": "$HOME"})) as upstream:
        state = await upstream.ask("state")
    assert state["environment"]["NEW"] == "$HOME"
    assert "PATH" in state["environment"]
    assert state["arguments"] == ["one", "two  three", "$HOME;*"]


async def test_a_command_that_does_not_exist_is_named() -> None:
    launcher = ProcessLauncher("git", config.Process(command=("/no/such/program",)), 2**20)
    with pytest.raises(Failure, match="cannot run '/no/such/program': No such file or directory"):
        await LineConnector("git", launcher).connect(Events(), b"{}")


@pytest.mark.parametrize("own_session", [False, True])
async def test_the_children_of_a_dead_server_end_with_it_and_no_zombie_stays(own_session: bool) -> None:  # noqa: FBT001
    async with supervised(process()) as upstream:
        before = (await upstream.ask("state"))["pid"]
        child = (await upstream.ask("daemon", session=own_session))["pid"]
        await upstream.call("die")
        await upstream.ask("state")
        await gone(child)
        await eventually(lambda: not {before, child} & children._children())


async def test_a_daemon_stays_as_long_as_its_server_and_those_of_others_are_left_alone() -> None:
    async with supervised(process()) as other:
        await other.call("orphan")
        async with supervised(process()) as upstream:
            await upstream.call("orphan")
            await eventually(lambda: len(orphans()) == 2)
            found = orphans()
            children.nursery.end_orphans()
            assert all(map(is_alive, found))
        await eventually(lambda: sum(map(is_alive, found)) == 1)
        assert "result" in await other.call("echo")
    await gone(*found)


def orphans() -> list[int]:
    return [pid for pid in children._children() if Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x001000\0"]


KINDS = {
    "plain": SCRIPTED,
    "exec": ["sh", "-c", 'exec "$@"', "sh", *SCRIPTED],
    "launcher": ["sh", "-c", '"$@"; true', "sh", "sh", "-c", '"$@"; true', "sh", *SCRIPTED],
    "background": ["sh", "-c", 'sleep 1000 & exec "$@"', "sh", *SCRIPTED],
    "daemons": ["sh", "-c", 'setsid sh -c "sleep 1000 & sleep 1000" & exec "$@"', "sh", *SCRIPTED],
    "hidden": ["sh", "-c", 'setsid env -i sleep "1000.$TOKEN" >/dev/null & exec "$@"', "sh", *SCRIPTED],
}
"""Commands that people write, and what hostile ones do."""


async def live(kind: str, token: str, *, crash: bool) -> None:
    """Live a session with a server of its own."""
    server = process(*KINDS[kind], env={"TOKEN": token})
    async with supervised(server) as upstream:
        assert "result" in await upstream.call("daemon", session=True)
        if crash:
            assert "error" in await upstream.call("die")
        assert "result" in await upstream.call("echo")


async def test_after_many_sessions_nothing_of_their_servers_is_left() -> None:
    token = str(secrets.randbelow(10**9))
    before = children._children()
    limit = asyncio.Semaphore(8)

    async def session(number: int) -> None:
        async with limit:
            kind = list(KINDS)[number % len(KINDS)]
            await live(kind, token, crash=number % 5 == 0)

    await asyncio.gather(*(session(number) for number in range(50)))
    assert marked(token) == []
    assert children._children() <= before, "no zombies, either"


async def test_a_server_that_does_not_want_to_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolman.upstreams.process.POLITE", 0.1)
    async with supervised(process(*STUBBORN)) as upstream:
        pid = (await upstream.ask("state"))["pid"]
        call = tool_call("mute")
        (await upstream.peer()).send(call)
    assert "was ended before answering" in (await call.answer())["error"]["message"]
    assert not is_alive(pid)


async def test_stopping_twice_and_while_it_is_starting_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolman.upstreams.process.POLITE", 0.1)
    token = str(secrets.randbelow(10**9))
    async with supervised(process("sh", "-c", "trap '' TERM; while :; do sleep 1; done", env={"T": token})) as upstream:
        await eventually(lambda: marked(token))
        stopping = asyncio.create_task(upstream.supervisor.stop())
        await asyncio.sleep(0.05)
        await asyncio.gather(stopping, upstream.supervisor.stop())
        assert marked(token) == []


@pytest.mark.parametrize("size", [1, 10 * 1024 * 1024])
async def test_a_big_result_arrives_whole(size: int) -> None:
    async with supervised(process()) as upstream:
        answer = await upstream.call("huge", size=size)
        assert len(answer["result"]["content"][0]["text"]) == size


async def test_a_big_request_arrives_whole() -> None:
    async with supervised(process()) as upstream:
        text = "x" * 10 * 1024 * 1024
        answer = await upstream.call("echo", text=text)
        assert json.loads(answer["result"]["content"][0]["text"])["params"]["arguments"]["text"] == text


async def test_a_message_over_the_limit_ends_the_server_and_says_so() -> None:
    async with supervised(process(max_message=100_000)) as upstream:
        assert "result" in await upstream.call("huge", size=90_000)
        error = (await upstream.call("huge", size=110_000))["error"]
        assert "it sent a message of more than 100000 bytes" in error["message"]
        assert "result" in await upstream.call("echo")


async def test_a_server_that_floods_without_a_line_end_is_ended() -> None:
    async with supervised(process()) as upstream:
        error = (await upstream.call("flood"))["error"]
        assert "it sent a message of more than 16777216 bytes" in error["message"]
        assert "result" in await upstream.call("echo")


async def test_a_server_that_never_reads_fails_its_calls_without_being_buffered_for_without_end() -> None:
    async with supervised(process()) as upstream:
        peer = await upstream.peer()
        peer.send(tool_call("mute"))
        text = "x" * 3_000_000
        for _ in range(6):
            with contextlib.suppress(Failure):
                peer.send(tool_call("echo", {"text": text}))
        with pytest.raises(Failure, match="does not read"):
            peer.send(tool_call("echo", {"text": text}))


class Ear:
    """A receiver."""

    def __init__(self) -> None:
        self.over: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()

    def line(self, data: bytes) -> None:
        raise AssertionError(data)

    def ended(self, how: str, detail: str = "") -> None:
        if not self.over.done():
            self.over.set_result((how, detail))


@pytest.mark.parametrize(
    ("script", "how", "detail"),
    [
        ("exec >&-; exec sleep 1000", "it closed its output", ""),
        ("echo last words >&2; exit 5", "exit code 5", "end of its stderr:\nlast words"),
        ("kill -SEGV $$", "exit code 139", ""),
        ("printf 'a\\033[1mb\\351\\n' >&2", "exit code 0", "end of its stderr:\na\\x1b[1mb\\xe9"),
    ],
)
async def test_how_a_server_ended_is_told_with_the_end_of_its_stderr(
    script: str, how: str, detail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolman.upstreams.process._STDOUT_CLOSED", 0.05)
    ear = Ear()
    launcher = ProcessLauncher("git", config.Process(command=("sh", "-c", script)), 2**20)
    link = await launcher.launch(ear)
    async with asyncio.timeout(LIMIT):
        assert await ear.over == (how, detail)
        await link.close()
        await launcher.close()


async def test_a_flood_of_stderr_does_not_slow_calls_down() -> None:
    flooding = 'while :; do echo "$0$0$0$0$0$0$0$0"; done >&2 & exec "$@"'
    async with supervised(process("sh", "-c", flooding, "x" * 1000, *SCRIPTED)) as upstream:
        for _ in range(20):
            assert "result" in await upstream.call("echo")


# --- the whole of toolman


EVERYTHING = [{"source": "all"}]
"""Layers without an opinion: what nobody denies is allowed."""


def in_background(client: Client, name: str, **arguments: object) -> tuple[threading.Thread, list[dict[str, Any]]]:
    """Call a tool that does not answer at once."""
    answers: list[dict[str, Any]] = []
    body = {"jsonrpc": "2.0", "id": "bg", "method": "tools/call", "params": {"name": name, "arguments": arguments}}
    thread = threading.Thread(target=lambda: answers.append(client.post(body).json()))
    thread.start()
    return thread, answers


@pytest.mark.parametrize("own_session", [False, True])
def test_nothing_that_a_server_started_outlives_toolman(starter: Starter, own_session: bool) -> None:  # noqa: FBT001
    toolman, client = starter.run()
    server = client.ask("state")["pid"]
    child = client.ask("daemon", session=own_session)["pid"]
    assert is_alive(child)
    assert toolman.end() == 0
    assert not is_alive(server)
    assert not is_alive(child)


def test_ending_answers_what_is_on_its_way_and_ends_a_server_that_does_not_want_to(
    starter: Starter, tmp_path: Path
) -> None:
    toolman, client = starter.run(command=STUBBORN)
    server = client.ask("state")["pid"]
    begun = tmp_path / "begun"
    thread, answers = in_background(client, "mute", path=str(begun))
    until(begun.exists)
    assert toolman.end() == 0
    thread.join()
    assert "was ended before answering" in answers[0]["error"]["message"]
    assert not is_alive(server)


def test_a_slow_server_hides_its_own_tools_only(starter: Starter) -> None:
    slow = {"name": "slow", "upstream": {"kind": "process", "command": ["sleep", "1000"]}, "timeouts": {"start": 1}}
    good = {"name": "good", "upstream": {"kind": "process", "command": SCRIPTED}}
    _, client, _ = starter.serve({"servers": [slow, good], "layers": EVERYTHING})
    assert "good__echo" in client.tools()


def test_the_first_list_waits_for_a_server_that_is_starting(starter: Starter) -> None:
    command = ["sh", "-c", 'sleep 1; exec "$@"', "sh", *SCRIPTED]
    _, client = starter.run(command=command)
    assert "echo" in client.tools()


def test_a_flooding_server_harms_nobody_else_and_does_not_fill_the_memory(starter: Starter) -> None:
    servers = [{"name": name, "upstream": {"kind": "process", "command": SCRIPTED}} for name in ("bad", "good")]
    toolman, client, _ = starter.serve({"servers": servers, "layers": EVERYTHING})
    client.tools()
    thread, answers = in_background(client, "bad__flood")
    other = starter.client(client.http.base_url.port or 0).initialize()
    other.call("good__echo")
    thread.join()
    assert "message of more than" in answers[0]["error"]["message"]
    other.call("good__echo")
    resident = int(Path(f"/proc/{toolman.process.pid}/status").read_text().partition("VmHWM:")[2].split()[0])
    assert resident < 400_000, "kilobytes"

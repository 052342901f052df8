"""The real spawner as process 1 of a process namespace of its own, which is what a container is to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import ports
import pytest
from toolman.upstreams.kinds import Connectors
from toolman_harness import SCRIPTED, until
from upstream_harness import eventually, supervised, tool_call

import toolman
from toolman import config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from toolman_harness import Client, Starter, Toolman
    from upstream_harness import Upstream

BUSYBOX = shutil.which("busybox") or "/bin/busybox"
SPAWNER = Path(toolman.__file__).parent / "upstreams" / "spawner.sh"

pytestmark = [
    pytest.mark.requirement("T-21"),
    pytest.mark.skipif(os.geteuid() != 0 or not Path(BUSYBOX).exists(), reason="namespaces need root, and busybox"),
]


class Container:
    """Runs the spawner the way a container does: process 1, its volume mounted read-only, environment of its own."""

    def __init__(self, pipes: Path, command: list[str] | None = None) -> None:
        self.pipes = pipes
        self.command = command or SCRIPTED
        self.process: subprocess.Popen[bytes] | None = None
        self.log = pipes.parent / "container.log"

    def start(self) -> None:
        inside = (
            f'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && mount -t proc proc /proc && '
            f'exec {BUSYBOX} sh {SPAWNER} "$@"'
        )
        command = ["unshare", "--pid", "--mount", "--fork", "--kill-child", "sh", "-c", inside, "sh"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, str(self.pipes), *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "MCP_BUSYBOX": BUSYBOX, "FROM_IMAGE": "yes"},
                cwd="/usr",
                start_new_session=True,
            )

    @property
    def init(self) -> int:
        """Give process 1 as seen from here."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return int(until(lambda: children.read_text().split())[0])

    def processes(self) -> list[int]:
        """Give everything that runs in it."""
        namespace = os.readlink(f"/proc/{self.init}/ns/pid")  # noqa: PTH115
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdecimal() and os.readlink(entry / "ns/pid") == namespace:  # noqa: PTH115
                    found.append(int(entry.name))
        return found

    def kill(self) -> None:
        """Kill process 1, and with it everything."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, AssertionError):
                os.kill(self.init, signal.SIGKILL)
            self.process.wait(20)
            self.process = None


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    pipes = tmp_path / "pipes"
    pipes.mkdir()
    found = Container(pipes)
    yield found
    if found.process is not None:
        found.process.kill()
        found.process.wait(20)


def server(container: Container, **settings: float) -> config.Server:
    upstream = config.Pipes(directory=str(container.pipes))
    return config.Server(name="git", upstream=upstream, timeouts=config.Timeouts(**settings))


@contextlib.asynccontextmanager
async def joined(container: Container) -> AsyncIterator[Upstream]:
    async with supervised(server(container)) as upstream:
        yield upstream


def serve(starter: Starter, container: Container, **listen: int) -> tuple[Toolman, Client, Path]:
    upstream = {"kind": "pipes", "directory": str(container.pipes)}
    servers = [{"name": "git", "upstream": upstream}]
    return starter.serve({"naming": "plain", "listen": listen, "servers": servers, "layers": [{"source": "all"}]})


def folders(container: Container) -> list[str]:
    return sorted(entry.name for entry in container.pipes.iterdir() if entry.is_dir())


@pytest.mark.parametrize("first", ["container", "toolman"])
async def test_either_side_may_come_first(container: Container, first: str) -> None:
    if first == "container":
        container.start()
    async with joined(container) as upstream:
        if first == "toolman":
            await eventually((container.pipes / "control").exists)
            container.start()
        assert "result" in await upstream.call("echo")
        assert len(folders(container)) == 1


async def test_the_server_gets_the_images_folder_and_environment_and_nothing_of_the_spawners(
    container: Container,
) -> None:
    container.command = [*SCRIPTED, "one", "two  three", "*"]
    container.start()
    async with joined(container) as upstream:
        state = await upstream.ask("state")
        assert state["environment"]["TOOLMAN_SERVER_PROCESS"] in folders(container), "which it knows anyway"
    assert state["directory"] == "/usr"
    assert state["environment"]["FROM_IMAGE"] == "yes"
    assert state["arguments"] == ["one", "two  three", "*"]
    assert state["pid"] == state["group"] == state["session"]
    assert state["ignored"] == 0
    assert len(state["descriptors"]) <= 4, "0, 1, 2 and the one it lists with"
    assert "scripted server is here" in container.log.read_text()


async def test_a_program_is_found_in_the_images_path(container: Container) -> None:
    container.command = [Path(sys.executable).name, SCRIPTED[1]]
    container.start()
    async with joined(container) as upstream:
        assert "result" in await upstream.call("echo")


async def test_a_killed_server_is_reported_and_started_again(container: Container) -> None:
    container.start()
    async with joined(container) as upstream:
        error = (await upstream.call("die"))["error"]
        assert "server 'git' stopped (exit code 137) before answering" in error["message"]
        assert "result" in await upstream.call("echo")
        assert len(folders(container)) == 1


async def test_a_killed_container_is_noticed_when_it_comes_back(container: Container) -> None:
    container.start()
    async with joined(container) as upstream:
        waiting = tool_call("wait")
        (await upstream.peer()).send(waiting)
        await asyncio.to_thread(container.kill)
        container.start()
        assert "before answering" in (await waiting.answer())["error"]["message"]
        assert "result" in await upstream.call("echo")


async def test_several_sessions_have_a_server_each_and_one_that_ends_leaves_nothing(container: Container) -> None:
    container.start()
    connectors = Connectors()
    one_server = server(container)
    async with supervised(one_server, connectors(one_server)) as first:
        pid = (await first.ask("state"))["pid"]
        others = [supervised(one_server, connectors(one_server)) for _ in range(5)]
        async with contextlib.AsyncExitStack() as stack:
            upstreams = [await stack.enter_async_context(other) for other in others]
            states = await asyncio.gather(*(upstream.ask("state") for upstream in upstreams))
            assert len({pid, *(state["pid"] for state in states)}) == 6
            assert len(folders(container)) == 6
            await upstreams[0].ask("daemon", session=True)
            await upstreams[1].ask("daemon", session=False)
            error = (await upstreams[2].call("die"))["error"]
            assert "exit code 137" in error["message"]
            assert "result" in await upstreams[2].call("echo")
        assert (await first.ask("state"))["pid"] == pid, "it is not touched"
        assert len(folders(container)) == 1
        await eventually(lambda: len([one for one in container.processes() if is_sleeping(one)]) == 0)


async def test_connectors_of_one_folder_do_not_take_each_others_events(container: Container) -> None:
    container.start()
    async with supervised(server(container)) as one, supervised(server(container)) as two:
        pids = {(await upstream.ask("state"))["pid"] for upstream in (one, two)}
        assert len(pids) == 2
        await one.call("die")
        assert "result" in await one.call("echo")
        assert (await two.ask("state"))["pid"] in pids
    assert folders(container) == []
    async with joined(container) as upstream:
        assert "result" in await upstream.call("echo")


async def test_after_many_sessions_nothing_of_their_servers_is_left(container: Container) -> None:
    token = f"1000.{secrets.randbelow(10**9)}"
    container.command = ["sh", "-c", f'setsid sh -c "sleep {token} & sleep {token}" & exec "$@"', "sh", *SCRIPTED]
    container.start()
    one_server = server(container)
    limit = asyncio.Semaphore(6)

    async def session() -> None:
        async with limit, supervised(one_server) as upstream:
            assert "result" in await upstream.call("echo")

    async with joined(container) as upstream:
        await asyncio.gather(*(session() for _ in range(30)))
        assert "result" in await upstream.call("echo")
        await eventually(lambda: len([one for one in container.processes() if is_sleeping(one, token)]) == 2)


def is_sleeping(pid: int, seconds: str = "1000") -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes() == f"sleep\0{seconds}\0".encode()
    return False


THIEF = """
import itertools, socket, sys, time
for _ in itertools.count():
    try:
        taken = socket.create_server(("127.0.0.1", int(sys.argv[1])))
        break
    except OSError:
        time.sleep(0.01)
time.sleep(1000)
"""


def test_a_server_that_takes_toolmans_port_when_it_is_killed_loses_it_again(
    starter: Starter, container: Container
) -> None:
    port = ports.free()
    thief = ["env", "-i", "setsid", sys.executable, "-c", THIEF, str(port)]  # else it would end with its server
    container.command = ["/bin/sh", "-c", f'{shlex.join(thief)} & exec "$@"', "sh", *SCRIPTED]
    container.start()
    running, client, path = serve(starter, container, port=port)
    assert client.call("echo")
    running.process.kill()
    running.process.wait()
    until(lambda: accepts(port))

    again = starter.start("serve", "--config", str(path))
    again.said("a server of this Pod may have it")
    again.said("listening at")
    assert starter.client(port).initialize().call("echo")


def accepts(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def test_a_killed_toolman_leaves_no_server_of_its_life_behind(starter: Starter, container: Container) -> None:
    container.start()
    running, client, _ = serve(starter, container)
    client.ask("daemon", session=True)
    before = {pid for pid in container.processes() if pid != container.init}
    running.process.kill()
    running.process.wait()
    _, client, _ = serve(starter, container)
    assert client.call("echo")
    assert not before & set(container.processes())
    assert len(folders(container)) == 1


@pytest.mark.parametrize("order", ["st", "ts", "stst", "tsts"])
def test_both_may_be_killed_and_come_back_in_any_order(starter: Starter, container: Container, order: str) -> None:
    container.start()
    running, client, _ = serve(starter, container)
    assert client.call("echo")
    for which in order:
        if which == "s":
            container.kill()
            container.start()
        else:
            running.process.kill()
            running.process.wait()
            running, client, _ = serve(starter, container)
    until(lambda: "result" in client.request("tools/call", {"name": "echo"}))  # one may still be told that it stopped
    assert len(folders(container)) == 1


async def test_ending_it_ends_the_server_and_removes_its_pipes(container: Container) -> None:
    container.start()
    async with joined(container) as upstream:
        await upstream.ask("daemon", session=False)
    assert folders(container) == []
    assert sorted(entry.name for entry in container.pipes.iterdir()) == ["control", "events"]


async def test_the_container_ends_at_once_when_told_to(container: Container) -> None:
    container.start()
    async with joined(container) as upstream:
        assert "result" in await upstream.call("echo")
        os.kill(container.init, signal.SIGTERM)
        assert container.process is not None
        assert await asyncio.to_thread(container.process.wait, 4) == 0


def test_the_container_ends_at_once_even_before_toolman_has_come(container: Container) -> None:
    container.start()
    init = container.init
    until(lambda: b"spawner.sh" in Path(f"/proc/{init}/cmdline").read_bytes())
    until(lambda: int(Path(f"/proc/{init}/status").read_text().partition("SigCgt:")[2].split()[0], 16) & 1 << 14)
    os.kill(init, signal.SIGTERM)
    assert container.process is not None
    assert container.process.wait(4) == 0


async def test_orphans_do_not_stay_as_zombies(container: Container) -> None:
    container.start()
    async with joined(container) as upstream:
        await upstream.call("orphan")
        await eventually(lambda: [pid for pid in container.processes() if is_sleeping(pid)])
        (sleeping,) = [pid for pid in container.processes() if is_sleeping(pid)]
        os.kill(sleeping, signal.SIGKILL)
        await eventually(lambda: not Path(f"/proc/{sleeping}").exists())


async def test_a_command_that_is_not_there_is_said_in_the_containers_log(container: Container) -> None:
    container.command = ["no-such-program"]
    container.start()
    async with joined(container) as upstream:
        assert await upstream.watching.until("offered") is None
        assert upstream.supervisor.problem == "it stopped (exit code 127) while starting"
    assert "no-such-program" in container.log.read_text()


async def test_garbage_on_the_events_pipe_is_ignored(container: Container) -> None:
    container.start()
    async with joined(container) as upstream:
        assert "result" in await upstream.call("echo")
        events = os.open(container.pipes / "events", os.O_RDWR | os.O_NONBLOCK)
        identifier = folders(container)[0]
        garbage = ("exit nope 1", "ready nope", "pid x y", "x" * 10_000, "\0\xff", "pid nope 1", f"pid {identifier} 1")
        for line in garbage:
            os.write(events, line.encode("latin-1") + b"\n")
        os.close(events)
        assert "result" in await upstream.call("echo")


async def test_a_forged_exit_harms_the_server_that_forged_it_alone(container: Container) -> None:
    container.start()
    async with joined(container) as upstream:
        before = (await upstream.ask("state"))["pid"]
        with (container.pipes / "events").open("wb", buffering=0) as events:
            events.write(f"exit {folders(container)[0]} 0\n".encode())
        await upstream.watching.until("offered", 2)
        assert (await upstream.ask("state"))["pid"] != before


async def test_nothing_of_an_old_incarnation_answers_a_call_of_the_new_one(container: Container) -> None:
    keeps = f"import os,time; f=os.open({str(container.pipes)!r}+'/'+os.environ['TOOLMAN_SERVER_PROCESS']+'/out',1)"
    late = '\n[os.write(f, b\'{"jsonrpc":"2.0","id":%d,"result":{"old":1}}\\n\' % n) for n in range(100)]'
    script = f"{keeps}\ntime.sleep(0.3)\nwhile True:{late.replace(chr(10), ' ')}; time.sleep(0.01)"
    container.command = ["sh", "-c", 'env -i A=1 setsid "$1" -c "$0" & exec "$@"', script, *SCRIPTED]
    container.start()
    async with joined(container) as upstream:
        await upstream.call("die")
        for _ in range(30):
            assert "old" not in (await upstream.call("echo"))["result"]


async def test_whatever_is_no_pipe_is_refused(container: Container) -> None:
    (container.pipes / "control").symlink_to("/dev/null")
    async with joined(container) as upstream:
        assert await upstream.watching.until("offered") is None
        assert "cannot be used: Too many levels of symbolic links" in upstream.supervisor.problem


def test_the_spawner_refuses_to_be_anything_but_process_1(tmp_path: Path) -> None:
    done = subprocess.run(
        [BUSYBOX, "sh", str(SPAWNER), str(tmp_path), "true"], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 2
    assert "as process 1 of a container" in done.stderr


async def test_a_server_of_another_user_can_use_its_pipes_and_plant_nothing(container: Container) -> None:
    container.pipes.parent.chmod(0o755)
    script = container.pipes.parent / "try.sh"
    script.write_text(
        f"cd {container.pipes}\n"
        "for d in */; do touch $d/x; rm -f $d/in; ln -s /etc/passwd $d/link; done\n"
        "touch x; mkfifo y; rm -f control; mv events e2\n"
        f"exec {SCRIPTED[0]} {SCRIPTED[1]}\n"
    )
    container.command = ["/bin/sh", str(script)]
    container.start()
    async with joined(container) as upstream:
        assert "result" in await upstream.call("echo")
        names = [str(entry.relative_to(container.pipes)) for entry in sorted(container.pipes.rglob("*"))]
        (identifier,) = folders(container)
    assert names == sorted([identifier, f"{identifier}/in", f"{identifier}/out", "control", "events"])
    assert container.log.read_text().count("Read-only file system") >= 5

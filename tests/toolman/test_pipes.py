"""The real spawner as process 1 of a process namespace of its own, which is what a container is to it."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from toolman_harness import SCRIPTED, free_port, until

import toolman

if TYPE_CHECKING:
    from collections.abc import Iterator

    from toolman_harness import Client, Starter, Toolman

BUSYBOX = shutil.which("busybox") or "/bin/busybox"
SPAWNER = Path(toolman.__file__).parent / "upstreams" / "spawner.sh"

pytestmark = [
    pytest.mark.requirement("F-06", "F-07"),
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


def serve(starter: Starter, container: Container, **timeouts: float) -> tuple[Toolman, Client]:
    upstream = {"kind": "pipes", "directory": str(container.pipes)}
    server = {"name": "git", "upstream": upstream, "timeouts": timeouts}
    running, client, _ = starter.serve({"naming": "plain", "servers": [server]})
    return running, client


def folders(container: Container) -> list[str]:
    return sorted(entry.name for entry in container.pipes.iterdir() if entry.is_dir())


@pytest.mark.parametrize("first", ["container", "toolman"])
def test_either_side_may_come_first(starter: Starter, container: Container, first: str) -> None:
    if first == "container":
        container.start()
        _, client = serve(starter, container)
    else:
        _, client = serve(starter, container)
        container.start()
    assert client.call("echo")
    assert len(folders(container)) == 1


def test_the_server_gets_the_images_folder_and_environment_and_nothing_of_the_spawners(
    starter: Starter, container: Container
) -> None:
    container.command = [*SCRIPTED, "one", "two  three", "*"]
    container.start()
    _, client = serve(starter, container)
    state = client.ask("state")
    assert state["directory"] == "/usr"
    assert state["environment"]["FROM_IMAGE"] == "yes"
    assert state["arguments"] == ["one", "two  three", "*"]
    assert state["pid"] == state["group"] == state["session"]
    assert state["ignored"] == 0
    assert len(state["descriptors"]) <= 4, "0, 1, 2 and the one it lists with"
    assert "scripted server is here" in container.log.read_text()


def test_a_program_is_found_in_the_images_path(starter: Starter, container: Container) -> None:
    container.command = [Path(sys.executable).name, SCRIPTED[1]]
    container.start()
    _, client = serve(starter, container)
    assert client.call("echo")


def test_a_killed_server_is_reported_and_started_again(starter: Starter, container: Container) -> None:
    container.start()
    running, client = serve(starter, container)
    error = client.request("tools/call", {"name": "die"})["error"]
    assert "server 'git' stopped (exit code 137) before answering" in error["message"]
    assert client.call("echo")
    assert len(folders(container)) == 1, running.log


def test_a_killed_container_is_noticed_when_it_comes_back(starter: Starter, container: Container) -> None:
    container.start()
    running, client = serve(starter, container)
    client.tools()
    answers: list[dict[str, Any]] = []
    body = {"jsonrpc": "2.0", "id": "w", "method": "tools/call", "params": {"name": "wait"}}
    thread = threading.Thread(target=lambda: answers.append(client.post(body).json()))
    thread.start()
    until(lambda: client.http.get("/").status_code == 404)
    container.kill()
    container.start()
    thread.join()
    assert "before answering" in answers[0]["error"]["message"]
    other = starter.client(client.http.base_url.port or 0).initialize()
    assert other.call("echo"), running.log


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
    port = free_port()
    thief = [sys.executable, "-c", THIEF, str(port)]
    container.command = ["/bin/sh", "-c", f'{shlex.join(thief)} & exec "$@"', "sh", *SCRIPTED]
    container.start()
    upstream = {"kind": "pipes", "directory": str(container.pipes)}
    config = {"naming": "plain", "listen": {"port": port}, "servers": [{"name": "git", "upstream": upstream}]}
    running, client, path = starter.serve(config)
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
    running, client = serve(starter, container)
    client.ask("daemon", session=True)
    before = {pid for pid in container.processes() if pid != container.init}
    running.process.kill()
    running.process.wait()
    _, client = serve(starter, container)
    assert client.call("echo")
    assert not before & set(container.processes())
    assert len(folders(container)) == 1


@pytest.mark.parametrize("order", ["st", "ts", "stst", "tsts"])
def test_both_may_be_killed_and_come_back_in_any_order(starter: Starter, container: Container, order: str) -> None:
    container.start()
    running, client = serve(starter, container)
    assert client.call("echo")
    for which in order:
        if which == "s":
            container.kill()
            container.start()
        else:
            running.process.kill()
            running.process.wait()
            running, client = serve(starter, container)
    until(lambda: "result" in client.request("tools/call", {"name": "echo"}))  # one may still be told that it stopped
    assert len(folders(container)) == 1


def test_ending_toolman_ends_the_server_and_removes_its_pipes(starter: Starter, container: Container) -> None:
    container.start()
    running, client = serve(starter, container)
    client.ask("daemon", session=False)
    assert running.end() == 0
    assert folders(container) == []
    assert sorted(entry.name for entry in container.pipes.iterdir()) == ["control", "events"]


def test_the_container_ends_at_once_when_told_to(starter: Starter, container: Container) -> None:
    container.start()
    _, client = serve(starter, container)
    assert client.call("echo")
    os.kill(container.init, signal.SIGTERM)
    assert container.process is not None
    assert container.process.wait(4) == 0


def test_the_container_ends_at_once_even_before_toolman_has_come(container: Container) -> None:
    container.start()
    init = container.init
    until(lambda: b"spawner.sh" in Path(f"/proc/{init}/cmdline").read_bytes())
    until(lambda: int(Path(f"/proc/{init}/status").read_text().partition("SigCgt:")[2].split()[0], 16) & 1 << 14)
    os.kill(init, signal.SIGTERM)
    assert container.process is not None
    assert container.process.wait(4) == 0


def test_orphans_do_not_stay_as_zombies(starter: Starter, container: Container) -> None:
    container.start()
    _, client = serve(starter, container)
    client.call("orphan")
    sleeping = until(
        lambda: [
            pid for pid in container.processes() if Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x001000\0"
        ]
    )[0]
    os.kill(sleeping, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{sleeping}").exists())


def test_a_command_that_is_not_there_is_said_in_the_containers_log(starter: Starter, container: Container) -> None:
    container.command = ["no-such-program"]
    container.start()
    running, client = serve(starter, container)
    running.said("it stopped (exit code 127) while starting")
    assert "no-such-program" in container.log.read_text()
    assert client.tools() == []


def test_garbage_on_the_events_pipe_is_ignored(starter: Starter, container: Container) -> None:
    container.start()
    _, client = serve(starter, container)
    assert client.call("echo")
    events = os.open(container.pipes / "events", os.O_RDWR | os.O_NONBLOCK)
    identifier = folders(container)[0]
    for line in ("exit nope 1", "ready nope", "pid x y", "x" * 10_000, "\0\xff", "pid nope 1", f"pid {identifier} 1"):
        os.write(events, line.encode("latin-1") + b"\n")
    os.close(events)
    assert client.call("echo")


def test_a_forged_exit_harms_the_server_that_forged_it_alone(starter: Starter, container: Container) -> None:
    container.start()
    running, client = serve(starter, container)
    before = client.ask("state")["pid"]
    with (container.pipes / "events").open("wb", buffering=0) as events:
        events.write(f"exit {folders(container)[0]} 0\n".encode())
    running.said("stopped (exit code 0)")
    assert client.ask("state")["pid"] != before


def test_whatever_is_no_pipe_is_refused(starter: Starter, container: Container) -> None:
    (container.pipes / "control").symlink_to("/dev/null")
    running, client = serve(starter, container)
    running.said("cannot be used: Too many levels of symbolic links")
    assert client.tools() == []


def test_the_spawner_refuses_to_be_anything_but_process_1(tmp_path: Path) -> None:
    done = subprocess.run(
        [BUSYBOX, "sh", str(SPAWNER), str(tmp_path), "true"], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 2
    assert "as process 1 of a container" in done.stderr


def test_a_server_of_another_user_can_use_its_pipes_and_plant_nothing(starter: Starter, container: Container) -> None:
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
    _, client = serve(starter, container)
    assert client.call("echo")
    names = [str(entry.relative_to(container.pipes)) for entry in sorted(container.pipes.rglob("*"))]
    (identifier,) = folders(container)
    assert names == sorted([identifier, f"{identifier}/in", f"{identifier}/out", "control", "events"])
    assert container.log.read_text().count("Read-only file system") >= 5

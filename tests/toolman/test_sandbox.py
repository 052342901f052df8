from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
import tarfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from toolman.upstreams import Failure, kinds, sandbox
from toolman.upstreams.kinds import Connectors
from toolman.upstreams.supervisor import Supervisor
from toolman_harness import LIMIT, SCRIPTED, until
from upstream_harness import supervised, tool_call

from toolman import config

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker
    from docker.models.containers import Container
    from lab.environment import Environment

pytestmark = [pytest.mark.requirement("T-22"), pytest.mark.integration]

IMAGE = "toolman-test/sandbox:1"
RUN = "import runpy; runpy.run_path('/scripted.py', run_name='__main__')"
ENGINE = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")


@pytest.fixture(scope="module")
def image(engine: docker.DockerClient, lab: Environment) -> Iterator[str]:
    """Build an image with the scripted server; what it is run with must harden it, so it runs as root."""
    dockerfile = f'FROM {lab.base_python}\nCOPY scripted.py /\nCMD ["python3", "/scripted.py"]\n'
    files = {"Dockerfile": dockerfile.encode(), "scripted.py": Path(SCRIPTED[1]).read_bytes()}
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    context.seek(0)
    engine.images.build(fileobj=context, custom_context=True, tag=IMAGE, rm=True, forcerm=True)
    yield IMAGE
    engine.images.remove(IMAGE, force=True)


@pytest.fixture(autouse=True)
async def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test is a toolman of its own."""
    monkeypatch.setattr(sandbox, "sandboxes", sandbox.Sandboxes())


def server(image: str, *command: str, **settings: Any) -> config.Server:  # noqa: ANN401 - any setting
    upstream = config.Docker(image=image, command=command, **settings)
    return config.Server(name="git", upstream=upstream)


def ours(engine: docker.DockerClient) -> list[Container]:
    label = f"{sandbox.LABEL_GATEWAY}={sandbox.sandboxes.gateway}"
    return engine.containers.list(all=True, filters={"label": label})


async def test_a_session_has_a_container_of_its_own_that_may_do_next_to_nothing(
    engine: docker.DockerClient, image: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    one = server(image, env={"KEY": "value"}, user="1234:1234", memory=64 * 2**20, labels={"team": "a"})
    async with supervised(one) as upstream:
        state = await upstream.ask("state")
        assert state["environment"]["KEY"] == "value"
        (container,) = ours(engine)
        identifier = str(container.id)[:12]
        limits = container.attrs["HostConfig"]
        assert limits["NetworkMode"] == "none"
        assert limits["ReadonlyRootfs"]
        assert limits["CapDrop"] == ["ALL"]
        assert limits["SecurityOpt"] == ["no-new-privileges"]
        assert limits["PidsLimit"] == 128
        assert limits["Memory"] == limits["MemorySwap"] == 64 * 2**20
        assert limits["NanoCpus"] == 10**9
        assert list(limits["Tmpfs"]) == ["/tmp"]  # noqa: S108 - in the container
        assert limits["LogConfig"]["Type"] == "none"
        assert not limits["Privileged"]
        assert container.attrs["Config"]["User"] == "1234:1234"
        assert container.labels["team"] == "a"
        assert container.labels[sandbox.LABEL_SERVER] == "git"
        status = str(container.exec_run(["cat", "/proc/1/status"]).output)
        assert r"CapBnd:\t0000000000000000" in status
        assert r"NoNewPrivs:\t1" in status
        assert container.exec_run(["touch", "/x"]).exit_code != 0
        assert container.exec_run(["touch", "/tmp/x"]).exit_code == 0  # noqa: S108 - in the container
        assert f"Session provisioned: server 'git', session -, container {identifier}" in caplog.text
        assert f"image {image}" in caplog.text
    assert ours(engine) == []
    assert f"container {identifier} is removed" in caplog.text


async def test_sessions_share_nothing_and_one_ends_without_the_other(engine: docker.DockerClient, image: str) -> None:
    async with supervised(server(image)) as first:
        await first.call("change", tools=["change", "state"])
        async with supervised(server(image)) as second:
            assert "echo" in await second.watching.until("offered")
            assert len(ours(engine)) == 2
        assert len(ours(engine)) == 1
        assert "result" in await first.call("state")


async def test_a_session_is_named_in_the_log_and_by_a_label(engine: docker.DockerClient, image: str) -> None:
    one = server(image)
    supervisor = Supervisor(one, Connectors()(one), Recorded(), b"{}", "laptop/1")
    supervisor.start()
    try:
        async with asyncio.timeout(LIMIT):
            await supervisor.get()
        assert [container.labels[sandbox.LABEL_SESSION] for container in ours(engine)] == ["laptop_1"]
    finally:
        await supervisor.stop()


class Recorded:
    """A watcher that is not interested."""

    def offered(self, *_: object) -> None:
        pass

    updated = logged = notified = asked = offered


async def test_big_messages_pass_both_ways_and_stderr_stays_out(image: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with supervised(server(image)) as upstream:
        size = 10 * 1024 * 1024
        answer = await upstream.call("huge", size=size)
        assert len(answer["result"]["content"][0]["text"]) == size
        text = "x" * 5_000_000
        echoed = json.loads((await upstream.call("echo", text=text))["result"]["content"][0]["text"])
        assert echoed["params"]["arguments"]["text"] == text
    assert "stderr: scripted server is here" in caplog.text


async def test_a_killed_server_is_reported_and_gets_a_new_container(engine: docker.DockerClient, image: str) -> None:
    async with supervised(server(image)) as upstream:
        await upstream.call("echo")
        (before,) = ours(engine)
        waiting = tool_call("wait")
        (await upstream.peer()).send(waiting)
        before.kill()
        assert "stopped (exit code 137)" in (await waiting.answer())["error"]["message"]
        assert "result" in await upstream.call("echo")
        (after,) = ours(engine)
        assert after.id != before.id


async def test_a_server_without_memory_left_is_said_to_be_that(image: str) -> None:
    eat = "import sys\nfor line in sys.stdin: x = [b'x' * 2**20 for _ in range(10**6)]"
    async with supervised(server(image, "python3", "-c", eat, memory=32 * 2**20)) as upstream:
        assert await upstream.watching.until("offered") is None
        assert "out of memory" in upstream.supervisor.problem


async def test_a_server_that_does_not_want_to_end_is_ended(
    engine: docker.DockerClient, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "POLITE", 0.2)
    stubborn = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{RUN}"
    async with supervised(server(image, "python3", "-c", stubborn)) as upstream:
        (await upstream.peer()).send(tool_call("mute"))
    assert ours(engine) == []


async def test_a_start_that_is_cancelled_leaves_no_container(
    engine: docker.DockerClient, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "POLITE", 0.1)
    one = server(image, "sleep", "1000")
    for pause in (0.0, 0.05, 0.1, 0.3, 0.6):
        async with supervised(one):
            await asyncio.sleep(pause)
    assert ours(engine) == []


async def test_a_command_that_is_not_there_is_a_clear_error_and_leaves_nothing(
    engine: docker.DockerClient, image: str
) -> None:
    async with supervised(server(image, "/no/such/program")) as upstream:
        assert await upstream.watching.until("offered") is None
        assert "its container cannot be started" in upstream.supervisor.problem
        assert "/no/such/program" in upstream.supervisor.problem
    assert ours(engine) == []


async def test_an_image_that_is_not_there_is_pulled(
    engine: docker.DockerClient, image: str, lab: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    name = f"{lab.registry}/lab/sandbox"
    engine.images.get(image).tag(name, "1")
    engine.images.push(name, "1")
    engine.images.remove(f"{name}:1")
    try:
        async with supervised(server(f"{name}:1")) as upstream:
            assert "result" in await upstream.call("echo")
        assert f"image {name}:1 is not there: pulling it" in caplog.text
        assert f"pulled image {name}:1 in" in caplog.text
    finally:
        engine.images.remove(f"{name}:1", force=True)


async def test_an_image_that_cannot_be_had_is_a_clear_error(lab: Environment) -> None:
    name = f"{lab.registry}/lab/nobody-made-this:1"
    async with supervised(server(name)) as upstream:
        assert await upstream.watching.until("offered") is None
        assert f"image '{name}' is not there and cannot be pulled" in upstream.supervisor.problem


async def test_an_engine_that_is_down_is_a_clear_error_and_used_when_it_is_back(
    image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "docker.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    await kinds.prepare([server(image)])
    async with supervised(server(image)) as upstream:
        assert await upstream.watching.until("offered") is None
        with pytest.raises(Failure, match="the Docker Engine cannot be reached; start it, or set DOCKER_HOST"):
            await upstream.supervisor.get()
        path.symlink_to(ENGINE)
        await upstream.running()
        assert "result" in await upstream.call("echo")


async def test_what_could_not_be_removed_is_removed_when_the_engine_is_back(
    engine: docker.DockerClient, image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "docker.sock"
    path.symlink_to(ENGINE)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    async with supervised(server(image)) as upstream:
        await upstream.call("echo")
        path.unlink()
        (await sandbox.sandboxes.engine()).close()
    assert len(ours(engine)) == 1
    path.symlink_to(ENGINE)
    await kinds.prepare([server(image)])
    assert ours(engine) == []
    await sandbox.sandboxes.close()


GATEWAY = textwrap.dedent("""
    import asyncio, logging, sys
    from toolman import config
    from toolman.upstreams import sandbox
    from toolman.upstreams.kinds import Connectors
    from toolman.upstreams.supervisor import Supervisor

    class Watcher:
        def offered(self, *_): pass
        updated = logged = notified = asked = offered

    async def main():
        server = config.Server(name="git", upstream=config.Docker(image=sys.argv[1], command=tuple(sys.argv[2:])))
        supervisor = Supervisor(server, Connectors()(server), Watcher(), b"{}")
        supervisor.start()
        await supervisor.get()
        print(sandbox.sandboxes.gateway, *sandbox.sandboxes.live, flush=True)
        await asyncio.sleep(1000)

    asyncio.run(main())
""")
"""A toolman of which nothing but a sandbox is there."""

DEAF = f"{RUN}\nimport time; time.sleep(1000)"
"""A server that does not end with its input."""


class Gateway:
    """A toolman in a process of its own, with one sandbox."""

    def __init__(self, image: str, *command: str) -> None:
        arguments = [sys.executable, "-c", GATEWAY, image, *command]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)

    def container(self) -> str:
        """Wait for the sandbox; give its identifier."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().split()[1]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(LIMIT)
        if self.process.stdout is not None:
            self.process.stdout.close()


async def test_what_a_killed_toolman_leaves_is_removed_by_the_next_and_what_a_living_one_has_is_not(
    engine: docker.DockerClient, image: str
) -> None:
    others = [Gateway(image, "python3", "-c", DEAF) for _ in range(2)]
    try:
        killed, living = [other.container() for other in others]
        others[0].kill()
        await kinds.prepare([server(image)])
        await sandbox.sandboxes.close()
        left = {container.id for container in engine.containers.list(all=True)}
        assert killed not in left
        assert living in left
    finally:
        for other in others:
            other.kill()
        await kinds.prepare([server(image)])
        await sandbox.sandboxes.close()
    assert living not in {container.id for container in engine.containers.list(all=True)}


def test_a_killed_toolman_ends_the_input_of_its_sandboxes(engine: docker.DockerClient, image: str) -> None:
    other = Gateway(image)
    container = other.container()
    other.kill()
    until(lambda: engine.containers.get(container).status == "exited")
    engine.containers.get(container).remove()

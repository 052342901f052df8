"""Servers that mean harm while they are verified, in real containers."""

from __future__ import annotations

import io
import tarfile
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import engine_proxy
import pytest
from mcp_operator import names
from mcp_operator.images import attempt, cleanup
from mcp_operator.images.budget import Budget
from mcp_operator.images.contract import BuildCancelled, BuildError, BuildRequest, NpmSource, Step
from mcp_operator.images.engine import Engine
from mcp_operator.images.reasons import Reason
from mcp_operator.images.verify import Verified, verify

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker
    from lab.environment import Environment

pytestmark = [pytest.mark.integration, pytest.mark.requirement("B-13"), pytest.mark.requirement("B-15")]

MISCHIEF = Path(__file__).with_name("mischief.py")


@pytest.fixture(scope="module")
def image(lab: Environment, engine: docker.DockerClient) -> Iterator[str]:
    """Give an image with the server; it is removed afterwards."""
    dockerfile = (
        f"FROM {lab.base_python}\nCOPY mischief.py /m.py\nLABEL tests={uuid.uuid4()}\n"
        'ENTRYPOINT ["python3", "-u", "/m.py"]\n'
    )
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for name, data in (("Dockerfile", dockerfile.encode()), ("mischief.py", MISCHIEF.read_bytes())):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    context.seek(0)
    made, _ = engine.images.build(fileobj=context, custom_context=True, rm=True, forcerm=True)
    yield str(made.id)
    engine.images.remove(str(made.id), force=True)


class Judge:
    """Verifies one kind of mischief after the other."""

    def __init__(self, image: str) -> None:
        self._image = image
        self.uid = str(uuid.uuid4())
        self.heard: list[str] = []
        self.cancelled = threading.Event()

    def verify(self, kind: str, seconds: float = 60) -> Verified:
        request = BuildRequest(
            source=NpmSource(package="x"), repository="r/x", deployment_id="x", uid=self.uid, args=(kind,)
        )
        with Engine() as engine:
            return verify(engine, self._image, request, Budget(seconds, self.cancelled), self.heard.append)

    def fail(self, kind: str, seconds: float = 60) -> BuildError:
        with pytest.raises(BuildError) as caught:
            self.verify(kind, seconds)
        assert caught.value.step is Step.VERIFY
        assert caught.value.hint
        assert len(caught.value.log_tail) < 4096
        return caught.value


@pytest.fixture
def judge(image: str, engine: docker.DockerClient) -> Iterator[Judge]:
    """Give a judge; no container is left behind him."""
    made = Judge(image)
    yield made
    label: dict[str, str | list[str] | bool] = {"label": f"{names.LABEL_UID}={made.uid}"}
    assert engine.containers.list(all=True, filters=label) == []


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("floods-stdout", "a line of more than 16 MiB"),
        ("huge-list", "a line of more than 16 MiB"),
        ("many-values", "more than 1000000 values"),
        ("control-names", "no usable name: 'look\\x1b]0;owned\\x07\\n'"),
        ("daemon", "ended with status 0 before it answered"),
    ],
)
def test_a_server_that_answers_with_harm_is_refused_with_what_it_did(judge: Judge, kind: str, said: str) -> None:
    error = judge.fail(kind)

    assert error.reason == Reason.HANDSHAKE_FAILED
    assert said in error.message
    assert error.message.isprintable()


def test_a_server_that_floods_stderr_is_verified_all_the_same_and_its_flood_kept_nowhere(judge: Judge) -> None:
    assert [tool.name for tool in judge.verify("floods-stderr").manifest.tools] == ["look"]
    assert len(judge.heard) < 100


def test_a_description_of_ten_megabytes_is_counted_and_not_kept(judge: Judge) -> None:
    (tool,) = judge.verify("huge-description").manifest.tools

    assert tool.tokens > 2_000_000
    assert len(repr(tool)) < 200


def test_a_server_that_never_reads_is_cancelled_at_once(judge: Judge) -> None:
    threading.Timer(2, judge.cancelled.set).start()

    with pytest.raises(BuildCancelled):
        judge.verify("never-reads")


def test_a_server_writes_nothing_but_a_bounded_folder_of_its_own(judge: Judge) -> None:
    judge.fail("writes")

    said = next(line for line in judge.heard if "server-was-here" in line)
    assert "/server-was-here: Read-only file system" in said
    assert "/tmp/much: No space left on device" in said  # noqa: S108 - inside the container
    assert "/dev/shm/much: No space left on device" in said  # noqa: S108 - the same


@pytest.mark.requirement("B-10")
def test_an_engine_that_stops_in_mid_verification_is_said_and_what_it_left_is_swept_when_it_is_back(
    judge: Judge, lab: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "SECONDS", 20)
    with engine_proxy.before(lab.engine_socket, tmp_path) as proxy:
        monkeypatch.setenv("DOCKER_HOST", proxy.host)
        threading.Timer(2, proxy.cut, ("gone",)).start()

        error = judge.fail("never-reads")

    assert error.reason == Reason.ENGINE_UNAVAILABLE
    assert error.transient
    monkeypatch.delenv("DOCKER_HOST")
    with Engine() as engine:
        left = engine.containers([f"{names.LABEL_UID}={judge.uid}"])
        cleanup.undo(engine, judge.uid)
    assert len(left) == 1

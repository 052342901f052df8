"""Verification in real containers: servers of every transport and era, and those that want something or mean harm."""

from __future__ import annotations

import io
import tarfile
import threading
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mcp_operator import names
from mcp_operator.images import attempt
from mcp_operator.images.budget import Budget
from mcp_operator.images.contract import BuildCancelled, BuildError, BuildRequest, GitSource, Needs, Step
from mcp_operator.images.detect.candidate import Hints, Setting
from mcp_operator.images.engine import Engine
from mcp_operator.images.reasons import Reason
from mcp_operator.images.verify import Probe, Verified, verify

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker
    from lab.environment import Environment

pytestmark = [pytest.mark.integration, pytest.mark.requirement("B-15")]

SERVER = Path(__file__).with_name("moods.py")


@dataclass
class Moody:
    """Verifies one image whose server behaves as its first argument says."""

    image: str
    uid: str
    heard: list[str] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def verify(self, mood: str, probe: Probe | None = None, **more: object) -> Verified:
        request = BuildRequest(
            source=GitSource(url="https://example.com/x"),
            repository="127.0.0.1:5000/x/x",
            deployment_id="x",
            uid=self.uid,
            args=(mood,),
            **more,  # type: ignore[arg-type]  # each test names real fields
        )
        with Engine() as engine:
            return verify(engine, self.image, request, Budget(240, self.cancelled), self.heard.append, probe)

    def fail(self, mood: str, probe: Probe | None = None) -> BuildError:
        with pytest.raises(BuildError) as caught:
            self.verify(mood, probe)
        assert caught.value.step is Step.VERIFY
        assert caught.value.hint
        return caught.value

    @property
    def attempts(self) -> list[str]:
        return [line for line in self.heard if line.startswith("handshake ")]


def build(engine: docker.DockerClient, dockerfile: str) -> str:
    """Build an image from a Dockerfile beside which the server is; no other run of these tests shares it."""
    dockerfile = f"{dockerfile}LABEL tests={uuid.uuid4()}\n"
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for name, text in (("Dockerfile", dockerfile), ("moods.py", SERVER.read_text())):
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    context.seek(0)
    made, _ = engine.images.build(fileobj=context, custom_context=True, rm=True, forcerm=True)
    return str(made.id)


@pytest.fixture(scope="module")
def image(lab: Environment, engine: docker.DockerClient) -> Iterator[str]:
    """Give an image with the server; it is removed afterwards."""
    dockerfile = f'FROM {lab.base_python}\nCOPY moods.py /moods.py\nENTRYPOINT ["python3", "-u", "/moods.py"]\n'
    made = build(engine, dockerfile)
    yield made
    engine.images.remove(made, force=True)


@pytest.fixture
def bare(engine: docker.DockerClient) -> Iterator[str]:
    """Give an image in which nothing can be run; it is removed afterwards."""
    made = build(engine, "FROM scratch\nCOPY moods.py /moods.py\n")
    yield made
    engine.images.remove(made, force=True)


@pytest.fixture
def moody(image: str, engine: docker.DockerClient) -> Iterator[Moody]:
    """Give a verifier; no container of its own is left afterwards."""
    made = Moody(image, str(uuid.uuid4()))
    yield made
    label: dict[str, str | list[str] | bool] = {"label": f"{names.LABEL_UID}={made.uid}"}
    assert engine.containers.list(all=True, filters=label) == []


def test_a_server_on_stdio_is_asked_once_and_its_tools_are_known(moody: Moody) -> None:
    verified = moody.verify("legacy")

    assert moody.attempts == ["handshake without network"]
    assert (verified.transport, verified.era, verified.needs) == ("stdio", "legacy", Needs())
    assert [(tool.name, tool.read_only, tool.tokens > 0) for tool in verified.manifest.tools] == [
        ("look", True, True),
        ("touch", None, True),
    ]
    assert verified.warnings == ()


@pytest.mark.parametrize("mood", ["modern", "locked-both"])
def test_a_server_that_works_without_initialize_only_is_asked_again_in_a_new_process(moody: Moody, mood: str) -> None:
    verified = moody.verify(mood)

    assert moody.attempts == ["handshake without network", "handshake without network, without initialize"]
    assert (verified.era, verified.manifest.protocol) == ("modern", "2026-07-28")
    assert verified.manifest.server == f"moody {mood}"
    assert len(verified.manifest.tools) == 2


def test_variables_that_a_server_asks_for_one_after_the_other_get_placeholders(moody: Moody) -> None:
    verified = moody.verify("env")

    assert verified.needs == Needs(env=("FIRST_API_KEY", "SECOND_BASE_URL"))
    assert len(moody.attempts) == 3
    assert "FIRST_API_KEY" in verified.warnings[0]


@pytest.mark.requirement("B-15")
def test_a_server_that_wants_its_setting_only_when_it_is_asked_for_tools_gets_it(moody: Moody) -> None:
    hints = Hints(env=(Setting(name="LATE_API_TOKEN", required=False),))

    assert moody.verify("late", Probe(hints=hints)).needs == Needs(env=("LATE_API_TOKEN",))
    assert [line for line in moody.attempts if "without initialize" in line] == [moody.attempts[1]]


@pytest.mark.requirement("B-15")
def test_of_two_variables_that_a_server_does_not_want_together_one_is_needed(moody: Moody) -> None:
    assert moody.verify("choosy").needs == Needs(env=("FIRST_API_KEY",))


def test_what_the_request_sets_is_no_need(moody: Moody) -> None:
    verified = moody.verify("env", env={"FIRST_API_KEY": "given", "SECOND_BASE_URL": "given"})

    assert verified.needs == Needs()


def test_an_argument_that_a_server_asks_for_gets_a_placeholder(moody: Moody) -> None:
    assert moody.verify("flag").needs.args[0] == "--database-path"


def test_what_only_the_servers_own_files_name_is_tried_when_it_does_not_say(moody: Moody) -> None:
    hints = Hints(env=(Setting(name="MOODY_SECRET_WORD", required=True), Setting(name="MOODY_OTHER_WORD")))

    verified = moody.verify("hinted", Probe(hints=hints))

    assert verified.needs == Needs(env=("MOODY_SECRET_WORD",))


def test_a_server_gets_a_network_only_after_it_has_failed_without(moody: Moody) -> None:
    verified = moody.verify("network")

    assert moody.attempts == ["handshake without network", "handshake with network"]
    assert verified.needs == Needs(network=True)


@pytest.mark.parametrize("mood", ["http", "http-modern", "http-mute", "http-everywhere"])
def test_streamable_http_is_found_without_network_wherever_it_listens(moody: Moody, mood: str) -> None:
    hints = Hints(transport="streamable-http", path="/custom/mcp") if mood == "http-mute" else Hints()

    verified = moody.verify(mood, Probe(hints=hints))

    assert (verified.transport, verified.port, verified.path) == ("streamable-http", 3333, "/custom/mcp")
    assert verified.era == ("modern" if mood == "http-modern" else "legacy")
    assert len(verified.manifest.tools) == 2
    assert verified.needs == Needs()


def test_the_older_transport_over_http_is_found(moody: Moody) -> None:
    verified = moody.verify("http-sse")

    assert (verified.transport, verified.port, verified.path) == ("sse", 3333, "/sse")
    assert len(verified.manifest.tools) == 2


def test_http_is_reached_through_an_image_with_node_as_well(moody: Moody, lab: Environment) -> None:
    assert moody.verify("http", Probe(relay=lab.base_node)).port == 3333


@pytest.mark.parametrize(
    ("mood", "said"), [("http-nowhere", "no MCP at /custom/mcp, /mcp"), ("http-guarded", "authorization")]
)
def test_http_without_an_endpoint_that_answers_is_said(
    moody: Moody, monkeypatch: pytest.MonkeyPatch, mood: str, said: str
) -> None:
    monkeypatch.setattr(attempt, "SECONDS", 12)

    error = moody.fail(mood)

    assert error.reason == Reason.STARTED_HTTP
    assert said in error.message


def test_http_that_cannot_be_reached_for_want_of_tools_is_said(
    moody: Moody, bare: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "SECONDS", 10)

    error = moody.fail("http", Probe(relay=bare))

    assert error.reason == Reason.STARTED_HTTP
    assert "cannot be reached" in error.message


def test_an_empty_list_of_tools_is_a_warning(moody: Moody) -> None:
    assert "lists no tools" in moody.verify("empty").warnings[0]


def test_the_last_lines_of_a_server_that_does_not_start_are_the_error_without_its_secrets(moody: Moody) -> None:
    error = moody.fail("crash")

    assert error.reason == Reason.HANDSHAKE_FAILED
    assert "ended with status 1" in error.message
    assert error.log_tail == "Traceback: it is broken; password=***"


@pytest.mark.requirement("B-13")
@pytest.mark.requirement("B-12")
def test_a_server_that_ends_after_its_first_answer_is_not_explained_by_that_answer(moody: Moody) -> None:
    error = moody.fail("gives-up")

    assert error.message == "the server ended with status 3 after its first answer"
    assert error.hint == "It ended with: one line for people. Try the start command in a fresh clone."
    assert error.log_tail == "one line for people"


def test_a_server_that_hangs_is_ended(moody: Moody, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "SECONDS", 2)

    assert "did not answer within 2 s" in moody.fail("hangs").message


@pytest.mark.requirement("B-13")
def test_a_verification_is_cancelled_while_the_server_hangs(moody: Moody) -> None:
    threading.Timer(1, moody.cancelled.set).start()

    with pytest.raises(BuildCancelled):
        moody.verify("hangs")


@pytest.mark.requirement("B-13")
def test_a_server_that_takes_too_much_memory_is_ended(moody: Moody) -> None:
    error = moody.fail("greedy")

    assert error.reason == Reason.OUT_OF_MEMORY
    assert len(moody.attempts) == 1


@pytest.mark.requirement("B-13")
def test_a_server_that_forks_without_end_is_stopped_at_its_bound(moody: Moody) -> None:
    error = moody.fail("forks")

    made = int(error.log_tail.partition("made ")[2].partition(" ")[0])
    assert 0 < made < 256

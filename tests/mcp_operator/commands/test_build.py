from __future__ import annotations

import dataclasses
import json
import os
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest
from command_line import PROJECT, SERVER
from mcp_operator import __main__, settings
from mcp_operator.commands import build, one_at_a_time
from mcp_operator.images import cleanup, git
from mcp_operator.images.contract import BuildError, BuildRequest, BuildResult, GitSource, Step
from mcp_operator.images.scans import Scan
from mcp_operator.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.requirement("B-23")

SETTINGS = Settings(registry="", image_toolman="", image_wrapper="")
REQUEST = BuildRequest(
    source=GitSource(url="https://git.test/x", branch="v1"), repository="r", deployment_id="d", uid="cli-1"
)
RESULT = BuildResult(
    commit="",
    reference="",
    image_id="sha256:1",
    size=1,
    command=(),
    working_dir="/app",
    evidence=(),
    protocol_version="",
    server_name="",
    tools=(),
    seconds=1.0,
)


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """Have no signal ignored, as they may be where tests run in the background."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in build.SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a server's folder, on a machine without an engine and without settings."""
    for field in dataclasses.fields(Settings):
        monkeypatch.delenv(settings.variable(field.name), raising=False)
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.setenv("HOME", str(tmp_path))
    made = tmp_path / "demo"
    made.mkdir()
    (made / "server.py").write_text(SERVER)
    (made / "pyproject.toml").write_text(PROJECT)
    return made


@pytest.mark.requirement("B-04")
def test_a_dockerfile_is_printed_without_an_engine(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["build", "--dir", str(folder), "--print-dockerfile"]) == 0

    captured = capsys.readouterr()
    assert "FROM python:3.12-slim" in captured.out
    assert "Docker is not running" in captured.err


@pytest.mark.requirement("B-21")
def test_a_dry_run_without_an_engine_says_where_it_would_go_and_leaves_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder.parent / ".docker").mkdir()
    (folder.parent / ".docker" / "config.json").write_text('{"auths": {"r.test": {"auth": "YW5uOnNlY3JldA=="}}}')
    before = set(Path(tempfile.gettempdir()).glob("toolman-*"))
    words = ["build", "--dir", str(folder), "--dry-run", "--repository", "r.test/x", "--push", "--output", "json"]

    assert __main__.main(words) == 0

    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["push"] == [
        {"server": "r.test", "identity": "ann", "plainHttp": False, "names": ["r.test/x:latest"]}
    ]
    assert document["image"]["tags"] == ["r.test/x:latest"]
    assert any("would be pulled first" in text for text in document["warnings"])
    assert "secret" not in captured.out + captured.err
    assert not [path for path in set(Path(tempfile.gettempdir()).glob("toolman-*")) - before if "cli-" in path.name]


def test_a_build_without_an_engine_fails_with_what_to_do(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["build", "--dir", str(folder), "--output", "json"]) == 1

    error = json.loads(capsys.readouterr().out)["error"]
    assert error["reason"] == "EngineUnavailable"
    assert "DOCKER_HOST" in error["hint"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--sbom", "/nowhere/at/all.json"), "there is no folder /nowhere/at"),
        (("--push",), "--push needs --repository"),
        (("--ref", "main"), "--ref goes with --git only"),
        (("--out", "json"), "unrecognized arguments: --out json"),
        (("--timeout", "0"), "'0' is no number of seconds"),
    ],
)
def test_options_that_do_not_go_together_are_said(
    folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert __main__.main(["build", "--dir", str(folder), *words, "--output=json"]) == 2

    captured = capsys.readouterr()
    error = json.loads(captured.out)["error"]
    assert error["reason"] == build.WRONG_USAGE
    assert said in error["message"]
    assert said in captured.err


def test_a_setting_that_is_none_is_wrong_usage(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLMAN_MAX_BUILDS", "many")

    assert __main__.main(["build", "--dir", str(folder)]) == 2
    assert "TOOLMAN_MAX_BUILDS" in capsys.readouterr().err


def test_the_first_signal_counts_and_the_handlers_of_before_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    interruption = build.Interruption()

    with interruption.heard():
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.event.is_set()

    assert interruption.number == signal.SIGHUP
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_that_is_ignored_stays_so_as_nohup_wants_it() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    interruption = build.Interruption()
    try:
        with interruption.heard():
            os.kill(os.getpid(), signal.SIGHUP)
            assert not interruption.event.is_set()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_interrupted_command_says_so_and_ends_as_shells_expect(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_request: BuildRequest) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(build, "_tidy", interrupted)

    assert __main__.main(["build", "--git", f"file://{folder}", "--output", "json"]) == 130
    document = json.loads(capsys.readouterr().out)
    assert document["error"]["reason"] == build.CANCELLED
    assert __main__.main(["build", "--git", f"file://{folder}"]) == 130
    assert "cancelled in Fetch; nothing of it is left" in capsys.readouterr().err


def test_progress_that_nobody_sees_any_more_ends_no_build() -> None:
    class Gone:
        def step(self, *_: object) -> None:
            raise BrokenPipeError

        log = step

    followed = build.Followed(Gone())

    followed.step(Step.VERIFY, "handshake")
    followed.log("line")

    assert followed.last is Step.VERIFY


def _scanned(document: str, note: str = "") -> BuildResult:
    return dataclasses.replace(RESULT, scans=(Scan(kind="sbom", ran=bool(document), note=note, document=document),))


@pytest.mark.requirement("B-24")
def test_a_bill_of_materials_is_written_or_said_to_be_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build._write_sbom(_scanned('{"bomFormat": "CycloneDX"}'), tmp_path / "bom.json") == 0
    assert json.loads((tmp_path / "bom.json").read_text()) == {"bomFormat": "CycloneDX"}

    for result, path, said in (
        (_scanned("", "syft is not installed"), tmp_path / "x", "syft is not installed"),
        (RESULT, tmp_path / "x", "is not scanned again"),
        (_scanned("{}"), tmp_path, "cannot be written"),
    ):
        assert build._write_sbom(result, path) == 1
        assert said in capsys.readouterr().err


def test_a_name_that_is_no_branch_is_a_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(source: GitSource, *_: object) -> str:
        if source.branch:
            raise BuildError("RefNotFound", "no such branch", step=Step.FETCH)
        return "c" * 40

    monkeypatch.setattr(git, "resolve", resolve)
    cancelled = build.Interruption().event

    settled = build._settled(REQUEST, SETTINGS, cancelled)

    assert isinstance(settled.source, GitSource)
    assert (settled.source.branch, settled.source.tag) == (None, "v1")


def test_a_host_that_does_not_answer_is_not_taken_for_a_missing_branch(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: object) -> str:
        raise BuildError("HostUnknown", "no such host", step=Step.FETCH)

    monkeypatch.setattr(git, "resolve", resolve)

    with pytest.raises(BuildError, match="no such host"):
        build._settled(REQUEST, SETTINGS, build.Interruption().event)


@pytest.mark.requirement("B-13")
def test_only_what_killed_builds_of_this_user_left_is_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    removed: list[str] = []

    class Engine:
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(build, "Engine", Engine)
    monkeypatch.setattr(cleanup, "leftovers", lambda _engine, uids, _installation: removed.extend(uids))
    request = dataclasses.replace(REQUEST, installation="command-line")
    for uid in ("cli-1", "cli-killed", "cli-runs"):
        Path(tempfile.mkdtemp(prefix=f"{cleanup.folder_prefix(uid, 'command-line')}1-"))
    Path(tempfile.mkdtemp(prefix=f"{cleanup.folder_prefix('cli-other', 'cluster')}1-"))

    with one_at_a_time.unless_held("cli-runs") as held:
        assert held
        build._tidy(request)

    assert removed == ["cli-killed"]


def test_a_lock_that_somebody_holds_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    with one_at_a_time.unless_held("a") as first, one_at_a_time.unless_held("a") as second:
        assert (first, second) == (True, False)
    assert list(tmp_path.iterdir()) == []

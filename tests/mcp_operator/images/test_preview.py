from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING

import pytest
from command_line import PROJECT, SERVER
from mcp_operator.images import preview as module
from mcp_operator.images.budget import Budget
from mcp_operator.images.contract import BuildError, BuildRequest, DirectorySource, Step
from mcp_operator.images.preview import Here, preview
from mcp_operator.images.reasons import Reason
from mcp_operator.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requirement("B-21")

SETTINGS = Settings(registry="", image_toolman="", image_wrapper="")


class Silent:
    def step(self, step: Step, detail: str) -> None:
        pass

    def log(self, line: str) -> None:
        pass


@pytest.fixture
def request_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuildRequest:
    """Give a request on a machine without an engine."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "server.py").write_text(SERVER)
    (folder / "pyproject.toml").write_text(PROJECT)
    return BuildRequest(
        source=DirectorySource(directory=str(folder)),
        repository="r.test/x",
        deployment_id="d",
        uid="uid-1",
        tags=("latest", "mcp-{deploymentId}:latest"),
    )


def test_every_repository_that_would_be_pushed_to_is_told_with_its_names(request_of: BuildRequest) -> None:
    found = preview(request_of, SETTINGS, Silent(), threading.Event())

    assert [(each.server, each.names) for each in found.pushes] == [
        ("r.test", ("r.test/x:latest",)),
        ("r.test", ("r.test/mcp-d:latest",)),
    ]
    assert not found.reused
    assert found.language == "python"


def test_what_is_not_pushed_goes_nowhere(request_of: BuildRequest) -> None:
    assert preview(dataclasses.replace(request_of, push=False), SETTINGS, Silent(), threading.Event()).pushes == ()


def test_platforms_that_cannot_be_built_here_are_said_as_a_build_would(request_of: BuildRequest) -> None:
    request = dataclasses.replace(request_of, platforms=("linux/arm64", "linux/amd64"), push=False)

    with pytest.raises(BuildError) as caught:
        preview(request, SETTINGS, Silent(), threading.Event())

    assert caught.value.reason == Reason.UNSUPPORTED


def test_an_engine_that_fails_is_not_taken_for_none(request_of: BuildRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise BuildError(Reason.ENGINE_FAILED, "it is broken", step=Step.BUILD)

    monkeypatch.setattr(module, "Engine", fail)

    with pytest.raises(BuildError, match="it is broken"):
        preview(request_of, SETTINGS, Silent(), threading.Event())


@pytest.mark.parametrize(
    ("name", "version"),
    [("python:3.12-slim", "3.12"), ("r.test:5000/team/python:3.11.7", "3.11.7"), ("python:latest", "3.999")],
)
def test_without_an_engine_a_base_image_has_the_python_that_its_name_promises(name: str, version: str) -> None:
    here = Here(None, {}, Budget(1))

    assert here.python(name).version == version
    assert here.find(name) == here.pin(name).id == ""
    assert here.pin(name).name == name

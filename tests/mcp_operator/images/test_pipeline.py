from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING, Any

import pytest
from fake_builder import result
from mcp_operator.images import pipeline
from mcp_operator.images.contract import BuildRequest, GitSource
from mcp_operator.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = GitSource(url="https://example.com/x", branch="main")
REQUEST = BuildRequest(source=SOURCE, repository="r/x", deployment_id="ns-x-1", uid="1")
BASES = {"python:3.12-slim": "sha256:1"}
COMMIT = "a" * 40
RESULT = result(REQUEST)


def test_the_key_depends_on_what_a_ref_means_and_not_on_its_name() -> None:
    renamed = dataclasses.replace(REQUEST, source=dataclasses.replace(SOURCE, branch=None, tag="v1"))

    assert pipeline.key(REQUEST, COMMIT, BASES) == pipeline.key(renamed, COMMIT, BASES)
    assert pipeline.key(REQUEST, COMMIT, BASES) != pipeline.key(REQUEST, "b" * 40, BASES)
    assert pipeline.key(REQUEST, COMMIT, BASES) != pipeline.key(REQUEST, COMMIT, {"python:3.12-slim": "sha256:2"})


@pytest.mark.requirement("F-05")
@pytest.mark.parametrize(
    "change",
    [
        {"source": dataclasses.replace(SOURCE, path="sub")},
        {"source": dataclasses.replace(SOURCE, url="https://example.com/y")},
        {"repository": "r/y"},
        {"runtime": "node"},
        {"command": ("x",)},
        {"args": ("x",)},
        {"env": {"A": "b"}},
    ],
)
def test_the_key_depends_on_everything_that_is_built_or_verified(change: dict[str, Any]) -> None:
    changed = dataclasses.replace(REQUEST, **change)

    assert pipeline.key(REQUEST, COMMIT, BASES) != pipeline.key(changed, COMMIT, BASES)


def test_the_key_does_not_depend_on_limits() -> None:
    assert pipeline.key(REQUEST, COMMIT, BASES) == pipeline.key(dataclasses.replace(REQUEST, timeout=1), COMMIT, BASES)


@pytest.mark.requirement("B-11")
def test_a_folder_for_logs_that_cannot_be_written_fails_no_build(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    settings = Settings(registry="", image_toolman="", image_wrapper="", build_logs=str(tmp_path / "file" / "logs"))
    said: list[str] = []

    class Heard:
        def step(self, *_: object) -> None:
            pass

        def log(self, line: str) -> None:
            said.append(line)

    monkeypatch.setattr(pipeline, "_build", lambda *_: RESULT)

    assert pipeline.build(REQUEST, settings, Heard(), threading.Event()) == RESULT
    assert "is not kept" in said[0]

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from mcp_operator.images import pipeline
from mcp_operator.images.contract import BuildRequest, GitSource

SOURCE = GitSource(url="https://example.com/x", branch="main")
REQUEST = BuildRequest(source=SOURCE, repository="r/x", deployment_id="ns-x-1", uid="1")
BASES = {"python:3.12-slim": "sha256:1"}
COMMIT = "a" * 40


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

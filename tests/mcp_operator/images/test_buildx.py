"""What is asked of buildx, with a stand-in for it; the real one is in tests/integration/test_registries.py."""

from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING

import pytest
from mcp_operator.images import buildx, registry
from mcp_operator.images.budget import Budget
from mcp_operator.images.contract import BuildError, RegistryAuth
from mcp_operator.images.push import Target
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requirement("B-24")

SECRET = "s3cr3t-of-the-test"
TARGET = Target(repository="r.example.com/x", tags=("1", "latest"), auth=RegistryAuth(username="ann", password=SECRET))
PLATFORMS = ("linux/amd64", "linux/arm64")


def context() -> io.BytesIO:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo("Dockerfile.mcp")
        info.size = 12
        archive.addfile(info, io.BytesIO(b"FROM scratch"))
    file.seek(0)
    return file


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "none"))
    monkeypatch.setenv("MY_TOKEN", SECRET)
    monkeypatch.setattr(buildx, "FOLDERS", ())
    return tmp_path


def install(tools: Path, script: str) -> None:
    path = tools / buildx.PLUGIN
    path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
    path.chmod(0o755)


def build() -> str:
    return buildx.build(context(), "Dockerfile.mcp", PLATFORMS, TARGET, Budget(30), lambda _: None)


def test_without_buildx_several_platforms_are_refused_before_anything_is_built(tools: Path) -> None:
    with pytest.raises(BuildError, match="not installed") as caught:
        buildx.check(PLATFORMS)
    assert caught.value.reason == Reason.UNSUPPORTED
    assert "docker-buildx" in caught.value.hint
    assert list(tools.iterdir()) == []
    buildx.check(())


@pytest.mark.parametrize("platform", ["windows/amd64", "linux", "linux/amd64,linux/arm64", "--push", "linux/amd64\n"])
def test_what_is_no_platform_is_refused(platform: str) -> None:
    with pytest.raises(BuildError, match="no platform"):
        buildx.check((platform,))


def test_all_platforms_and_tags_go_into_one_push_whose_digest_is_asked_for(
    tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(registry, "verify_digest", lambda name, digest, *_: asked.append((name, digest)))
    install(
        tools,
        f'echo "$@" >{tools}/argv; env >{tools}/env; cat $DOCKER_CONFIG/config.json >{tools}/config\n'
        """while [ "$1" != --metadata-file ]; do shift; done; echo '{"containerimage.digest": "sha256:1"}' >$2""",
    )

    assert build() == "sha256:1"
    assert asked == [("r.example.com/x:1", "sha256:1"), ("r.example.com/x:latest", "sha256:1")]
    argv = (tools / "argv").read_text()
    assert "--platform linux/amd64,linux/arm64" in argv
    assert "--tag r.example.com/x:1 --tag r.example.com/x:latest" in argv
    assert SECRET not in argv + (tools / "env").read_text()
    assert list(json.loads((tools / "config").read_text())["auths"]) == ["r.example.com"]


@pytest.mark.parametrize(
    ("said", "reason", "words"),
    [
        (
            "ERROR: Multi-platform build is not supported for the docker driver.",
            Reason.UNSUPPORTED,
            "one platform only",
        ),
        ("ERROR: failed to solve: x: no match for platform in manifest", Reason.UNSUPPORTED, "does not know"),
        ("ERROR: failed to push r.example.com/x:1: 401 Unauthorized", Reason.REGISTRY_AUTHENTICATION, "refuses"),
        ("ERROR: failed to solve: exit code: 7", Reason.DOCKER_BUILD_FAILED, "exit code: 7"),
    ],
)
def test_its_failures_are_explained(tools: Path, said: str, reason: Reason, words: str) -> None:
    install(tools, f"echo '{said}' >&2; exit 1")

    with pytest.raises(BuildError, match=words) as caught:
        build()
    assert caught.value.reason == reason
    assert caught.value.hint

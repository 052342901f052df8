"""The project's images are built from the lock, run as nobody in particular and write nowhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lab.environment import Environment

pytestmark = [pytest.mark.integration, pytest.mark.requirement("F-02")]

ROOT = Path(__file__).parents[2]
BUILD_SECONDS = 600
RUN_SECONDS = 60
HARDENED = ("--rm", "--read-only", "--network=none", "--cap-drop=ALL", "--security-opt=no-new-privileges")
NAMES = ("operator", "toolman", "mcp-wrapper", "sample-agent")


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=RUN_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def references(lab: Environment) -> dict[str, str]:
    environment = {**os.environ, **lab.variables(), "TOOLMAN_TAG": "test"}
    done = subprocess.run(
        [str(ROOT / "scripts" / "images")],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=BUILD_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def test_every_image_is_given_by_digest(references: dict[str, str], lab: Environment) -> None:
    assert tuple(references) == NAMES
    registry = re.escape(lab.registry)
    for name, reference in references.items():
        assert re.fullmatch(rf"{registry}/toolman/{name}@sha256:[0-9a-f]{{64}}", reference)


@pytest.mark.parametrize("name", NAMES)
def test_every_image_starts_hardened_as_a_numeric_user(references: dict[str, str], name: str) -> None:
    (image,) = json.loads(docker("image", "inspect", references[name]))
    user, group = image["Config"]["User"].split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert "usage" in docker("run", *HARDENED, references[name], "--help").lower()


@pytest.mark.parametrize("name", ["operator", "toolman"])
def test_what_is_installed_is_what_is_locked(references: dict[str, str], name: str) -> None:
    script = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()))"
    command = ("run", *HARDENED, "--entrypoint=/app/.venv/bin/python", references[name], "-I", "-c", script)
    locked = set(re.findall(r'^name = "(.+)"\nversion = "(.+)"$', (ROOT / "uv.lock").read_text(), re.MULTILINE))
    installed = {tuple(entry.lower().replace("_", "-").split("==")) for entry in docker(*command).split()}
    assert len(installed) > 5
    assert installed <= locked


def test_the_operator_can_clone_over_https_and_ssh(references: dict[str, str]) -> None:
    run = ("run", *HARDENED, "--entrypoint=sh", references["operator"], "-c")
    assert "git-remote-https" in docker(*run, "ls $(git --exec-path)")
    # As a user without a name ssh would not even start.
    assert "identityfile" in docker(*run, "ssh -G example.org")


def test_scripts_images_says_what_it_lacks() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TOOLMAN_REGISTRY"}
    done = subprocess.run(
        [str(ROOT / "scripts" / "images")],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=RUN_SECONDS,
    )
    assert done.returncode != 0
    assert "set TOOLMAN_REGISTRY" in done.stderr

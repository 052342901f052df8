"""What an engine of its own for builds is given: a parent control group that bounds all of a build, whatever builds."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from lab import commands
from mcp_operator.images import diagnosis
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker
    from lab.environment import Environment

pytestmark = [pytest.mark.integration, pytest.mark.requirement("B-13")]

PROCESSES = 60
MEMORY = 256 * 2**20
ROOT = Path("/sys/fs/cgroup")
BOMB = "for (let i = 0; i < 500; i++) require('child_process').spawn('sleep', ['30']).on('error', (e) => { throw e })"


@pytest.fixture
def group() -> Iterator[str]:
    """Give a control group of few processes and little memory, as ``dockerd --cgroup-parent`` would have it."""
    name = f"builds-{uuid.uuid4().hex[:8]}"
    bounds = {"pids/pids.max": PROCESSES, "memory/memory.limit_in_bytes": MEMORY}
    if not (ROOT / "pids").is_dir():
        (ROOT / "cgroup.subtree_control").write_text("+pids +memory")
        bounds = {"pids.max": PROCESSES, "memory.max": MEMORY}
    made = []
    for file, bound in bounds.items():
        folder = ROOT / Path(file).parent / name
        folder.mkdir(exist_ok=True)
        (folder / Path(file).name).write_text(str(bound))
        made.append(folder)
    yield f"/{name}"
    for folder in {*made}:
        folder.rmdir()


@pytest.fixture
def engine_is_clean(engine: docker.DockerClient) -> Iterator[None]:
    """See that no container of a build is left."""
    before = {container.id for container in engine.containers.list(all=True)}
    yield
    after = engine.containers.list(all=True, ignore_removed=True)
    assert not [one for one in after if one.id not in before and "bomb" in str(one.attrs["Config"]["Cmd"])]


def built(folder: Path, group: str, files: dict[str, str]) -> str:
    for name, text in files.items():
        (folder / name).write_text(text)
    done = commands.attempt("docker", "build", "--force-rm", "--no-cache", "--cgroup-parent", group, str(folder))
    assert done.returncode
    return done.stdout + done.stderr


@pytest.mark.usefixtures("engine_is_clean")
def test_a_fork_bomb_in_an_install_script_ends_at_the_groups_bound(
    lab: Environment, group: str, tmp_path: Path
) -> None:
    manifest = {"name": "bomb", "version": "1.0.0", "scripts": {"postinstall": "node bomb.js"}}
    said = built(
        tmp_path,
        group,
        {
            "Dockerfile": f"FROM {lab.base_node}\nWORKDIR /app\nCOPY package.json bomb.js ./\nRUN npm install\n",
            "package.json": json.dumps(manifest),
            "bomb.js": BOMB,
        },
    )

    assert "EAGAIN" in said or "Resource temporarily unavailable" in said
    assert diagnosis.build(said).reason == Reason.BUILD_LIMIT


@pytest.mark.usefixtures("engine_is_clean")
def test_a_step_that_takes_all_memory_ends_at_the_groups_bound(lab: Environment, group: str, tmp_path: Path) -> None:
    hog = f'FROM {lab.base_python}\nRUN ["python3", "-c", "bomb = bytearray({4 * MEMORY})"]\n'

    said = built(tmp_path, group, {"Dockerfile": hog})

    assert "returned a non-zero code: 137" in said
    assert diagnosis.build(said).reason == Reason.OUT_OF_MEMORY

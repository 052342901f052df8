"""The same input is not built again, whatever it is; and what was killed leaves nothing."""

from __future__ import annotations

import contextlib
import json
import signal
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import command_line
import docker
import pytest
from command_line import SERVER, labelled, never_ending, until_it_builds, until_it_says
from fake_cluster import SERVER as SERVER_KIND
from fake_cluster import FakeCluster
from lab.processes import poll
from mcp_operator import __main__, kube, names
from mcp_operator.images import cleanup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from command_line import Command
    from docker.models.images import Image

pytestmark = [pytest.mark.integration, pytest.mark.requirement("B-14")]

MANY = """{"name": f"tool_{number}", "description": f"{number * 7919}", "inputSchema": {"type": "object"}}
         for number in range(700)"""
STARTED = 60.0
"""Seconds for the container of a handshake to start."""
DOCKERFILE = """\
ARG FROM={base}
FROM $FROM AS Files
COPY server.py /
FROM {base}
COPY --from=Files /server.py /opt/server.py
ENTRYPOINT ["python3", "/opt/server.py"]
"""


def belongings(engine: docker.DockerClient, uid: str) -> list[str]:
    """Give what an owner has in the engine besides images with names, and in the folder for temporary files."""
    label = {"label": f"{names.LABEL_UID}={uid}"}
    return [
        *(each["Id"] for each in engine.api.containers(all=True, filters=label)),
        *(image["Id"] for image in labelled(engine, f"{names.LABEL_UID}={uid}") if not image["RepoTags"]),
        *(path.name for path in Path(tempfile.gettempdir()).glob(f"toolman-*{uid}*")),
    ]


@pytest.fixture
def moving(engine: docker.DockerClient) -> Iterator[Callable[[str, str], str]]:
    """Give names of base images of this test's own, whose meaning can be changed."""
    made: set[str] = set()

    def name(kind: str, base: str) -> str:
        repository = f"moving-{kind}-{run}"
        engine.images.get(base).tag(repository, "3.11")
        made.add(f"{repository}:3.11")
        return f"{repository}:3.11"

    run = uuid.uuid4().hex[:8]
    yield name
    for each in made:
        with contextlib.suppress(docker.errors.ImageNotFound):  # it went with what it meant last
            engine.images.remove(each)


@pytest.fixture
def another(engine: docker.DockerClient) -> Iterator[Callable[[str], Image]]:
    """Make images that are like others, and not the same."""
    made: list[Image] = []

    def make(base: str) -> Image:
        container = engine.containers.create(base, ["true"])
        try:
            made.append(container.commit(changes=f"LABEL moved={uuid.uuid4().hex}"))
        finally:
            container.remove()
        return made[-1]

    yield make
    for image in made:
        engine.images.remove(str(image.id), force=True)


def test_a_server_of_many_hundred_tools_is_found_again(command: Command, tmp_path: Path) -> None:
    folder = command_line.project(
        tmp_path / f"many-{uuid.uuid4().hex[:8]}",
        server=SERVER.replace('{"name": "add", "inputSchema": {"type": "object"}}', MANY),
    )
    where = ("--dir", str(folder), "--repository", f"{command.registry}/reuse-tests/{folder.name}", "--push")

    first = command.build(*where)
    again = command.build(*where)

    assert len(first["manifest"]["tools"]) == 700
    assert (first["reused"], again["reused"]) == (False, True)
    assert again["manifest"] == first["manifest"]


def test_what_was_built_and_not_pushed_is_pushed_without_being_built_again(
    command: Command, folder: Path, engine: docker.DockerClient
) -> None:
    where = ("--dir", str(folder), "--repository", f"{command.registry}/reuse-tests/{folder.name}")

    first = command.build(*where)
    pushed = command.build(*where, "--push")
    again = command.build(*where, "--push", "--tag", "latest", "--tag", "other")

    assert (first["reused"], pushed["reused"], again["reused"]) == (False, True, True)
    assert first["image"]["digest"] is None
    assert pushed["image"]["digest"].startswith("sha256:")
    assert again["image"]["digest"] == pushed["image"]["digest"]
    for name in {*pushed["image"]["tags"], *again["image"]["tags"]}:
        engine.images.remove(name, force=True)
    gone = command.build(*where, "--push", "--tag", "latest", "--tag", "third")
    assert gone["reused"]
    assert gone["image"]["digest"] == pushed["image"]["digest"]


def test_another_base_image_has_what_is_built_on_it_built_again_and_nothing_else(
    moving: Callable[[str, str], str], another: Callable[[str], Image], command: Command, folder: Path
) -> None:
    bases = {
        "TOOLMAN_BASE_PYTHON": moving("python", command.environ["TOOLMAN_BASE_PYTHON"]),
        "TOOLMAN_BASE_NODE": moving("node", command.environ["TOOLMAN_BASE_NODE"]),
    }
    words = ("--dir", str(folder))
    command.build(*words, **bases)

    another(bases["TOOLMAN_BASE_NODE"]).tag(*bases["TOOLMAN_BASE_NODE"].split(":"))
    assert command.build(*words, **bases)["reused"] is True

    another(bases["TOOLMAN_BASE_PYTHON"]).tag(*bases["TOOLMAN_BASE_PYTHON"].split(":"))
    assert command.build(*words, **bases)["reused"] is False
    assert command.build(*words, **bases)["reused"] is True


def test_a_dockerfile_of_ones_own_is_found_again_until_what_it_starts_from_is_another(
    moving: Callable[[str, str], str], another: Callable[[str], Image], command: Command, folder: Path
) -> None:
    base = moving("own", command.environ["TOOLMAN_BASE_PYTHON"])
    (folder / "Dockerfile").write_text(DOCKERFILE.format(base=base))
    words = ("--dir", str(folder), "--runtime", "dockerfile")

    first = command.build(*words)
    assert first["reused"] is False
    assert command.build(*words, "--dry-run")["reused"] is True
    assert command.build(*words)["reused"] is True

    another(base).tag(*base.split(":"))
    assert command.build(*words)["reused"] is False


def test_a_label_that_a_repository_gives_itself_is_not_believed(
    command: Command, folder: Path, engine: docker.DockerClient
) -> None:
    base = command.environ["TOOLMAN_BASE_PYTHON"]
    forged = f'LABEL {names.LABEL_RESULT}="{{}}" {names.LABEL_KEY}="x" {names.result_part(2)}="AAAA"\n'
    (folder / "Dockerfile").write_text(DOCKERFILE.format(base=base) + forged)

    document = command.build("--dir", str(folder), "--runtime", "dockerfile")

    labels = engine.images.get(document["image"]["id"]).labels
    assert json.loads(labels[names.LABEL_RESULT])["server_name"] == "demo 1"
    assert len(labels[names.LABEL_KEY]) == 64
    assert command.build("--dir", str(folder), "--runtime", "dockerfile")["manifest"] == document["manifest"]


@pytest.mark.requirement("B-13")
@pytest.mark.parametrize("next_one", ["the same source", "another source"])
def test_what_a_killed_build_left_is_gone_after_the_next_one(
    command: Command, folder: Path, engine: docker.DockerClient, next_one: str, tmp_path: Path
) -> None:
    command.build("--dir", str(folder))
    owner = command_line.owner("--dir", str(folder))
    before = set(belongings(engine, owner))
    never_ending(folder)
    with command.start("build", "--dir", str(folder)) as run:
        until_it_builds(run)
        run.send_signal(signal.SIGKILL)
    left = set(belongings(engine, owner)) - before
    assert any(name.startswith("toolman-build-") for name in left)

    if next_one == "the same source":
        (folder / "server.py").write_text(SERVER.replace('"add"', '"plus"'))
        (folder / "setup.py").unlink()
        (folder / "pyproject.toml").write_text(command_line.PROJECT)
        command.build("--dir", str(folder))
    else:
        command.build("--dir", str(command_line.project(tmp_path / f"other-{uuid.uuid4().hex[:8]}")))

    assert not left.intersection(belongings(engine, owner))


@pytest.mark.requirement("B-13", "B-15")
def test_what_a_build_left_that_was_killed_during_the_handshake_is_gone_after_the_next_one(
    command: Command, folder: Path, engine: docker.DockerClient
) -> None:
    owner = command_line.owner("--dir", str(folder))
    label = {"label": f"{names.LABEL_UID}={owner}", "status": "running"}
    (folder / "server.py").write_text(f"import time\ntime.sleep(1000)\n{SERVER}")
    with command.start("build", "--dir", str(folder)) as run:
        until_it_says(run, "handshake")
        assert poll(lambda: engine.api.containers(filters=label), STARTED)
        run.send_signal(signal.SIGKILL)
    left = set(belongings(engine, owner))
    assert engine.api.containers(filters=label), "a container does not end with its client"

    (folder / "server.py").write_text(SERVER)
    command.build("--dir", str(folder))

    assert not left.intersection(belongings(engine, owner))


@pytest.mark.requirement("B-13", "B-22")
def test_an_operator_and_the_command_line_on_one_engine_leave_each_others_images_and_folders_alone(
    command: Command, folder: Path, engine: docker.DockerClient
) -> None:
    document = command.build("--dir", str(folder))
    owner = command_line.owner("--dir", str(folder))
    container = engine.containers.create(
        document["image"]["id"], labels=dict(engine.images.get(document["image"]["id"]).labels)
    )
    at_work = Path(tempfile.mkdtemp(prefix=cleanup.folder_prefix(owner, "command-line")))
    try:
        for installation in ("", "8a6c8a26-0000-4000-8000-000000000000"):
            cleanup.sweep(set(), installation)

        assert at_work.exists()
        assert engine.images.get(document["image"]["id"]).id == document["image"]["id"]
        container.reload()
    finally:
        container.remove()
        at_work.rmdir()

    theirs = f"operators-{folder.name}:latest"
    labels = {names.LABEL_UID: str(uuid.uuid4()), names.LABEL_INSTALLATION: "cluster", names.MANAGED_BY: names.MANAGER}
    made = engine.containers.create(command.environ["TOOLMAN_BASE_PYTHON"])
    try:
        made.commit(*theirs.split(":"), changes=[f"LABEL {name}={value}" for name, value in labels.items()])
    finally:
        made.remove()
    try:
        going = json.loads(command.run("images", "prune", "--keep", "0", "--dry-run", "--output", "json").stdout)[
            "images"
        ]
        listed = json.loads(command.run("images", "list", "--output", "json").stdout)["images"]
    finally:
        engine.images.remove(theirs)
    assert document["image"]["id"] in {image["id"] for image in going}
    assert theirs.partition(":")[0] not in {image["repository"] for image in going}
    assert theirs.partition(":")[0] in {image["repository"] for image in listed}


@pytest.mark.requirement("B-22")
def test_with_a_cluster_its_own_images_may_go_and_neither_what_it_names_nor_anothers(
    command: Command,
    folder: Path,
    engine: docker.DockerClient,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    installation, another = (f"cluster-{uuid.uuid4().hex}" for _ in range(2))
    run = folder.name
    base = command.environ["TOOLMAN_BASE_PYTHON"]
    made = {}
    for name, whose in (("old", installation), ("named", installation), ("foreign", another)):
        container = engine.containers.create(base)
        labels = {names.LABEL_UID: name, names.LABEL_INSTALLATION: whose, names.MANAGED_BY: names.MANAGER}
        changes = [f"LABEL {label}={value}" for label, value in labels.items()]
        made[name] = container.commit(f"{run}-{name}", "latest", changes=changes)
        container.remove()
    cluster = FakeCluster()
    cluster.add(SERVER_KIND, "one", {})["status"] = {"image": {"reference": "r", "id": made["named"].id}}
    monkeypatch.setattr(cluster, "identity", lambda: installation, raising=False)
    monkeypatch.setattr(kube, "connect", lambda: cluster)
    try:
        assert __main__.main(["images", "prune", "--keep=0", "--cluster", "--dry-run", "--output=json"]) == 0
    finally:
        for image in made.values():
            engine.images.remove(str(image.id), force=True)

    going = {image["repository"] for image in json.loads(capsys.readouterr().out)["images"]}
    assert f"{run}-old" in going
    assert going.isdisjoint({f"{run}-named", f"{run}-foreign"})

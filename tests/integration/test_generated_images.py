"""What stands in generated Dockerfiles, on a real engine."""

from __future__ import annotations

import contextlib
import io
import tarfile
import uuid
from typing import TYPE_CHECKING

import docker
import pytest
from mcp_operator.images import dockerfile, liveness
from mcp_operator.images.liveness import Serving
from mcp_operator.images.recipes.recipe import Recipe, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from docker.models.containers import Container
    from docker.models.images import Image
    from lab.environment import Environment

pytestmark = [pytest.mark.integration, pytest.mark.requirement("B-04")]

SLEEP = ("sleep", "60")


def built(engine: docker.DockerClient, text: str) -> Image:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(text.encode())
        archive.addfile(entry, io.BytesIO(text.encode()))
    packed.seek(0)
    image, _ = engine.images.build(fileobj=packed, custom_context=True, rm=True, forcerm=True)
    return image


@pytest.fixture
def image(lab: Environment, engine: docker.DockerClient) -> Iterator[Image]:
    """Give a generated image in which nothing but its user and its health check is of interest."""
    recipe = Recipe(
        language="node",
        stages=(Stage(base=lab.base_debian, steps=(), keep=()),),
        base=lab.base_debian,
        working_dir="/app",
        command=SLEEP,
    )
    owner = {"toolman.dev/test": uuid.uuid4().hex}
    made = built(engine, dockerfile.render(recipe, owner=owner, labels={"l": "1"}, ca=False))
    yield made
    # Docker removes what has no name along with what was built on it.
    with contextlib.suppress(docker.errors.ImageNotFound):
        engine.images.remove(str(made.id), force=True)


@pytest.fixture
def started(engine: docker.DockerClient, image: Image) -> Iterator[Callable[..., Container]]:
    """Start containers of it, as a Pod would: without privileges, on a root that cannot be written."""
    containers: list[Container] = []

    def start(command: list[str] | None = None, *, stdin: bool) -> Container:
        container = engine.containers.run(
            str(image.id),
            command,
            entrypoint=[] if command else None,
            detach=True,
            stdin_open=stdin,
            read_only=True,
            cap_drop=["ALL"],
            network_mode="none",
        )
        containers.append(container)
        return container

    yield start
    for container in containers:
        container.remove(force=True)


def check(image: Image) -> list[str]:
    test = image.attrs["Config"]["Healthcheck"]["Test"]
    assert test[0] == "CMD"
    return [str(word) for word in test[1:]]


def test_a_server_on_stdio_is_healthy_while_somebody_may_speak_to_it(
    image: Image, started: Callable[..., Container]
) -> None:
    spoken_to, alone = started(stdin=True), started(stdin=False)

    assert spoken_to.exec_run(check(image)).exit_code == 0
    assert alone.exec_run(check(image)).exit_code != 0


def test_a_server_that_hangs_stopped_is_not_healthy(image: Image, started: Callable[..., Container]) -> None:
    container = started(stdin=True)

    container.kill("SIGSTOP")

    assert container.exec_run(check(image)).exit_code != 0


def test_its_user_has_a_name_and_no_privileges(started: Callable[..., Container]) -> None:
    container = started(stdin=True)

    assert str(container.exec_run(["id"]).output).startswith("b'uid=1001(mcp) gid=1001(mcp)")


def test_a_thin_build_adds_what_the_handshake_found(engine: docker.DockerClient, image: Image) -> None:
    serving = Serving(language="python", transport="streamable-http", port=8000, path="/mcp")

    thin = built(engine, dockerfile.render_labels(str(image.id), {"toolman.dev/tools": '["a"]'}, serving))

    try:
        config = thin.attrs["Config"]
        assert config["Labels"]["toolman.dev/tools"] == '["a"]'
        assert config["Labels"]["l"] == "1"
        assert "8000/tcp" in config["ExposedPorts"]
        assert config["Healthcheck"]["Test"][1] == "python"
        assert config["Entrypoint"] == list(SLEEP)
        assert config["User"] == "1001:1001"
    finally:
        engine.images.remove(str(thin.id), force=True)


@pytest.mark.parametrize("language", ["python", "node"])
def test_http_is_healthy_when_it_answers_anything(lab: Environment, engine: docker.DockerClient, language: str) -> None:
    lines = liveness.lines(Serving(language=language, transport="streamable-http", port=8123, path="/mcp"))
    base = lab.base_python if language == "python" else lab.base_node
    made = built(engine, "\n".join([f"FROM {base}", f"LABEL a={uuid.uuid4().hex}", *lines]))
    script = "require('http').createServer((q, a) => a.writeHead(406).end()).listen(8123)"
    serve = ["python3", "-m", "http.server", "8123"] if language == "python" else ["node", "-e", script]
    container = engine.containers.run(str(made.id), serve, detach=True, network_mode="none")
    try:
        asked = check(made)
        wait = ["sh", "-c", 'for i in $(seq 100); do "$@" 2>/dev/null && exit; sleep 0.1; done; exit 1', "wait", *asked]
        assert container.exec_run(wait).exit_code == 0
        nobody = [word.replace("8123", "8124") for word in asked]
        assert container.exec_run(nobody).exit_code != 0
    finally:
        container.remove(force=True)
        engine.images.remove(str(made.id), force=True)

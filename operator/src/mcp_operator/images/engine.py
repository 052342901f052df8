"""The one module that talks to Docker. Narrow methods, our own errors, every stream bounded and cancellable."""

from __future__ import annotations

import contextlib
import re
import socket
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Self

import docker
import docker.errors
import docker.utils
import requests
import urllib3.exceptions

from mcp_operator.images import engine_errors, redact
from mcp_operator.images.contract import BuildCancelled, BuildError, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mcp_operator.images.budget import Budget
    from mcp_operator.images.build_log import BuildLog
    from mcp_operator.images.sandbox import Limits

OLDEST = "20.10"
CALL_SECONDS = 60
"""For calls that the engine answers at once, if it is well; it may be busy with a build."""
BUILD_MEMORY = 4 * 1024**3
"""Bytes for each step of a build: TypeScript compilers take up to three gigabytes."""
_NOT_FOUND, _CONFLICT = 404, 409
_FOREIGN = (
    docker.errors.DockerException,
    requests.RequestException,
    urllib3.exceptions.HTTPError,  # the client reads its streams below requests
    OSError,
    ValueError,  # an event cut off in its middle is not JSON
)
_WORTH_SAYING = frozenset({"Pushed", "Layer already exists"})
"""Of what a push says of a layer."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image in the engine's store. ``id`` is ``sha256:...``; ``size`` in bytes, uncompressed."""

    id: str
    size: int
    tags: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


class BuildFailedError(Exception):
    """An instruction failed; the text is the engine's."""


class Engine:
    """A Docker Engine, found as Docker's own client finds it: ``DOCKER_HOST`` and its kin, else the local socket."""

    def __init__(self) -> None:
        with _mapped(Step.BUILD):
            self._client = docker.from_env(version="auto", timeout=CALL_SECONDS)
            # The type stubs leave half of the low-level client without types.
            self._api: Any = self._client.api
            version = str(self._api.version()["Version"])
        if _numbers(version) < _numbers(OLDEST):
            self._client.close()
            raise engine_errors.too_old(version, OLDEST)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def image(self, reference: str) -> Image | None:
        """Find an image by name or ID."""
        with _mapped(Step.BUILD):
            try:
                found = self._api.inspect_image(reference)
            except docker.errors.ImageNotFound:
                return None
        labels = found["Config"].get("Labels") or {}
        return Image(id=found["Id"], size=found["Size"], tags=tuple(found["RepoTags"] or ()), labels=labels)

    def base(self, reference: str, budget: Budget) -> Image:
        """Find an image, or pull it.

        Raises:
            BuildError: ``BaseImageUnavailable``.
        """
        if image := self.image(reference):
            return image
        # Without a tag the engine would pull all of them.
        repository, tag = docker.utils.parse_repository_tag(reference)
        how = {"repository": repository, "tag": tag or "latest", "stream": True}
        try:
            with self._stream(budget, Step.BUILD, "pull", **how) as events:
                for event in events:
                    if "error" in event:
                        raise engine_errors.base_image(str(event["error"]), reference)
        except docker.errors.APIError as error:
            raise engine_errors.base_image(str(error.explanation or error), reference) from error
        image = self.image(reference)
        if image is None:
            raise engine_errors.base_image("it was pulled and is not there", reference)
        return image

    def build(
        self, context: IO[bytes], dockerfile: str, log: BuildLog, budget: Budget, hear: Callable[[str], None]
    ) -> str:
        """Build an image from a packed context with the classic builder; gives its ID, ``sha256:...``.

        Args:
            context: Tar archive.
            dockerfile: Name of the Dockerfile in it.
            log: Filled as it goes.
            budget: When to stop.
            hear: Gets each printable line.

        Raises:
            BuildFailedError: An instruction failed.
            BuildError: The engine failed, or the time is used up.
            BuildCancelled: The budget says so.
        """
        how = {
            "custom_context": True,
            "dockerfile": dockerfile,
            "rm": True,
            "forcerm": True,  # rm alone leaves the container of a failed step
            "container_limits": {"memory": BUILD_MEMORY, "memswap": BUILD_MEMORY},
            "timeout": int(budget.remaining()) + 1,
        }
        image = ""
        try:
            with self._stream(budget, Step.BUILD, "build", fileobj=context, **how) as events:
                for event in events:
                    if "error" in event:
                        raise BuildFailedError(str(event["error"]))
                    image = (event.get("aux") or {}).get("ID", image)
                    for line in log.take(str(event.get("stream", ""))):
                        hear(line)
        except docker.errors.APIError as error:
            raise BuildFailedError(str(error.explanation or error)) from error
        return image

    def tag(self, image: str, repository: str, tag: str) -> None:
        """Give an image a name."""
        with _mapped(Step.PUSH):
            self._api.tag(image, repository, tag)

    def push(self, repository: str, tag: str, budget: Budget, hear: Callable[[str], None]) -> str:
        """Push a tagged image; gives its digest, ``sha256:...``, as the registry gave it.

        Raises:
            BuildError: With the registry's reason.
            BuildCancelled: The budget says so.
        """
        name = f"{repository}:{tag}"
        digest = ""
        try:
            with self._stream(budget, Step.PUSH, "push", repository=repository, tag=tag, stream=True) as events:
                for event in events:
                    if "error" in event:
                        raise engine_errors.push(str(event["error"]), name)
                    digest = (event.get("aux") or {}).get("Digest", digest)
                    if event.get("status") in _WORTH_SAYING:
                        hear(redact.line(f"{event.get('id', '')} {event['status']}".strip()))
        except docker.errors.APIError as error:
            raise engine_errors.push(str(error.explanation or error), name) from error
        if not digest:
            raise engine_errors.push("the registry gave no digest", name)
        return digest

    def images(self, labels: Sequence[str], *, intermediate: bool = False) -> list[Image]:
        """List images that have all the labels (``name`` or ``name=value``)."""
        with _mapped(Step.BUILD):
            found = self._api.images(all=intermediate, filters={"label": list(labels)})
        return [
            Image(
                id=item["Id"],
                size=item["Size"],
                tags=tuple(tag for tag in item["RepoTags"] or () if tag != "<none>:<none>"),
                labels=item["Labels"] or {},
            )
            for item in found
        ]

    def remove_image(self, image: str, *, force: bool = False) -> bool:
        """Remove an image and the untagged ones below it that nothing else uses; False if something uses it."""
        with _mapped(Step.BUILD):
            try:
                self._api.remove_image(image, force=force)
            except docker.errors.APIError as error:
                if error.status_code not in (_NOT_FOUND, _CONFLICT):
                    raise
                return error.status_code == _NOT_FOUND
        return True

    def containers(self, labels: Sequence[str]) -> dict[str, Mapping[str, str]]:
        """List containers, running or not, that have all the labels: their labels by ID."""
        with _mapped(Step.VERIFY):
            found = self._api.containers(all=True, filters={"label": list(labels)})
        return {item["Id"]: item["Labels"] or {} for item in found}

    def remove_container(self, container: str) -> None:
        """Kill and remove a container with its volumes; it may be gone already."""
        with _mapped(Step.VERIFY), contextlib.suppress(docker.errors.NotFound):
            try:
                self._api.remove_container(container, force=True, v=True)
            except docker.errors.APIError as error:
                if error.status_code != _CONFLICT:  # its removal is under way
                    raise

    def create(self, image: str, limits: Limits, labels: Mapping[str, str]) -> str:
        """Make a container with its stdin open; gives its ID."""
        with _mapped(Step.VERIFY):
            made = self._api.create_container(
                image,
                command=list(limits.arguments) or None,
                entrypoint=list(limits.entrypoint) or None,
                user=limits.user,
                environment=dict(limits.env),
                labels=dict(labels),
                stdin_open=True,
                host_config=self._api.create_host_config(**limits.host_config()),
            )
        return str(made["Id"])

    def attach(self, container: str) -> socket.socket:
        """Give the connection to a container's streams: raw writing, framed reading."""
        with _mapped(Step.VERIFY):
            wanted = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            raw = self._api.attach_socket(container, params=wanted)
        found = getattr(raw, "_sock", raw)  # a SocketIO around the socket, except over TLS
        if not isinstance(found, socket.socket):
            raise engine_errors.engine("the connection to the container has no socket", Step.VERIFY)
        # A duplicate, because the client closes its own whenever it is collected.
        with contextlib.closing(raw), found:
            return found.dup()

    def start(self, container: str) -> None:
        """Start a container."""
        with _mapped(Step.VERIFY):
            self._api.start(container)

    def state(self, container: str) -> dict[str, Any]:
        """Give ``State`` of an inspected container: Running, ExitCode, OOMKilled, Error."""
        with _mapped(Step.VERIFY):
            return dict(self._api.inspect_container(container)["State"])

    @contextlib.contextmanager
    def _stream(self, budget: Budget, step: Step, method: str, **how: object) -> Iterator[Iterator[dict[str, Any]]]:
        """Give the events of a long call; end it when the budget is over.

        The engine stops what it does for a client when the connection closes. A blocked read is not woken by closing
        generator or client, so the socket is shut down; a client of its own makes sure that it is nobody else's.
        """
        budget.check(step)
        responses: list[requests.Response] = []
        with _mapped(step, budget), contextlib.closing(docker.from_env(version="auto", timeout=CALL_SECONDS)) as client:
            client.api.hooks["response"].append(lambda response, *_, **__: responses.append(response))
            try:
                with budget.guard(lambda: _shut(responses)):
                    yield getattr(client.api, method)(decode=True, **how)
            finally:
                for response in responses:
                    response.close()
        budget.check(step)


def _shut(responses: Iterable[requests.Response]) -> None:
    for response in responses:
        sock = getattr(getattr(response.raw, "connection", None), "sock", None)
        if isinstance(sock, socket.socket):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def _mapped(step: Step, budget: Budget | None = None) -> Iterator[None]:
    """Turn the foreign errors of a block into ours; what an engine answers to a bad request passes."""
    try:
        yield
    except (BuildError, BuildCancelled, BuildFailedError):
        raise
    except _FOREIGN as error:
        if budget:
            budget.check(step)
            if isinstance(error, docker.errors.APIError):
                raise
        raise engine_errors.engine(f"{type(error).__name__}: {error} {error.__cause__ or ''}", step) from error


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])

"""The one module that talks to Docker. Narrow methods, our own errors, every stream bounded and cancellable."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import IO, TYPE_CHECKING, Any, Self

import docker
import docker.errors
import docker.utils
import requests
import urllib3.exceptions

from mcp_operator.images import engine_errors, engine_wire, registry_errors, stored
from mcp_operator.images.contract import BuildCancelled, BuildError, Step
from mcp_operator.images.engine_errors import BuildFailedError, RefusedError
from mcp_operator.images.engine_wire import BuildOptions, unheard
from mcp_operator.images.reasons import Reason
from mcp_operator.images.stored import Image
from mcp_operator.images.transfer import Bytes, Transfer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mcp_operator.images.budget import Budget
    from mcp_operator.images.build_log import BuildLog
    from mcp_operator.images.contract import RegistryAuth
    from mcp_operator.images.sandbox import Limits

    _Heard = tuple[Callable[[str], None], Callable[[Bytes], None]]

__all__ = ["BuildFailedError", "BuildOptions", "Engine", "Image"]

OLDEST = "20.10"
OLDEST_API = "1.41"
"""What that one speaks."""
CALL_SECONDS = 60
"""For calls that the engine answers at once, if it is well; it may be busy with a build."""
BUILD_MEMORY = 4 * 1024**3
"""Bytes for each step of a build: TypeScript compilers take up to three gigabytes."""
BUILD_CPU_SHARES = 512
"""Half of what any other container gets where both want all: servers in service go first."""
PULLS = 3
"""Attempts at a base image, when a line broke."""
PULL_PAUSE = 2.0
_NOT_FOUND, _CONFLICT = 404, 409
_FOREIGN = (
    docker.errors.DockerException,
    requests.RequestException,
    urllib3.exceptions.HTTPError,  # the client reads its streams below requests
    OSError,
    ValueError,  # an event cut off in its middle is not JSON
)
_AS_USUAL = BuildOptions()


class Engine:
    """A Docker Engine, found as Docker's own client finds it: ``DOCKER_HOST`` and its kin, else the local socket."""

    def __init__(self) -> None:
        with _mapped(Step.BUILD), contextlib.closing(_connect(OLDEST_API)) as first:
            # Without a version in its path this is answered by every engine.
            found = first.api.version(api_version=False)
        version = str(found["Version"])
        if engine_wire.numbers(version) < engine_wire.numbers(OLDEST):
            raise engine_errors.too_old(version, OLDEST)
        self._attached = contextlib.ExitStack()
        self._speaks = str(found["ApiVersion"])
        self._client = _connect(self._speaks)
        # The type stubs leave half of the low-level client without types.
        self._api: Any = self._client.api

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._attached.close()
        self._client.close()

    def image(self, reference: str) -> Image | None:
        """Find an image by name or ID."""
        with _mapped(Step.BUILD):
            try:
                found = self._api.inspect_image(reference)
            except docker.errors.ImageNotFound:
                return None
        return stored.inspected(found)

    def base(
        self, reference: str, budget: Budget, hear: Callable[[str], None] = unheard, *, anonymous: bool = False
    ) -> Image:
        """Find an image, or pull it; again where a line broke.

        Args:
            reference: Its name.
            budget: When to stop.
            hear: Gets lines.
            anonymous: Without the credentials of Docker's configuration: a stranger chose the name.

        Raises:
            BuildError: ``BaseImageUnavailable``, ``DiskFull``.
        """
        if image := self.image(reference):
            return image
        left = PULLS
        while True:
            left -= 1
            try:
                return self._pulled(reference, budget, (hear, unheard), engine_wire.NOBODY if anonymous else None)
            except RefusedError as error:
                if not left or not engine_errors.passing(str(error)):
                    raise engine_errors.base_image(str(error), reference) from error
            hear(f"{reference} could not be pulled; trying again")
            engine_wire.pause(PULL_PAUSE, budget, Step.BUILD)

    def pull(
        self,
        reference: str,
        budget: Budget,
        hear: Callable[[str], None] = unheard,
        *,
        auth: RegistryAuth | None = None,
        moved: Callable[[Bytes], None] = unheard,
    ) -> Image:
        """Pull an image. Without ``auth``, with what Docker's configuration has for its registry.

        Raises:
            BuildError: With the registry's reason.
            BuildCancelled: The budget says so.
        """
        try:
            return self._pulled(reference, budget, (hear, moved), auth)
        except RefusedError as error:
            raise registry_errors.explain(str(error), reference, Step.BUILD) from error

    def build(
        self,
        context: IO[bytes],
        dockerfile: str,
        log: BuildLog,
        budget: Budget,
        hear: Callable[[str], None],
        options: BuildOptions = _AS_USUAL,
    ) -> str:
        """Build an image from a packed context with the classic builder; gives its ID, ``sha256:...``.

        The credentials of Docker's configuration are not sent along: what a Dockerfile names in ``FROM`` may be
        somebody else's.

        Args:
            context: Tar archive.
            dockerfile: Name of the Dockerfile in it.
            log: Filled as it goes.
            budget: When to stop.
            hear: Gets each printable line.
            options: What differs from the usual.

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
            "container_limits": {"memory": BUILD_MEMORY, "memswap": BUILD_MEMORY, "cpushares": BUILD_CPU_SHARES},
            "timeout": int(budget.remaining()) + 1,
            "network_mode": None if options.network else "none",
            "buildargs": dict(options.arguments),
            "decode": True,
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

    def push(
        self,
        repository: str,
        tag: str,
        budget: Budget,
        hear: Callable[[str], None],
        *,
        auth: RegistryAuth | None = None,
        moved: Callable[[Bytes], None] = unheard,
    ) -> str:
        """Push a tagged image; gives its digest, ``sha256:...``, as the registry gave it.

        Args:
            repository: Without tag.
            tag: Which there is already.
            budget: When to stop.
            hear: Gets lines.
            auth: Without, what Docker's configuration has for the registry.
            moved: Gets how far it is, often.

        Raises:
            BuildError: With the registry's reason.
            BuildCancelled: The budget says so.
        """
        name = f"{repository}:{tag}"
        how = {"repository": repository, "tag": tag, "auth_config": engine_wire.auth_config(auth, repository)}
        done = Transfer()
        try:
            self._transfer(budget, Step.PUSH, "push", done, (hear, moved), **how)
        except RefusedError as error:
            raise registry_errors.explain(str(error), name) from error
        except BuildError as error:
            if done.failing and error.reason == Reason.TIMED_OUT:
                raise registry_errors.explain("timed out while layers failed again and again", name) from error
            raise
        if not done.digest:
            raise registry_errors.explain("the registry gave no digest", name)
        return done.digest

    def images(self, labels: Sequence[str], *, intermediate: bool = False) -> list[Image]:
        """List images that have all the labels (``name`` or ``name=value``)."""
        with _mapped(Step.BUILD):
            found = self._api.images(all=intermediate, filters={"label": list(labels)})
        return [stored.listed(item) for item in found]

    def in_containers(self) -> set[str]:
        """Give the IDs of all images that containers are made from, running or not."""
        with _mapped(Step.BUILD):
            return {str(item["ImageID"]) for item in self._api.containers(all=True)}

    def save(self, image: str, file: IO[bytes], budget: Budget, limit: int) -> None:
        """Write an image into a file, as ``docker save`` does.

        Raises:
            BuildError: It is larger than ``limit`` bytes, or the engine failed, or the time is used up.
            BuildCancelled: The budget says so.
        """
        try:
            with self._stream(budget, Step.VERIFY, "get_image", image=image) as chunks:
                for chunk in chunks:
                    if file.tell() + len(chunk) > limit:
                        raise engine_errors.engine(f"the image is larger than {limit} bytes", Step.VERIFY)
                    file.write(chunk)
        except docker.errors.APIError as error:
            raise engine_errors.engine(str(error.explanation or error), Step.VERIFY) from error

    def remove_image(self, image: str, *, force: bool = False) -> bool:
        """Remove an image and the untagged ones below it that nothing else uses; False if something uses it."""
        with _mapped(Step.BUILD):
            try:
                self._api.remove_image(image, force=force)
            except docker.errors.APIError as error:
                # Somebody else was faster, and is not quite through.
                gone = error.status_code == _NOT_FOUND or "unrecognized image ID" in str(error.explanation)
                if not gone and error.status_code != _CONFLICT:
                    raise
                return gone
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
        if isinstance(found, ssl.SSLSocket):
            # It cannot be duplicated, and is closed for good when the answer that it came with is.
            self._attached.callback(getattr(found, "_response", found).close)
            return found
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

    def _pulled(self, reference: str, budget: Budget, heard: _Heard, auth: RegistryAuth | None = None) -> Image:
        # Without a tag the engine would pull all of them.
        repository, tag = docker.utils.parse_repository_tag(reference)
        how = {
            "repository": repository,
            "tag": tag or "latest",
            "auth_config": engine_wire.auth_config(auth, reference),
        }
        self._transfer(budget, Step.BUILD, "pull", Transfer(), heard, **how)
        image = self.image(reference)
        if image is None:
            raise RefusedError("it was pulled and is not there")
        return image

    def _transfer(self, budget: Budget, step: Step, method: str, done: Transfer, heard: _Heard, **how: object) -> None:
        hear, moved = heard
        try:
            with self._stream(budget, step, method, stream=True, decode=True, **how) as events:
                for event in events:
                    if "error" in event:
                        raise RefusedError(str(event["error"]))
                    if line := done.take(event):
                        hear(line)
                    moved(done.bytes)
        except docker.errors.APIError as error:
            raise RefusedError(str(error.explanation or error)) from error

    @contextlib.contextmanager
    def _stream(self, budget: Budget, step: Step, method: str, **how: object) -> Iterator[Iterator[Any]]:
        """Give what a long call yields; end it when the budget is over.

        The engine stops what it does for a client when the connection closes. A blocked read is not woken by closing
        generator or client, so the socket is shut down; a client of its own makes sure that it is nobody else's.
        """
        budget.check(step)
        responses: list[requests.Response] = []
        with _mapped(step, budget), contextlib.closing(_connect(self._speaks)) as client:
            client.api.hooks["response"].append(lambda response, *_, **__: responses.append(response))
            try:
                with budget.guard(lambda: engine_wire.shut(responses)):
                    yield getattr(client.api, method)(**how)
            finally:
                for response in responses:
                    response.close()
        budget.check(step)


def _connect(version: str) -> docker.DockerClient:
    client = docker.from_env(version=version, timeout=CALL_SECONDS)
    # Else REQUESTS_CA_BUNDLE, which is meant for the web, would replace the authority in DOCKER_CERT_PATH.
    client.api.trust_env = False
    client.api.auth = engine_wire.without_build_credentials
    return client


@contextlib.contextmanager
def _mapped(step: Step, budget: Budget | None = None) -> Iterator[None]:
    """Turn the foreign errors of a block into ours; what an engine answers to a bad request passes."""
    try:
        yield
    except (BuildError, BuildCancelled, BuildFailedError, RefusedError):
        raise
    except _FOREIGN as error:
        if budget:
            budget.check(step)
            if isinstance(error, docker.errors.APIError):
                raise
        raise engine_errors.engine(f"{type(error).__name__}: {error} {error.__cause__ or ''}", step) from error

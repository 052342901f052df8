"""The Docker Engine as sandboxes need it: the only module that imports the client for it. All of it blocks.

Every method raises :class:`toolman.upstreams.Failure` with a text that says what to do.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import docker
import docker.errors
import docker.utils

from toolman.upstreams import Failure
from toolman.upstreams.hijack import Address

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping

    from toolman.config import Docker

log = logging.getLogger(__name__)

ANSWER = 30
"""Seconds for the engine to answer one request."""

PROGRESS = 5.0
"""Seconds between two lines of the log about an image that is being pulled."""

_REACH = "start it, or set DOCKER_HOST to one that can be used"
_NOT_FOUND = 404


class State(NamedTuple):
    """What has become of a container."""

    is_running: bool
    exit_code: int
    is_out_of_memory: bool
    started_at: str


class Found(NamedTuple):
    """A container that carries a label; ``state`` such as ``running`` or ``exited``."""

    identifier: str
    labels: Mapping[str, str]
    state: str


class Engine:
    """A connection to the engine that the environment names (``DOCKER_HOST`` and its kin)."""

    def __init__(self) -> None:
        with _mapped("the Docker Engine cannot be reached"):
            settings = docker.utils.kwargs_from_env()
            self.address = _address(settings)
            self._check()
            self._client = docker.APIClient(version="auto", timeout=ANSWER, **settings)
            self.version = str(self._client.api_version)

    def close(self) -> None:
        """Let go of it."""
        self._client.close()

    def provide(self, image: str, cancelled: threading.Event) -> None:
        """See that an image is there: pull it if it is not, with lines about it in the log."""
        with self._using("the Docker Engine cannot be asked for its images"):
            try:
                self._client.inspect_image(image)  # type: ignore[no-untyped-call]  # its stub says nothing
            except docker.errors.ImageNotFound:
                self._pull(image, cancelled)

    def create(self, name: str, config: Docker, labels: Mapping[str, str]) -> str:
        """Make a container that may do next to nothing; give its identifier."""
        tmpfs = {"/tmp": f"rw,nosuid,nodev,size={config.tmpfs},mode=1777"} if config.tmpfs else {}  # noqa: S108 - in the container
        with self._using(f"no container can be made of image {config.image!r}"):
            limits = self._client.create_host_config(
                network_mode=config.network,
                read_only=True,
                tmpfs=tmpfs,
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                mem_limit=config.memory,
                memswap_limit=config.memory,
                pids_limit=config.pids,
                nano_cpus=int(config.cpus * 10**9),
                log_config=docker.types.LogConfig(type="none"),  # its output is the protocol, and may be without end
            )
            made = self._client.create_container(
                config.image,
                list(config.command) or None,
                name=name,
                environment=config.env,
                user=config.user,
                labels=dict(labels),
                stdin_open=True,
                host_config=limits,
            )
        return str(made["Id"])

    def start(self, container: str) -> None:
        """Start a container."""
        with self._using("its container cannot be started"):
            self._client.start(container)

    def signal(self, container: str, number: int) -> None:
        """Signal a container's first process; nothing happens if it is over."""
        with self._using("its container cannot be signalled"), contextlib.suppress(docker.errors.APIError):
            self._client.kill(container, number)

    def remove(self, container: str) -> None:
        """Kill a container and remove it with everything it wrote; nothing happens if it is gone."""
        with self._using("its container cannot be removed"):
            try:
                self._client.remove_container(container, force=True, v=True)
            except docker.errors.APIError as problem:
                # 409: somebody else is removing it.
                if problem.status_code not in {_NOT_FOUND, 409}:
                    raise

    def state(self, container: str) -> State | None:
        """Tell what has become of a container; None if it is gone."""
        with self._using("its container cannot be looked at"):
            try:
                found: dict[str, Any] = self._client.inspect_container(container)["State"]
            except docker.errors.NotFound:
                return None
        return State(found["Running"], found["ExitCode"], found["OOMKilled"], found["StartedAt"])

    def started_at(self, container: str) -> str | None:
        """Tell when a container was started; None if it does not run."""
        state = self.state(container)
        return state.started_at if state is not None and state.is_running else None

    def labelled(self, label: str) -> list[Found]:
        """Give all containers that carry a label."""
        with self._using("the Docker Engine cannot be asked for its containers"):
            found = self._client.containers(all=True, filters={"label": label})
        return [Found(one["Id"], one.get("Labels") or {}, one.get("State", "")) for one in found]

    def _pull(self, image: str, cancelled: threading.Event) -> None:
        repository, tag = docker.utils.parse_repository_tag(image)
        log.info("image %s is not there: pulling it", image)
        began = said = time.monotonic()
        layers: dict[str, str] = {}
        with self._using(f"image {image!r} is not there and cannot be pulled"):
            for event in self._client.pull(repository, tag=tag or "latest", stream=True, decode=True):
                if cancelled.is_set():
                    return
                if "error" in event:
                    raise Failure(f"image {image!r} is not there and cannot be pulled: {str(event['error'])[:500]}")
                if "id" in event:
                    layers[event["id"]] = event.get("status", "")
                if time.monotonic() - said >= PROGRESS:
                    said = time.monotonic()
                    done = sum(status in {"Pull complete", "Already exists"} for status in layers.values())
                    log.info("pulling image %s: %d of %d layers", image, done, len(layers))
        log.info("pulled image %s in %.1f s", image, time.monotonic() - began)

    @contextlib.contextmanager
    def _using(self, what: str) -> Iterator[None]:
        with _mapped(what):
            self._check()
            yield

    def _check(self) -> None:
        """See that a local engine is there: its client would forget to close what it could not connect."""
        if self.address.path:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(self.address.path)


@contextlib.contextmanager
def _mapped(what: str) -> Iterator[None]:
    """Give the client's errors (requests' are OSErrors) our own form."""
    try:
        yield
    except (docker.errors.DockerException, OSError) as problem:
        raise _failure(what, problem) from None


def _failure(what: str, problem: Exception) -> Failure:
    if isinstance(problem, docker.errors.APIError):
        return Failure(f"{what}: {str(problem.explanation or problem)[:500]}")
    text = str(problem)
    if "Permission denied" in text:
        return Failure(f"{what}: permission denied on its socket; run as a user who may use it", f"\n{text}")
    return Failure(f"{what}; {_REACH}", f"\n{text}")


def _address(settings: Mapping[str, Any]) -> Address:
    """Find out where the engine listens, as its client does."""
    tls = settings.get("tls") or None
    url = docker.utils.parse_host(settings.get("base_url"), tls=bool(tls))
    parts = urlsplit(url)
    if parts.scheme == "http+unix":
        return Address(path=parts.path)
    if parts.scheme not in {"http", "https"}:
        raise Failure(f"sandboxes cannot use the Docker Engine at {parts.scheme}://; use a unix socket or tcp://")
    context = None
    if tls:
        context = ssl.create_default_context(cafile=tls.ca_cert or None)
        if tls.verify is False:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if tls.cert:
            context.load_cert_chain(*tls.cert)
    return Address(host=parts.hostname or "", port=parts.port or 2375, tls=context)

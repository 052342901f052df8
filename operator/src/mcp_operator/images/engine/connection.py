"""Connections to Docker: found as its own client finds them, every stream bounded and cancellable, our own errors."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Self

import docker
import docker.errors
import requests
import urllib3.exceptions

from mcp_operator.images import engine_errors, engine_wire
from mcp_operator.images.contract import BuildCancelled, BuildError, Step
from mcp_operator.images.engine_errors import BuildFailedError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcp_operator.images.budget import Budget

OLDEST = "20.10"
OLDEST_API = "1.41"
"""What that one speaks."""
CALL_SECONDS = 60
"""For calls that the engine answers at once, if it is well; it may be busy with a build."""
_FOREIGN = (
    docker.errors.DockerException,
    requests.RequestException,
    urllib3.exceptions.HTTPError,  # the client reads its streams below requests
    OSError,
    ValueError,  # an event cut off in its middle is not JSON
)


class Connection:
    """A Docker Engine, found as Docker's own client finds it: ``DOCKER_HOST`` and its kin, else the local socket."""

    def __init__(self) -> None:
        with mapped(Step.BUILD), contextlib.closing(_connect(OLDEST_API)) as first:
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

    @contextlib.contextmanager
    def stream(self, budget: Budget, step: Step, method: str, **how: object) -> Iterator[Iterator[Any]]:
        """Give what a long call yields; end it when the budget is over.

        The engine stops what it does for a client when the connection closes. A blocked read is not woken by closing
        generator or client, so the socket is shut down; a client of its own makes sure that it is nobody else's.
        """
        budget.check(step)
        responses: list[requests.Response] = []
        with mapped(step, budget), contextlib.closing(_connect(self._speaks)) as client:
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
def mapped(step: Step, budget: Budget | None = None) -> Iterator[None]:
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

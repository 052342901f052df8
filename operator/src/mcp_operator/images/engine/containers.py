"""Containers of the engine: made, attached to, started, asked, removed."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, Any

import docker.errors

from mcp_operator.images import engine_errors
from mcp_operator.images.contract import Step
from mcp_operator.images.engine.connection import Connection, mapped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcp_operator.images.sandbox import Limits

_CONFLICT = 409


class Containers(Connection):
    """An engine's containers."""

    def containers(self, labels: Sequence[str]) -> dict[str, Mapping[str, str]]:
        """List containers, running or not, that have all the labels: their labels by ID."""
        with mapped(Step.VERIFY):
            found = self._api.containers(all=True, filters={"label": list(labels)})
        return {item["Id"]: item["Labels"] or {} for item in found}

    def in_containers(self) -> set[str]:
        """Give the IDs of all images that containers are made from, running or not."""
        with mapped(Step.BUILD):
            return {str(item["ImageID"]) for item in self._api.containers(all=True)}

    def remove_container(self, container: str) -> None:
        """Kill and remove a container with its volumes; it may be gone already."""
        with mapped(Step.VERIFY), contextlib.suppress(docker.errors.NotFound):
            try:
                self._api.remove_container(container, force=True, v=True)
            except docker.errors.APIError as error:
                if error.status_code != _CONFLICT:  # its removal is under way
                    raise

    def create(self, image: str, limits: Limits, labels: Mapping[str, str]) -> str:
        """Make a container with its stdin open; gives its ID."""
        with mapped(Step.VERIFY):
            made = self._api.create_container(
                image,
                command=list(limits.arguments) or None,
                entrypoint=list(limits.entrypoint) or None,
                user=limits.user,
                working_dir=limits.folder or None,
                environment=dict(limits.env),
                labels=dict(labels),
                stdin_open=True,
                host_config=self._api.create_host_config(**limits.host_config()),
            )
        return str(made["Id"])

    def attach(self, container: str) -> socket.socket:
        """Give the connection to a container's streams: raw writing, framed reading."""
        with mapped(Step.VERIFY):
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
        with mapped(Step.VERIFY):
            self._api.start(container)

    def state(self, container: str) -> dict[str, Any]:
        """Give ``State`` of an inspected container: Running, ExitCode, OOMKilled, Error."""
        with mapped(Step.VERIFY):
            return dict(self._api.inspect_container(container)["State"])

"""What goes to Docker and comes from it beside the calls: credentials, options, connections to be cut, versions."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mcp_operator.images import credentials
from mcp_operator.images.budget import POLL
from mcp_operator.images.contract import RegistryAuth

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import requests

    from mcp_operator.images.budget import Budget
    from mcp_operator.images.contract import Step

NOBODY = RegistryAuth(username="", password="")
"""Who has no credentials, whatever Docker's configuration has."""
PULLS = 3
"""Attempts at a base image, when a line broke."""
_BUILD_CREDENTIALS = "X-Registry-Config"


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What a build may be given besides its context.

    Attributes:
        network: Whether its instructions have one.
        arguments: For ``ARG``; they stay in the image, so never a secret.
    """

    network: bool = True
    arguments: Mapping[str, str] = field(default_factory=dict)


def unheard(*_: object) -> None:
    """Take no notice of what is said."""


def pause(seconds: float, budget: Budget, step: Step) -> None:
    """Wait before another attempt; a cancel is noticed.

    Raises:
        BuildError: The time is used up.
        BuildCancelled: As the budget says.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        budget.check(step)
        time.sleep(POLL)


def without_build_credentials(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Take out all the credentials of Docker's configuration, which the client would send along with a build."""
    request.headers.pop(_BUILD_CREDENTIALS, None)
    return request


def auth_config(auth: RegistryAuth | None, reference: str) -> dict[str, str]:
    """Give credentials as the engine wants them, found by us: the client's own way runs helpers without a bound."""
    found = auth or credentials.find(reference)
    if found is None or found is NOBODY:
        return {}
    if found.username == credentials.IDENTITY_TOKEN:
        return {"identitytoken": found.password}
    return {"username": found.username, "password": found.password}


def shut(responses: Iterable[requests.Response]) -> None:
    """Wake whoever reads from these: closing them would not."""
    for response in responses:
        sock = getattr(getattr(response.raw, "connection", None), "sock", None)
        if isinstance(sock, socket.socket):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def numbers(version: str) -> tuple[int, ...]:
    """Give the first two numbers of a version, to compare."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])

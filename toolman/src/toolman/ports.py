"""toolman's own ports, and getting them back from a server of the same Pod.

All containers of a Pod share its addresses. When toolman ends suddenly, a hostile server can take its port and answer
the agent in its place; toolman, started again, could only refuse to share. But servers run below a spawner that ends
all of them at a word, and none ran before toolman first did. So that word comes first.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from toolman import listeners
from toolman.config import Pipes
from toolman.upstreams import control

if TYPE_CHECKING:
    import socket

    from toolman.config import Config

log = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds in which servers that were told to end are gone; killing takes milliseconds."""
_PAUSE = 0.05

Bound = tuple[list["socket.socket"], list["socket.socket"]]
"""The sockets for agents and those for the kubelet."""


def bind(config: Config) -> Bound:
    """Bind all addresses of a configuration; servers that may have taken one are ended.

    Raises:
        CannotListenError: An address cannot be bound.
    """
    try:
        return _bind(config)
    except listeners.CannotListenError as problem:
        folders = [Path(each.upstream.directory) for each in config.servers if isinstance(each.upstream, Pipes)]
        if not folders:
            raise
        log.error("%s; a server of this Pod may have it: all are ended first", problem)  # noqa: TRY400 - no bug
    deadline = time.monotonic() + PATIENCE
    while True:
        for folder in folders:
            control.end_all(folder)
        time.sleep(_PAUSE)
        try:
            return _bind(config)
        except listeners.CannotListenError:
            if time.monotonic() > deadline:
                raise


def _bind(config: Config) -> Bound:
    listen, admin = config.listen, config.admin
    agents = listeners.loopback(listen.port) if listen.loopback else listeners.address(listen.host, listen.port)
    try:
        return agents, listeners.address(admin.host, admin.port) if admin else []
    except listeners.CannotListenError:
        for bound in agents:
            bound.close()
        raise

"""Reach what listens inside a container's network, whatever it is bound to, without a network of our own there.

A server is verified without network, on an engine that may be another machine, from an image that may have no tools: so
a second container joins its network and carries bytes between one TCP connection and its own stdin and stdout.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import re
from typing import TYPE_CHECKING, NamedTuple

from mcp_operator.images import sandbox

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_operator.images.budget import Budget
    from mcp_operator.images.engine import Engine

LISTING_SECONDS = 15
"""For a container that prints two small files."""
_LISTING_LIMIT = 65536

_PYTHON = """\
import os, socket, sys, threading
tcp = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def outwards():
    while data := os.read(0, 65536):
        tcp.sendall(data)
threading.Thread(target=outwards, daemon=True).start()
while data := tcp.recv(65536):
    while data:
        data = data[os.write(1, data):]
os._exit(0)
"""
_NODE = """\
const tcp = require('net').connect(+process.argv[2], process.argv[1]);
process.stdin.pipe(tcp);
tcp.pipe(process.stdout);
tcp.on('close', () => process.exit()).on('error', () => process.exit(1));
"""
_EITHER = 'p=$1 n=$2; shift 2; command -v python3 >/dev/null && exec python3 -I -c "$p" "$@"; exec node -e "$n" "$@"'
_LIST = 'for f in /proc/net/tcp /proc/net/tcp6; do while read -r line; do echo "$line"; done < $f; done'

_LISTENING = re.compile(r"^\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) [0-9A-F]+:0000 0A ", re.MULTILINE)
"""A line of the kernel's table of TCP sockets; 0A is the state LISTEN."""


class Address(NamedTuple):
    """Where something listens, as seen from inside."""

    host: str
    port: int


class Relay:
    """The network of a running container. Everything that it opened is gone after :meth:`close`.

    Args:
        engine: Where the container runs.
        image: Of the second containers: one with ``sh`` and either Python or Node.
        container: Whose network.
        owner: Labels for the second containers.
    """

    def __init__(self, engine: Engine, image: str, container: str, owner: Mapping[str, str]) -> None:
        self._engine = engine
        self._image = image
        self._owner = owner
        self._limits = sandbox.Limits(beside=container)
        self._open = contextlib.ExitStack()

    def listening(self, budget: Budget) -> list[Address]:
        """Give the TCP sockets that listen, each once, in the kernel's order."""
        output = b""
        budget = budget.at_most(LISTING_SECONDS)
        limits = dataclasses.replace(self._limits, entrypoint=("sh", "-c", _LIST))
        with (
            sandbox.started(self._engine, self._image, limits, self._owner) as listing,
            contextlib.suppress(sandbox.Ended),
        ):
            while len(output) < _LISTING_LIMIT:
                output += listing.read(budget)
        return parse(output.decode(errors="replace"))

    def dial(self, address: Address) -> sandbox.Sandbox:
        """Connect: what is written goes there, what is read comes from there."""
        entrypoint = ("sh", "-c", _EITHER, "sh", _PYTHON, _NODE, address.host, str(address.port))
        limits = dataclasses.replace(self._limits, entrypoint=entrypoint)
        return self._open.enter_context(sandbox.started(self._engine, self._image, limits, self._owner))

    def close(self) -> None:
        """Close all connections."""
        self._open.close()


def parse(table: str) -> list[Address]:
    """Read the kernel's tables of TCP sockets: those that listen. One on all addresses is named by the loopback one."""
    found: dict[int, Address] = {}
    for host, port in _LISTENING.findall(table):
        # Each 32 bits are in the machine's order, which is little-endian wherever this runs.
        raw = b"".join(bytes.fromhex(host[at : at + 8])[::-1] for at in range(0, len(host), 8))
        address = ipaddress.ip_address(raw)
        if address.is_unspecified:
            # Of both families: one on :: takes IPv4, too, and without network ::1 is often switched off.
            address = ipaddress.IPv4Address("127.0.0.1")
        found.setdefault(int(port, 16), Address(str(address), int(port, 16)))
    return list(found.values())

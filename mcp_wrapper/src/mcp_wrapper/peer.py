"""Who is at the other end of a connection within this machine: toolman, or somebody else who took its port.

The kernel lists every TCP socket of the network namespace, with the user who has it, in ``/proc/net/tcp`` and ``tcp6``.
A connection that nobody has accepted yet has no owner: it shows user 0 and inode 0. Who owns the listening socket does
not matter, since somebody else may listen on a closer address: who accepted is whom we would be talking to.
"""

from __future__ import annotations

import os
import sys

from mcp_wrapper.dial import NotUsableError
from mcp_wrapper.lean import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mcp_wrapper.dial import Preparation, Step

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
ACCEPT_DELAYS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, *(0.1,) * 20)
"""Between looks at a connection that is not accepted yet: two seconds, then another one is tried."""
READ_BYTES = 64 * 1024
_ESTABLISHED = b"01"
_UID, _INODE = 3, 5
"""Columns after the state."""


def belongs_to(uid: int) -> Preparation:
    """Make sure of the user at the other end, before it is told anything."""

    def prepare(connection: socket.socket) -> Step:
        for delay in ACCEPT_DELAYS:
            owner = accepted_by(connection)
            if owner == uid:
                return connection
            if owner is not None:
                raise NotUsableError(f"its port belongs to user {owner}, not to toolman (user {uid})")
            yield connection, delay
        raise NotUsableError("nobody accepted the connection")

    return prepare


def accepted_by(connection: socket.socket) -> int | None:
    """Tell which user has the other end of a connection; None while nobody has accepted it.

    Raises:
        NotUsableError: It is not on this machine, or gone.
    """
    for ends in _spellings(connection.family, connection.getpeername(), connection.getsockname()):
        for table in TABLES:
            row = _row(table, ends)
            if row is None:
                continue
            state, *others = row
            if state != _ESTABLISHED:
                raise NotUsableError("it closed the connection")
            return int(others[_UID]) if others[_INODE] != b"0" else None
    raise NotUsableError("the kernel does not list who is at the other end")


def _row(table: str, ends: bytes) -> list[bytes] | None:
    """Find a connection in a list of sockets, and give what the list says of it; None if it is not there."""
    try:
        fd = os.open(table, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # no IPv6 on this machine, or no such list: then nobody is found
        return None
    try:
        rest = b""
        while piece := os.read(fd, READ_BYTES):
            # Looking for one row in big pieces costs less time and memory than making lines of all of them.
            text = rest + piece
            whole = text.rfind(b"\n") + 1
            found = text.find(ends, 0, whole)
            if found >= 0:
                return text[found + len(ends) : text.index(b"\n", found)].split()
            rest = text[whole:]
    finally:
        os.close(fd)
    return None


def _spellings(family: int, near: Any, far: Any) -> list[bytes]:  # noqa: ANN401 - socket addresses
    """Write the two ends as the lists do; a socket that serves both families sees IPv4 as mapped into IPv6."""
    prefixes = [b"", bytes(10) + b"\xff\xff"] if family == socket.AF_INET else [b""]
    return [f" {_written(family, near, prefix)} {_written(family, far, prefix)} ".encode() for prefix in prefixes]


def _written(family: int, address: Any, prefix: bytes) -> str:  # noqa: ANN401 - a socket address
    """Words in the machine's byte order, in hexadecimal, and the port."""
    packed = prefix + socket.inet_pton(family, address[0].partition("%")[0])
    words = (int.from_bytes(packed[at : at + 4], sys.byteorder) for at in range(0, len(packed), 4))
    return "".join(f"{word:08X}" for word in words) + f":{address[1]:04X}"

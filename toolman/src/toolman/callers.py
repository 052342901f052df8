"""Who is at the other end of a connection from this machine: servers of the same Pod are not agents.

The kernel lists every TCP socket of the network namespace with the user who made it, in ``/proc/net/tcp`` and ``tcp6``.
A caller is served only if its socket is found, established, still has an inode (a closed one shows user 0 and inode 0)
and does not belong to a refused user.
"""

from __future__ import annotations

import ipaddress
import struct
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED = "01"
_LOCAL, _REMOTE, _STATE, _UID, _INODE = 1, 2, 3, 7, 9  # columns
_COLUMNS = 10

Address = tuple[str, int]


def refusal(peer: Address, here: Address, refused: Collection[int], tables: tuple[Path, ...] = _TABLES) -> str | None:
    """Tell why a caller is not served; None if it is.

    Args:
        peer: Address and port of the caller, on this machine.
        here: Address and port it connected to.
        refused: User IDs that are not served.
        tables: Where the kernel lists sockets.
    """
    wanted = {(near, far) for near, far in zip(_spellings(peer), _spellings(here), strict=True)}
    for table in tables:
        try:
            rows = table.read_text("ascii").splitlines()[1:]
        except FileNotFoundError:  # a machine without IPv6
            continue
        for row in rows:
            columns = row.split(maxsplit=_COLUMNS)
            if len(columns) >= _COLUMNS and (columns[_LOCAL], columns[_REMOTE]) in wanted:
                if columns[_STATE] != _ESTABLISHED or columns[_INODE] == "0":
                    return "its connection is closed already"
                return f"it runs as user {columns[_UID]}" if int(columns[_UID]) in refused else None
    return "it is not in the kernel's list of sockets"


def _spellings(address: Address) -> tuple[str, ...]:
    """Write an address as the two tables do: words in the machine's byte order; a v6 socket sees v4 as mapped."""
    host, port = address
    packed = ipaddress.ip_address(host).packed
    if len(packed) == 4:  # noqa: PLR2004 - bytes of an IPv4 address
        packed6 = bytes(10) + b"\xff\xff" + packed
        return f"{_words(packed)}:{port:04X}", f"{_words(packed6)}:{port:04X}"
    mapped = ipaddress.IPv6Address(packed).ipv4_mapped
    if mapped is not None:
        return _spellings((str(mapped), port))
    return (f"{_words(packed)}:{port:04X}",) * 2


def _words(packed: bytes) -> str:
    return "".join(f"{word:08X}" for word in struct.unpack(f"={len(packed) // 4}I", packed))

"""Who is at the other end of a connection from this machine: servers of the same Pod are not agents.

A caller is served only if the kernel knows its socket, established and still with an inode (a closed one shows user 0
and inode 0), and the user who made it is not refused. The kernel is asked for that one socket (``sock_diag``), which
takes microseconds whatever others do; where it cannot be asked, ``/proc/net/tcp`` and ``tcp6``, which list them all,
are read instead: there a hostile server that opens thousands of sockets makes everybody wait.
"""

from __future__ import annotations

import ipaddress
import logging
import struct
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from toolman.netlink import ESTABLISHED, CannotAskError, Diagnosis, Found

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection

log = logging.getLogger(__name__)

REFUSALS_INTERVAL = 10.0
"""Seconds between two lines about refused callers."""

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LOCAL, _REMOTE, _STATE, _UID, _INODE = 1, 2, 3, 7, 9  # columns
_COLUMNS = 10

Address = tuple[str, int]


class Lookup:
    """Finds the socket of a caller.

    Args:
        diagnosis: Asks the kernel; None to read its tables.
        tables: Where the kernel lists sockets.
    """

    def __init__(self, diagnosis: Diagnosis | None, tables: tuple[Path, ...] = _TABLES) -> None:
        self._diagnosis = diagnosis
        self._tables = tables

    def find(self, peer: Address, here: Address) -> Found | None:
        """Find the socket at ``peer`` that is connected to ``here``; None if there is none."""
        if self._diagnosis is not None:
            try:
                return self._diagnosis.find(peer, here)
            except CannotAskError as problem:
                if problem.is_lasting:
                    log.warning("callers are looked up in /proc/net/tcp, which is slower: %s", problem)
                    self._diagnosis = None
        return _read(peer, here, self._tables)

    def refusal(self, peer: Address, here: Address, refused: Collection[int]) -> str | None:
        """Tell why a caller is not served; None if it is.

        Args:
            peer: Address and port of the caller, on this machine.
            here: Address and port it connected to.
            refused: User IDs that are not served.
        """
        found = self.find(peer, here)
        if found is None:
            return "it is not in the kernel's list of sockets"
        if found.state != ESTABLISHED or found.inode == 0:
            return "its connection is closed already"
        return f"it runs as user {found.uid}" if found.uid in refused else None


class Doorkeeper:
    """Says of each new connection whether it is served; tells of those that are not, at most one line in a while.

    Args:
        refused: Gives the user IDs that are not served now.
        lookup: Finds who a caller is.
        clock: Seconds, monotonic.
    """

    def __init__(self, refused: Callable[[], Collection[int]], lookup: Lookup, clock: Callable[[], float]) -> None:
        self._refused = refused
        self._lookup = lookup
        self._clock = clock
        self._silent_until = float("-inf")
        self._untold = 0

    def admits(self, transport: asyncio.BaseTransport) -> bool:
        """Decide, once, when a connection is made."""
        refused = self._refused()
        if not refused:
            return True
        peer, here = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        problem: str | None = "it has no address any more"
        if peer and here:
            try:
                problem = self._lookup.refusal(peer[:2], here[:2], refused)
            except OSError as failure:
                problem = f"it cannot be looked up: {failure.strerror}"
        if problem is not None:
            self.note(problem)
        return problem is None

    def note(self, problem: str) -> None:
        """Take note of one who is not served: nobody must be able to fill the log."""
        self._untold += 1
        now = self._clock()
        if now >= self._silent_until:
            log.warning("refused a caller: %s (%d since the last such line)", problem, self._untold)
            self._untold, self._silent_until = 0, now + REFUSALS_INTERVAL


class _Spellings(NamedTuple):
    """An address as the two tables write it."""

    four: str
    six: str


def _read(peer: Address, here: Address, tables: tuple[Path, ...]) -> Found | None:
    wanted = set(zip(_spell(peer), _spell(here), strict=True))
    for table in tables:
        try:
            rows = table.read_text("ascii").splitlines()[1:]
        except FileNotFoundError:  # a machine without IPv6
            continue
        for row in rows:
            columns = row.split(maxsplit=_COLUMNS)
            if len(columns) >= _COLUMNS and (columns[_LOCAL], columns[_REMOTE]) in wanted:
                return Found(int(columns[_STATE], 16), int(columns[_UID]), int(columns[_INODE]))
    return None


def _spell(address: Address) -> _Spellings:
    """Write an address as the tables do: words in the machine's byte order; a v6 socket sees v4 as mapped."""
    host, port = address
    packed = ipaddress.ip_address(host).packed
    if len(packed) == 4:  # noqa: PLR2004 - bytes of an IPv4 address
        packed6 = bytes(10) + b"\xff\xff" + packed
        return _Spellings(f"{_words(packed)}:{port:04X}", f"{_words(packed6)}:{port:04X}")
    mapped = ipaddress.IPv6Address(packed).ipv4_mapped
    if mapped is not None:
        return _spell((str(mapped), port))
    return _Spellings(*(f"{_words(packed)}:{port:04X}",) * 2)


def _words(packed: bytes) -> str:
    return "".join(f"{word:08X}" for word in struct.unpack(f"={len(packed) // 4}I", packed))

"""Asking the kernel about one TCP socket of this machine, over netlink (``sock_diag``): no privilege is needed.

Source: Linux' include/uapi/linux/{netlink,sock_diag,inet_diag}.h, and sock_diag(7).
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from typing import NamedTuple

ESTABLISHED = 1
"""The state of a connection that both sides have made and neither has ended."""

_SOCK_DIAG = 4  # the protocol: NETLINK_SOCK_DIAG
_BY_FAMILY = 20  # the type of a request: SOCK_DIAG_BY_FAMILY
_REQUEST = 1  # the flag NLM_F_REQUEST, alone: one socket and no list
_ERROR = 2  # the type of an answer: NLMSG_ERROR
_ANY_STATE = 0xFFFFFFFF
_NO_COOKIE = 0xFFFFFFFF  # INET_DIAG_NOCOOKIE

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ASKED = struct.Struct("=BBBxI")  # family, protocol, extensions, states
_SOCKET = struct.Struct("!HH16s16s")  # ports and addresses, as they are on the wire
_REST = struct.Struct("=III")  # interface, cookie
_FOUND = struct.Struct("=BBBB48xIIIII")  # family, state, timer, retransmits; expires, queues, user, inode
_STATUS = struct.Struct("=i")
_MAX_ANSWER = 8192

Address = tuple[str, int]


_TRANSIENT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN, errno.EINTR})


class CannotAskError(Exception):
    """The kernel did not answer; the text says why.

    Attributes:
        is_lasting: Whether it never will: it, or what is between it and us, does not know such questions.
    """

    def __init__(self, text: str, *, is_lasting: bool = True) -> None:
        super().__init__(text)
        self.is_lasting = is_lasting


class Found(NamedTuple):
    """A socket: its state, the user who made it, and its inode."""

    state: int
    uid: int
    inode: int


class Diagnosis:
    """Asks, over a socket that is made when it is first needed."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._number = 0
        self._has_answered = False

    def find(self, local: Address, remote: Address) -> Found | None:
        """Find the socket at ``local`` that is connected to ``remote``; None if there is none.

        Raises:
            CannotAskError: The kernel does not answer.
        """
        found = self._ask(local, remote)
        if found is None and not self._has_answered and self._ask(remote, local) is None:
            # "No such socket" is also what a kernel says that cannot look; the other end must be there: it is ours.
            raise CannotAskError("sock_diag does not find toolman's own sockets")
        self._has_answered = True
        return found

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ask(self, local: Address, remote: Address) -> Found | None:
        self._number = (self._number + 1) & 0xFFFFFFFF
        try:
            if self._socket is None:
                kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
                self._socket = socket.socket(socket.AF_NETLINK, kind, _SOCK_DIAG)
            self._socket.send(_question(self._number, local, remote))
            while True:
                answer = self._socket.recv(_MAX_ANSWER)  # it is there: the kernel answers before send returns
                _, kind, _, number, _ = _HEADER.unpack_from(answer)
                if number == self._number:
                    return _read(kind, answer)
        except (OSError, struct.error) as problem:
            self.close()
            number = problem.errno if isinstance(problem, OSError) else None
            raise CannotAskError(str(problem), is_lasting=number not in _TRANSIENT) from None


def _question(number: int, local: Address, remote: Address) -> bytes:
    (family, near), (_, far) = _pack(local[0]), _pack(remote[0])
    body = (
        _ASKED.pack(family, socket.IPPROTO_TCP, 0, _ANY_STATE)
        + _SOCKET.pack(local[1], remote[1], near, far)
        + _REST.pack(0, _NO_COOKIE, _NO_COOKIE)
    )
    return _HEADER.pack(_HEADER.size + len(body), _BY_FAMILY, _REQUEST, number, 0) + body


def _pack(host: str) -> tuple[int, bytes]:
    """Give an address and its family; one of IPv4 that a v6 socket sees as mapped is of IPv4."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    family = socket.AF_INET if isinstance(address, ipaddress.IPv4Address) else socket.AF_INET6
    return family, address.packed.ljust(16, b"\0")


def _read(kind: int, answer: bytes) -> Found | None:
    if kind == _ERROR:
        number = -_STATUS.unpack_from(answer, _HEADER.size)[0]
        if number == errno.ENOENT:
            return None
        raise OSError(number, errno.errorcode.get(number, str(number)))
    _, state, _, _, _, _, _, uid, inode = _FOUND.unpack_from(answer, _HEADER.size)
    return Found(state, uid, inode)

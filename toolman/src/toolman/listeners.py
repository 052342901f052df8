"""The sockets that toolman listens on."""

from __future__ import annotations

import errno
import socket

BACKLOG = 2048
_NO_IPV6 = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})


class CannotListenError(Exception):
    """An address cannot be bound; the text says which and what to do."""


def loopback(port: int) -> list[socket.socket]:
    """Bind 127.0.0.1 and, where the machine has it, ::1: whoever bound the other one would get the agent's traffic.

    Raises:
        CannotListenError: One of them cannot be bound.
    """
    bound = [_bind(socket.AF_INET, "127.0.0.1", port)]
    try:
        bound.append(_bind(socket.AF_INET6, "::1", port))
    except CannotListenError as problem:
        if isinstance(problem.__cause__, OSError) and problem.__cause__.errno in _NO_IPV6:
            return bound
        bound[0].close()
        raise
    return bound


def address(host: str, port: int) -> list[socket.socket]:
    """Bind one address; ``::`` takes IPv4 as well.

    Raises:
        CannotListenError: It cannot be bound.
    """
    return [_bind(socket.AF_INET6 if ":" in host else socket.AF_INET, host, port)]


def _bind(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    try:
        bound = socket.socket(family, socket.SOCK_STREAM)
    except OSError as problem:
        raise CannotListenError(f"cannot listen on {host}: {problem.strerror}") from problem
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
        bound.bind((host, port))
        bound.listen(BACKLOG)  # who connects from now on waits for the first answer instead of being refused
        bound.settimeout(0)
    except OSError as problem:
        bound.close()
        advice = (
            "; something else listens there: end it or choose another port" if problem.errno == errno.EADDRINUSE else ""
        )
        raise CannotListenError(f"cannot listen on {host} port {port}: {problem.strerror}{advice}") from problem
    return bound

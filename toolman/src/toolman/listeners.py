"""The sockets that toolman listens on."""

from __future__ import annotations

import errno
import socket

BACKLOG = 2048
_ANY = frozenset({"0.0.0.0", "::"})  # noqa: S104 - what people write for all addresses
_NO_FAMILY = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})


class CannotListenError(Exception):
    """An address cannot be bound; the text says which and what to do."""


def loopback(port: int) -> list[socket.socket]:
    """Bind 127.0.0.1 and ::1, as far as there are both: whoever bound the other one would get the agent's traffic.

    Raises:
        CannotListenError: One of them cannot be bound.
    """
    return _both("127.0.0.1", "::1", port)


def address(host: str, port: int) -> list[socket.socket]:
    """Bind one address. ``0.0.0.0`` and ``::`` mean all addresses of the machine, IPv4 and IPv6 alike.

    A Pod may have addresses of either kind, and the kubelet asks at the first one.

    Raises:
        CannotListenError: It cannot be bound.
    """
    if host not in _ANY:
        return [_bind(socket.AF_INET6 if ":" in host else socket.AF_INET, host, port)]
    return _both("0.0.0.0", "::", port)  # noqa: S104 - as the configuration says


def _both(four: str, six: str, port: int) -> list[socket.socket]:
    """Bind an address of each family, where the machine has them."""
    bound: list[socket.socket] = []
    missing: CannotListenError | None = None
    for family, host in ((socket.AF_INET, four), (socket.AF_INET6, six)):
        try:
            bound.append(_bind(family, host, port))
        except CannotListenError as problem:
            if not isinstance(problem.__cause__, OSError) or problem.__cause__.errno not in _NO_FAMILY:
                for each in bound:
                    each.close()
                raise
            missing = problem
    if not bound and missing is not None:
        raise missing
    return bound


def _bind(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    try:
        bound = socket.socket(family, socket.SOCK_STREAM)
    except OSError as problem:
        raise CannotListenError(f"cannot listen on {host}: {problem.strerror}") from problem
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
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

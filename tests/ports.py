"""Numbers of ports for what binds them itself, a moment later.

None of those that the kernel gives to outgoing connections: with an API server's hundreds, one of them would now and
then be in the way. None twice, either, for two servers of one test.
"""

from __future__ import annotations

import itertools
import os
import socket

FIRST, COUNT = 20_000, 10_000
"""Below those for outgoing connections (32768 on) and for services of a cluster (30000 on), above kubelets'."""

_numbers = itertools.count(int.from_bytes(os.urandom(4)))


def free() -> int:
    """Give a port that nobody listens on, on either loopback address.

    Raises:
        OSError: There is none.
    """
    for number in itertools.islice(_numbers, COUNT):
        port = FIRST + number % COUNT
        if _is_free(socket.AF_INET, "127.0.0.1", port) and _is_free(socket.AF_INET6, "::1", port):
            return port
    raise OSError(f"no port from {FIRST} to {FIRST + COUNT} is free")


def _is_free(family: socket.AddressFamily, host: str, port: int) -> bool:
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True

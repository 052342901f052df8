"""A TCP proxy before a registry that fails when told: answers with an error, cuts connections off, calls somebody."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECONDS = 60.0
"""For a read: nothing in a test is silent for longer."""
_RESET = struct.pack("ii", 1, 0)


@dataclass
class Faults:
    """What goes wrong, in this order; then all is well.

    Attributes:
        answers: Statuses, each given to one connection instead of passing it on.
        resets: How many connections are cut off.
        after: Bytes towards the registry, over all connections, after which ``then`` is called once.
        then: What happens there.
    """

    answers: list[int] = field(default_factory=list)
    resets: int = 0
    after: int = 0
    then: Callable[[], None] = lambda: None
    seen: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextlib.contextmanager
def before(target: str, faults: Faults) -> Iterator[str]:
    """Run the proxy for the time of the block; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, target, faults), daemon=True).start()
        host, port = listener.getsockname()
        yield f"{host}:{port}"
        listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, target: str, faults: Faults) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(client, target, faults), daemon=True).start()


def _serve(client: socket.socket, target: str, faults: Faults) -> None:
    client.settimeout(SECONDS)
    with client, contextlib.suppress(OSError):
        first = client.recv(65536)
        if first[:1] == b"\x16":  # TLS is tried first; refusing it is no fault
            client.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
            return
        with faults.lock:
            status = faults.answers.pop(0) if faults.answers else 0
            reset = not status and faults.resets > 0
            faults.resets -= reset
        if status:
            client.sendall(b"HTTP/1.1 %d Fault\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
        elif reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        else:
            _pass(client, first, target, faults)


def _pass(client: socket.socket, first: bytes, target: str, faults: Faults) -> None:
    host, _, port = target.rpartition(":")
    with socket.create_connection((host, int(port)), SECONDS) as server:
        back = threading.Thread(target=_pump, args=(server, client, lambda _: None), daemon=True)
        back.start()
        _count(first, faults)
        server.sendall(first)
        _pump(client, server, lambda data: _count(data, faults))
        back.join(SECONDS)


def _pump(source: socket.socket, sink: socket.socket, count: Callable[[bytes], None]) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            count(data)
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _count(data: bytes, faults: Faults) -> None:
    with faults.lock:
        faults.seen += len(data)
        due = faults.after and faults.seen >= faults.after
        if due:
            faults.after = 0
    if due:
        faults.then()

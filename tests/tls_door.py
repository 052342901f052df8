"""A door with TLS and client certificates before a Docker Engine's socket, as ``dockerd --tlsverify`` has one."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.pki import Authority

SECONDS = 60.0


def certificates(authority: Authority, folder: Path) -> Path:
    """Write what ``DOCKER_CERT_PATH`` must name."""
    authority.client("client", "client")
    folder.mkdir()
    for source, name in (("ca.crt", "ca.pem"), ("client.crt", "cert.pem"), ("client.key", "key.pem")):
        shutil.copy(authority.folder / source, folder / name)
    return folder


@contextlib.contextmanager
def opened(authority: Authority, target: str) -> Iterator[str]:
    """Open it for the time of the block; gives the value for ``DOCKER_HOST``."""
    authority.server("door", "/CN=door", ["IP:127.0.0.1"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.certificate))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(authority.folder / "door.crt", authority.folder / "door.key")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, context, target), daemon=True).start()
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, context: ssl.SSLContext, target: str) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(client, context, target), daemon=True).start()


def _serve(raw: socket.socket, context: ssl.SSLContext, target: str) -> None:
    raw.settimeout(SECONDS)
    with (
        raw,
        contextlib.suppress(OSError),
        context.wrap_socket(raw, server_side=True) as client,
        socket.socket(socket.AF_UNIX) as engine,
    ):
        engine.connect(target)
        back = threading.Thread(target=_pump, args=(engine, client), daemon=True)
        back.start()
        _pump(client, engine)
        back.join(SECONDS)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)

"""A proxy before the Docker Engine's socket that fails when told: cuts connections, hangs, answers with an error."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Mood = Literal["well", "gone", "hangs", "fails"]
SECONDS = 120.0
_ERROR = b'{"message": "something is wrong inside"}'
_FAILS = b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(_ERROR),
    _ERROR,
)


class EngineProxy:
    """Passes connections on to the engine, as long as it is well.

    Attributes:
        mood: Of the connections to come.
        host: The value for ``DOCKER_HOST``.
    """

    def __init__(self, path: Path, target: str) -> None:
        self.mood: Mood = "well"
        self.host = f"unix://{path}"
        self._target = target
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, mood: Mood = "well") -> None:
        """End all connections, as an engine does that is stopped; the next ones are of this mood."""
        self.mood = mood
        with self._lock:
            for end in self._open:
                _shut(end)

    def close(self) -> None:
        """End it."""
        _shut(self._listener)
        self._listener.close()
        self.cut("gone")

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(SECONDS)
        with client, socket.socket(socket.AF_UNIX) as engine, contextlib.suppress(OSError):
            with self._lock:
                self._open |= {client, engine}
            try:
                if self.mood == "well":
                    engine.connect(self._target)
                    back = threading.Thread(target=_pump, args=(engine, client), daemon=True)
                    back.start()
                    _pump(client, engine)
                    back.join(SECONDS)
                elif self.mood == "hangs":
                    while client.recv(65536):
                        pass
                elif self.mood == "fails":
                    client.recv(65536)
                    client.sendall(_FAILS)
            finally:
                with self._lock:
                    self._open -= {client, engine}


@contextlib.contextmanager
def before(target: str, folder: Path) -> Iterator[EngineProxy]:
    """Run it for the time of the block."""
    proxy = EngineProxy(folder / "engine.sock", target)
    try:
        yield proxy
    finally:
        proxy.close()


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)

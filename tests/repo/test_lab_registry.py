from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest
from lab import registry

if TYPE_CHECKING:
    from collections.abc import Iterator


class Handler(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/v2/" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {})) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield listening
        listening.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "is_registry"), [(200, True), (401, True), (404, False), (500, False)])
def test_a_registry_is_known_by_its_answer(
    server: HTTPServer,
    status: int,
    is_registry: bool,  # noqa: FBT001 - a table's column
) -> None:
    server.RequestHandlerClass.status = status  # type: ignore[attr-defined] # Handler's, behind http.server's type
    assert registry.answers(f"127.0.0.1:{server.server_port}") == is_registry


def test_a_port_where_nobody_listens_is_no_registry() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        assert not registry.answers(f"127.0.0.1:{reserved.getsockname()[1]}")


def test_a_port_that_a_stranger_has_is_left_to_him(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        taken = stranger.getsockname()[1]
        monkeypatch.setattr(registry, "FIRST_PORT", taken)
        assert registry.free_port() not in {0, taken}


def test_the_usual_port_is_taken_when_it_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    monkeypatch.setattr(registry, "FIRST_PORT", port)
    assert registry.free_port() == port

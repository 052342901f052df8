"""Engines that are not there, too old or badly named; a real one is in tests/integration/test_engine.py."""

from __future__ import annotations

import contextlib
import gc
import http.server
import json
import threading
from typing import TYPE_CHECKING

import pytest
from mcp_operator.images.contract import BuildError
from mcp_operator.images.engine import Engine
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.requirement("B-10"),
    # Docker's client forgets the socket with which it could not connect.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)


def refused() -> BuildError:
    with pytest.raises(BuildError) as caught:
        Engine()
    error = caught.value.with_traceback(None)
    assert error.hint
    error.__cause__ = error.__context__ = None
    gc.collect()  # while the warning is expected
    return error


def test_a_socket_that_is_not_there_means_that_docker_is_not_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    error = refused()

    assert (error.reason, error.message) == (Reason.ENGINE_UNAVAILABLE, "Docker is not running")
    assert error.hint == "Start it or set DOCKER_HOST."
    assert error.transient


@pytest.mark.parametrize("host", ["htp://x", "ssh://nobody@127.0.0.1:1", "tcp://127.0.0.1:99999", "nonsense://"])
def test_a_host_that_is_none_is_told_as_a_mistake(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)

    assert "DOCKER_HOST" in f"{refused().message} {refused().hint}"


def test_certificates_that_are_missing_are_told_as_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    error = refused()

    assert "certificates for Docker cannot be read" in error.message
    assert not error.transient


class Old(http.server.BaseHTTPRequestHandler):
    def __getattr__(self, name: str) -> object:
        if name == "do_GET":
            return self.answer
        raise AttributeError(name)

    def answer(self) -> None:
        body = json.dumps({"Version": "19.03.15", "ApiVersion": "1.44", "MinAPIVersion": "1.12"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def old_engine() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Old) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_an_engine_that_is_too_old_is_refused_with_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    with old_engine() as port:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
        error = refused()

    assert error.reason == Reason.ENGINE_TOO_OLD
    assert "19.03.15" in error.message
    assert "20.10" in error.message

from __future__ import annotations

import socket
import struct
import threading
from typing import Any, cast

import pytest
from mcp_operator.images import sandbox
from mcp_operator.images.budget import Budget
from mcp_operator.images.contract import BuildCancelled
from mcp_operator.images.stored import Image

STDERR = 2


def test_the_last_words_of_a_server_are_kept_without_a_line_end() -> None:
    ours, its = socket.socketpair()
    with ours, its:
        server = sandbox.Sandbox(cast("Any", None), "id", ours)
        for words in (b"starting\nno API k", b"ey was given"):
            its.sendall(struct.pack(">BxxxL", STDERR, len(words)) + words)
        its.close()
        with pytest.raises(sandbox.Ended):
            server.read(Budget(5))
    assert server.stderr == ["starting", "no API key was given"]


@pytest.mark.requirement("B-13")
def test_a_cancel_is_noticed_while_a_server_does_not_read() -> None:
    ours, its = socket.socketpair()
    cancelled = threading.Event()
    threading.Timer(0.3, cancelled.set).start()
    with ours, its, pytest.raises(BuildCancelled):
        sandbox.Sandbox(cast("Any", None), "id", ours).write(b"x" * (1 << 24), Budget(60, cancelled))


def test_a_server_that_reads_no_more_is_told_from_one_that_takes_its_time() -> None:
    ours, its = socket.socketpair()
    with ours, its:
        server = sandbox.Sandbox(cast("Any", None), "id", ours)
        server.write(b"hello", Budget(5))
        assert its.recv(100) == b"hello"
        its.close()
        with pytest.raises(sandbox.Ended):
            server.write(b"x" * (1 << 24), Budget(5))


class Images:
    """An engine that knows what is said of one image, and starts nothing."""

    def __init__(self, **env: str) -> None:
        self.env = env

    def image(self, _name: str) -> Image:
        return Image(id="sha256:1", size=1, env=self.env)

    def create(self, *_: object) -> str:
        raise NotImplementedError


def test_an_official_image_is_not_started_to_know_its_python() -> None:
    engine = Images(PYTHON_VERSION="3.12.7", PYTHON_SHA256="0")

    found = sandbox.python(cast("Any", engine), "python:3.12-slim", {}, Budget(5))

    assert found == sandbox.Interpreter(path="/usr/local/bin/python3", version="3.12.7")


@pytest.mark.parametrize("env", [{}, {"PYTHON_VERSION": "3.12.7"}, {"PYTHON_VERSION": "3.12", "PYTHON_SHA256": "0"}])
def test_any_other_image_is_asked_for_its_python(env: dict[str, str]) -> None:
    with pytest.raises(NotImplementedError):
        sandbox.python(cast("Any", Images(**env)), "base:1", {}, Budget(5))

from __future__ import annotations

import socket
import struct
import threading
from typing import Any, cast

import pytest
from mcp_operator.images import sandbox
from mcp_operator.images.budget import Budget
from mcp_operator.images.contract import BuildCancelled

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

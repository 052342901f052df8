from __future__ import annotations

import socket
import struct
from typing import Any, cast

import pytest
from mcp_operator.images import sandbox
from mcp_operator.images.budget import Budget

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

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from toolman_harness import SCRIPTED

from toolman import callers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from toolman_harness import Starter

pytestmark = pytest.mark.requirement("F-06", "F-07")

ASK = (
    "import encodings.idna, os, socket, sys\n"  # what it needs later may not be readable for the other user
    "os.setuid(int(sys.argv[2]))\n"
    "s = socket.create_connection((sys.argv[3], int(sys.argv[1])), 10)\n"
    "s.sendall(b'GET / HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n')\n"
    "try: print(s.recv(1000).split(b'\\r\\n')[0].decode())\n"
    "except ConnectionResetError: print('reset')\n"
)


@pytest.fixture(params=["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def connection(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    host = request.param
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.AF_INET if "127" in host else socket.AF_INET6
    bound = ("127.0.0.1" if "127" in host else "::1", 0)
    with socket.create_server(bound, family=listening) as server, socket.socket(family) as client:
        client.connect((host, server.getsockname()[1]))
        served, _ = server.accept()
        with served:
            yield client, served


def ask(served: socket.socket, *refused: int) -> str | None:
    peer, here = served.getpeername(), served.getsockname()
    return callers.refusal(peer[:2], here[:2], refused)


def test_the_user_of_a_caller_is_found(connection: tuple[socket.socket, socket.socket]) -> None:
    _, served = connection
    assert ask(served, 12345) is None
    assert ask(served, os.getuid()) == f"it runs as user {os.getuid()}"


def test_a_caller_that_has_gone_is_refused(connection: tuple[socket.socket, socket.socket]) -> None:
    client, served = connection
    client.close()
    assert ask(served, 12345) in {"its connection is closed already", "it is not in the kernel's list of sockets"}


def test_a_caller_that_is_nowhere_is_refused() -> None:
    assert callers.refusal(("127.0.0.1", 1), ("127.0.0.1", 2), [5]) == "it is not in the kernel's list of sockets"


def test_a_machine_without_ipv6_is_fine(connection: tuple[socket.socket, socket.socket]) -> None:
    _, served = connection
    tables = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"), Path("/proc/net/absent"))
    assert callers.refusal(served.getpeername()[:2], served.getsockname()[:2], [12345], tables) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_refused_user_gets_no_answer_and_others_do(starter: Starter, host: str) -> None:
    uid = 2_000_001_000
    server = {"name": "s", "upstream": {"kind": "process", "command": SCRIPTED}}
    toolman, client, _ = starter.serve({"listen": {"refuseUids": [uid]}, "servers": [server]})
    port = str(client.http.base_url.port)

    def answer(user: int) -> str:
        command = [sys.executable, "-c", ASK, port, str(user), host]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    assert answer(uid) in {"reset", ""}
    toolman.said(f"refused a caller: it runs as user {uid}")
    assert answer(uid + 1) == "HTTP/1.1 404 Not Found"
    assert client.request("ping")["result"] == {}

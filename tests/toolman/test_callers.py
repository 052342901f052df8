from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from toolman.callers import REFUSALS_INTERVAL, Doorkeeper, Lookup
from toolman.netlink import CannotAskError, Diagnosis
from toolman_harness import SCRIPTED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from toolman_harness import Starter

pytestmark = pytest.mark.requirement("F-06", "F-07", "T-35")

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


@pytest.fixture(params=["kernel", "tables"])
def lookup(request: pytest.FixtureRequest) -> Iterator[Lookup]:
    diagnosis = Diagnosis()
    yield Lookup(diagnosis if request.param == "kernel" else None)
    diagnosis.close()


def ask(lookup: Lookup, served: socket.socket, *refused: int) -> str | None:
    return lookup.refusal(served.getpeername()[:2], served.getsockname()[:2], refused)


def test_the_user_of_a_caller_is_found(lookup: Lookup, connection: tuple[socket.socket, socket.socket]) -> None:
    _, served = connection
    assert ask(lookup, served, 12345) is None
    assert ask(lookup, served, os.getuid()) == f"it runs as user {os.getuid()}"


def test_a_caller_that_has_gone_is_refused(lookup: Lookup, connection: tuple[socket.socket, socket.socket]) -> None:
    client, served = connection
    client.close()
    assert ask(lookup, served, 12345) in {
        "its connection is closed already",
        "it is not in the kernel's list of sockets",
    }


def test_a_caller_that_is_nowhere_is_refused(lookup: Lookup) -> None:
    found = lookup.refusal(("127.0.0.1", 1), ("127.0.0.1", 2), [5])
    assert found == "it is not in the kernel's list of sockets"


def test_a_machine_without_ipv6_is_fine(connection: tuple[socket.socket, socket.socket]) -> None:
    _, served = connection
    tables = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"), Path("/proc/net/absent"))
    assert ask(Lookup(None, tables), served, 12345) is None


class Mute(Diagnosis):
    """A kernel that does not answer."""

    def __init__(self, *, is_lasting: bool) -> None:
        super().__init__()
        self.is_lasting = is_lasting
        self.asked = 0

    def find(self, local: tuple[str, int], remote: tuple[str, int]) -> None:
        del local, remote
        self.asked += 1
        raise CannotAskError("no", is_lasting=self.is_lasting)


@pytest.mark.parametrize(("is_lasting", "asked"), [(True, 1), (False, 2)])
def test_where_the_kernel_does_not_answer_its_tables_are_read(
    connection: tuple[socket.socket, socket.socket], *, is_lasting: bool, asked: int
) -> None:
    _, served = connection
    mute = Mute(is_lasting=is_lasting)
    lookup = Lookup(mute)
    for _ in range(2):
        assert ask(lookup, served, 12345) is None
        assert ask(lookup, served, os.getuid()) == f"it runs as user {os.getuid()}" or not is_lasting
    assert mute.asked == (asked if is_lasting else 4)


def test_thousands_of_strangers_sockets_do_not_hide_a_caller(
    lookup: Lookup, connection: tuple[socket.socket, socket.socket]
) -> None:
    _, served = connection
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=2048))
        for _ in range(300):
            stack.enter_context(socket.create_connection(server.getsockname()))
            stack.enter_context(server.accept()[0])
        assert ask(lookup, served, 12345) is None
        assert ask(lookup, served, os.getuid()) == f"it runs as user {os.getuid()}"


class Transport:
    """What is asked of a connection for its addresses."""

    def __init__(self, peer: object = ("127.0.0.1", 1), here: object = ("127.0.0.1", 2)) -> None:
        self.names = {"peername": peer, "sockname": here}

    def get_extra_info(self, name: str) -> object:
        return self.names[name]


class Broken(Lookup):
    """Cannot look."""

    def find(self, peer: object, here: object) -> None:
        del peer, here
        raise OSError(24, "Too many open files")


@pytest.mark.parametrize(
    ("transport", "lookup", "reason"),
    [
        (Transport(None), Lookup(None), "it has no address any more"),
        (Transport(), Lookup(None), "not in the kernel's list"),
        (Transport(), Broken(None), "cannot be looked up: Too many open files"),
    ],
)
def test_who_cannot_be_told_is_refused(
    transport: Transport, lookup: Lookup, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert not Doorkeeper(lambda: (5,), lookup, lambda: 0.0).admits(transport)  # type: ignore[arg-type]  # it has what is asked for
    assert reason in caplog.text


def test_nobody_is_looked_up_where_nobody_is_refused() -> None:
    assert Doorkeeper(lambda: (), Broken(None), lambda: 0.0).admits(Transport())  # type: ignore[arg-type]  # as above


def test_a_flood_of_refused_callers_is_a_line_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "toolman.callers")
    now = 100.0
    doorkeeper = Doorkeeper(lambda: (7,), Lookup(None), lambda: now)
    for _ in range(1000):
        doorkeeper.note("it runs as user 7")
    now += REFUSALS_INTERVAL
    doorkeeper.note("it runs as user 7")
    assert [record.message.split("(")[1] for record in caplog.records] == [
        "1 since the last such line)",
        "1000 since the last such line)",
    ]


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
    assert "looked up in /proc" not in toolman.log

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import TYPE_CHECKING, Any

import pytest
from toolman.netlink import CannotAskError, Diagnosis

from toolman import netlink

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.requirement("T-35")


@pytest.fixture
def diagnosis() -> Iterator[Diagnosis]:
    found = Diagnosis()
    yield found
    found.close()


@pytest.fixture
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.connect(server.getsockname())
        served, _ = server.accept()
        with served:
            yield client, served


def test_a_socket_is_found_with_its_user_and_inode(
    diagnosis: Diagnosis, connection: tuple[socket.socket, socket.socket]
) -> None:
    client, served = connection
    found = diagnosis.find(served.getpeername(), served.getsockname())
    assert found == (netlink.ESTABLISHED, os.getuid(), os.fstat(client.fileno()).st_ino)


def test_a_socket_that_is_not_there_is_not_found(
    diagnosis: Diagnosis, connection: tuple[socket.socket, socket.socket]
) -> None:
    _, served = connection
    assert diagnosis.find(served.getpeername(), served.getsockname()) is not None
    assert diagnosis.find(("127.0.0.1", 1), ("127.0.0.1", 2)) is None


def test_a_listening_socket_is_not_taken_for_a_connection(
    diagnosis: Diagnosis, connection: tuple[socket.socket, socket.socket]
) -> None:
    _, served = connection
    found = diagnosis.find(served.getsockname(), ("127.0.0.1", 1))
    assert found is not None
    assert found.state != netlink.ESTABLISHED


def test_a_kernel_that_never_finds_anything_is_not_believed(diagnosis: Diagnosis) -> None:
    with pytest.raises(CannotAskError, match="own sockets") as caught:
        diagnosis.find(("127.0.0.1", 1), ("127.0.0.1", 2))
    assert caught.value.is_lasting


@pytest.mark.parametrize(
    ("number", "is_lasting"), [(errno.EPERM, True), (errno.EPROTONOSUPPORT, True), (errno.EMFILE, False)]
)
def test_a_kernel_that_refuses_is_told_from_one_that_is_short_of_something(
    diagnosis: Diagnosis, monkeypatch: pytest.MonkeyPatch, number: int, *, is_lasting: bool
) -> None:
    def refuse(*_: object) -> Any:  # noqa: ANN401
        raise OSError(number, "no")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(CannotAskError) as caught:
        diagnosis.find(("127.0.0.1", 1), ("127.0.0.1", 2))
    assert caught.value.is_lasting is is_lasting


def test_an_answer_that_is_an_error_says_which() -> None:
    header = struct.pack("=IHHII", 20, 2, 0, 1, 0)
    with pytest.raises(OSError, match="EPERM"):
        netlink._read(2, header + struct.pack("=i", -errno.EPERM))
    assert netlink._read(2, header + struct.pack("=i", -errno.ENOENT)) is None

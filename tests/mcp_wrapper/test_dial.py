from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from mcp_wrapper import dial, lean, loop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcp_wrapper.dial import Preparation, Step
    from mcp_wrapper.endpoint import Address


def dialled(addresses: list[Address], prepare: Preparation | None = None) -> object:
    """Dial, and give the stream or the reason, and whether that is for good."""
    outcomes: list[object] = []
    waiting = loop.Loop()

    def connected(stream: dial.Stream) -> None:
        outcomes.append(stream)
        waiting.stop()

    def failed(reason: str, for_good: bool) -> None:  # noqa: FBT001 - a callback
        outcomes.append((reason, for_good))
        waiting.stop()

    dialling = dial.Dial(waiting, addresses, prepare, connected, failed)
    waiting.after(0, dialling.next)
    waiting.run()
    (outcome,) = outcomes
    return outcome


@pytest.fixture(name="address")
def fixture_address() -> Iterator[Address]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield socket.AF_INET, listener.getsockname()


@pytest.fixture(name="nobody")
def fixture_nobody() -> Address:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return socket.AF_INET, listener.getsockname()


def test_the_next_address_is_tried_when_nobody_listens(address: Address, nobody: Address) -> None:
    stream = dialled([nobody, address])
    assert isinstance(stream, lean.socket.socket)
    assert stream.getpeername() == address[1]
    stream.close()


def test_without_anybody_the_reason_is_the_systems(nobody: Address) -> None:
    assert dialled([nobody]) == ("connection refused", False)


def refusing(reason: str, *, for_good: bool) -> Preparation:
    def prepare(connection: socket.socket) -> Step:
        yield connection, 0.0
        yield connection, dial.TO_WRITE
        raise dial.NotUsableError(reason, for_good=for_good)

    return prepare


def test_what_was_found_at_an_address_says_more_than_that_nobody_is_at_another(
    address: Address, nobody: Address
) -> None:
    assert dialled([address, nobody], refusing("not toolman", for_good=False)) == ("not toolman", False)


def test_a_reason_that_is_for_good_ends_it_at_once(address: Address) -> None:
    assert dialled([address, address], refusing("no trust", for_good=True)) == ("no trust", True)


def test_a_peer_that_says_nothing_is_given_up(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    def patient(connection: socket.socket) -> Step:
        while True:
            yield connection, dial.TO_READ

    monkeypatch.setattr(dial, "CONNECT_SECONDS", 0.05)
    assert dialled([address], patient) == ("connection timed out", False)

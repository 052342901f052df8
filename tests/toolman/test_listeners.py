from __future__ import annotations

import errno
import socket

import ports
import pytest

from toolman import listeners

pytestmark = pytest.mark.requirement("T-35")


def reached(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), 5):
            return True
    except ConnectionRefusedError:
        return False


def close(bound: list[socket.socket]) -> None:
    for each in bound:
        each.close()


def test_both_loopback_addresses_are_bound() -> None:
    port = ports.free()
    bound = listeners.loopback(port)
    assert [each.getsockname()[0] for each in bound] == ["127.0.0.1", "::1"]
    assert reached("127.0.0.1", port)
    assert reached("::1", port)
    close(bound)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104 - for a moment
def test_all_addresses_are_those_of_both_families(host: str) -> None:
    port = ports.free()
    bound = listeners.address(host, port)
    assert reached("127.0.0.1", port)
    assert reached("::1", port)
    close(bound)


def test_one_address_is_one_address() -> None:
    port = ports.free()
    bound = listeners.address("::1", port)
    assert not reached("127.0.0.1", port)
    close(bound)


@pytest.mark.parametrize("taken", ["127.0.0.1", "::1"])
def test_one_loopback_address_without_the_other_is_not_enough(taken: str) -> None:
    port = ports.free()
    other = listeners.address(taken, port)
    with pytest.raises(listeners.CannotListenError, match="something else listens there"):
        listeners.loopback(port)
    assert not reached("::1" if taken == "127.0.0.1" else "127.0.0.1", port)
    close(other)


@pytest.mark.parametrize("missing", [socket.AF_INET, socket.AF_INET6])
def test_a_machine_without_one_family_has_the_other(
    monkeypatch: pytest.MonkeyPatch, missing: socket.AddressFamily
) -> None:
    real = socket.socket

    def make(family: int, kind: int) -> socket.socket:
        if family == missing:
            raise OSError(errno.EAFNOSUPPORT, "no such family")
        return real(family, kind)

    port = ports.free()
    monkeypatch.setattr(socket, "socket", make)
    bound = listeners.loopback(port)
    assert [each.family for each in bound] == [socket.AF_INET6 if missing == socket.AF_INET else socket.AF_INET]
    close(bound)


def test_a_machine_without_any_cannot_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise OSError(errno.EAFNOSUPPORT, "no such family")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(listeners.CannotListenError):
        listeners.loopback(3000)

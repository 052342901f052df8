"""Certificates of shared servers are trusted by agents, renewed in time, and never in the wrong order."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest
from mcp_operator import certificates
from mcp_operator.certificates import CERTIFICATE, KEY, NEXT_CERTIFICATE, PREVIOUS, Pair

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requirement("O-04")

HOSTS = ["git-guard.team.svc"]
NOW = dt.datetime.now(dt.UTC)


def stored(pair: Pair) -> dict[str, bytes]:
    return {CERTIFICATE: pair.certificate, KEY: pair.key}


def handshake(folder: Path, pair: Pair, trusted: str, host: str = HOSTS[0]) -> None:
    """Shake hands as toolman and an agent's toolman do."""
    (folder / "crt").write_bytes(pair.certificate)
    (folder / "key").write_bytes(pair.key)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(folder / "crt", folder / "key")
    asking = ssl.create_default_context(cadata=trusted)
    ours, theirs = socket.socketpair()

    def answer() -> None:
        try:
            serving.wrap_socket(theirs, server_side=True).close()
        except (ssl.SSLError, OSError):
            theirs.close()

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        asking.wrap_socket(ours, server_hostname=host).close()
    finally:
        ours.close()
        thread.join(10)


def test_an_agent_trusts_a_leaf_under_its_own_name_alone(tmp_path: Path) -> None:
    authority = certificates.authority({}, NOW)
    leaf = certificates.leaf({}, authority, HOSTS, NOW)
    handshake(tmp_path, leaf, certificates.bundle(authority))
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tmp_path, leaf, certificates.bundle(authority), "other.team.svc")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tmp_path, leaf, certificates.bundle(certificates.authority({}, NOW)))


def test_what_is_good_stays() -> None:
    authority = certificates.authority({}, NOW)
    leaf = certificates.leaf({}, authority, HOSTS, NOW)
    later = NOW + dt.timedelta(days=59)
    assert certificates.authority(authority, later) == authority
    assert certificates.leaf(stored(leaf), authority, HOSTS, later) == leaf


@pytest.mark.parametrize("days", [61, 1000])
def test_a_leaf_is_renewed_before_its_end(days: int) -> None:
    authority = certificates.authority({}, NOW)
    leaf = certificates.leaf({}, authority, HOSTS, NOW)
    assert certificates.leaf(stored(leaf), authority, HOSTS, NOW + dt.timedelta(days=days)) != leaf


def test_a_leaf_that_does_not_fit_is_replaced() -> None:
    authority = certificates.authority({}, NOW)
    leaf = certificates.leaf({}, authority, HOSTS, NOW)
    other = certificates.leaf({}, certificates.authority({}, NOW), HOSTS, NOW)
    for wrong in (stored(other), {CERTIFICATE: leaf.certificate, KEY: other.key}, {CERTIFICATE: b"x", KEY: b"y"}):
        assert certificates.leaf(wrong, authority, HOSTS, NOW).certificate not in wrong.values()
    assert certificates.leaf(stored(leaf), authority, ["other"], NOW) != leaf


def test_a_new_authority_is_trusted_before_it_signs_and_the_old_one_after_it(tmp_path: Path) -> None:
    first = certificates.authority({}, NOW)
    leaf = certificates.leaf({}, first, HOSTS, NOW)
    due = NOW + dt.timedelta(days=certificates.AUTHORITY_DAYS - certificates.AUTHORITY_RENEWAL_DAYS + 1)
    both = certificates.authority(first, due)
    assert both[CERTIFICATE] == first[CERTIFICATE]
    assert certificates.authority(both, due + dt.timedelta(hours=23)) == both
    promoted = certificates.authority(both, due + dt.timedelta(hours=25))
    assert promoted[CERTIFICATE] == both[NEXT_CERTIFICATE]
    assert promoted[PREVIOUS] == first[CERTIFICATE]
    assert set(certificates.bundle(promoted)) == set(certificates.bundle(both))
    handshake(tmp_path, leaf, certificates.bundle(promoted))
    gone = NOW + dt.timedelta(days=certificates.AUTHORITY_DAYS + 1)
    assert PREVIOUS not in certificates.authority(promoted, gone)


@pytest.mark.parametrize("broken", [{}, {CERTIFICATE: b"x", KEY: b"y"}, {CERTIFICATE: b"x"}])
def test_an_authority_that_cannot_be_used_is_made_anew(broken: dict[str, bytes]) -> None:
    made = certificates.authority(broken, NOW)
    assert certificates.leaf({}, made, HOSTS, NOW).certificate


def test_keys_are_not_shown() -> None:
    assert "PRIVATE" not in repr(certificates.leaf({}, certificates.authority({}, NOW), HOSTS, NOW))

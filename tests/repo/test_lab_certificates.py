from __future__ import annotations

from lab import certificates


def pem(content: str) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{content}\n-----END CERTIFICATE-----\n"


def test_only_what_is_not_known_is_beyond() -> None:
    trusted = f"# a comment\n{pem('one')}{pem('two')}{pem('three')}"
    assert certificates.beyond(trusted, pem("one") + pem("three")) == [pem("two")]


def test_the_same_certificate_in_other_lines_is_known() -> None:
    assert certificates.beyond(pem("MIIB\nAAAA"), pem("MIIBAA\nAA")) == []


def test_a_certificate_that_is_there_twice_counts_once() -> None:
    assert certificates.beyond(pem("one") * 2, "") == [pem("one")]

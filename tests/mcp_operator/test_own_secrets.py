"""The operator's own Secrets are made once, read afterwards, and renewed in time."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from fake_builder import FakeClock
from fake_cluster import FakeCluster
from mcp_operator import certificates, cluster, names
from mcp_operator.own_secrets import Authority, ReportTokens


@pytest.mark.requirement("O-03")
def test_the_key_of_the_tokens_is_made_once_and_survives_a_restart() -> None:
    api = FakeCluster()
    first = ReportTokens(api, "mcp-system")
    token = first.token("uid")
    assert ReportTokens(api, "mcp-system").token("uid") == token
    assert api.writes == ["create own Secret"]
    assert first.digest("uid") == hashlib.sha256(token.encode()).hexdigest()
    assert first.token("other") != token


@pytest.mark.requirement("O-03")
def test_of_two_that_make_a_key_at_the_same_time_the_first_counts() -> None:
    api = FakeCluster()
    late = ReportTokens(api, "mcp-system", lambda size: _interloper(api, size))
    assert late.token("uid") == ReportTokens(api, "mcp-system").token("uid")


def _interloper(api: FakeCluster, size: int) -> bytes:
    api.own_secrets["mcp-system", names.REPORT_SECRET] = {names.REPORT_KEY: b"theirs"}
    return b"x" * size


@pytest.mark.requirement("O-03")
def test_a_secret_without_a_key_says_what_to_do() -> None:
    api = FakeCluster()
    api.own_secrets["mcp-system", names.REPORT_SECRET] = {}
    with pytest.raises(cluster.InvalidError, match="delete it"):
        ReportTokens(api, "mcp-system").token("uid")


@pytest.mark.requirement("O-04")
def test_the_authority_is_made_once_and_renewed_in_time() -> None:
    api, clock = FakeCluster(), FakeClock()
    authority = Authority(api, "mcp-system", clock)
    first = authority.current()
    assert Authority(api, "mcp-system", clock).current() == first
    assert api.writes == ["create own Secret"]
    clock.now += timedelta(days=certificates.AUTHORITY_DAYS - 100)
    assert certificates.NEXT_CERTIFICATE in authority.current()
    assert api.writes[-1] == "replace own Secret"

from __future__ import annotations

import logging

import pytest
from fake_cluster import SERVER, FakeCluster
from mcp_operator import status
from mcp_operator.models.status import LOG_TAIL_BYTES, MCPServerStatus


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.mark.requirement("F-08")
def test_only_a_status_that_changed_is_written(cluster: FakeCluster) -> None:
    raw = cluster.add(SERVER, "one", {})
    assert status.write(cluster, SERVER, raw, MCPServerStatus(summary="Ready"))
    assert not status.write(cluster, SERVER, raw, MCPServerStatus(summary="Ready"))
    assert cluster.writes == ["status MCPServer"]


@pytest.mark.requirement("F-08")
def test_a_status_is_never_written_to_another_object_of_that_name_or_to_none(cluster: FakeCluster) -> None:
    raw = dict(cluster.add(SERVER, "one", {}))
    cluster.remove("mcpservers", "one")
    assert not status.write(cluster, SERVER, raw, MCPServerStatus(summary="Ready"))
    cluster.add(SERVER, "one", {})
    assert not status.write(cluster, SERVER, raw, MCPServerStatus(summary="Ready"))
    assert cluster.status(SERVER, "one") == {}


def test_what_is_no_longer_so_is_removed(cluster: FakeCluster) -> None:
    raw = cluster.add(SERVER, "one", {})
    status.write(cluster, SERVER, raw, MCPServerStatus(summary="Ready", tool_count=3))
    status.write(cluster, SERVER, raw, MCPServerStatus(summary="Ready"))
    assert cluster.status(SERVER, "one") == {"summary": "Ready", "conditions": []}


def test_a_status_that_is_not_understood_counts_as_none(caplog: pytest.LogCaptureFixture) -> None:
    raw = {"metadata": {"name": "one"}, "status": {"toolCount": "many"}}
    with caplog.at_level(logging.WARNING):
        assert status.read(MCPServerStatus, raw) == MCPServerStatus()
    assert "starting afresh" in caplog.text


def test_a_strangers_text_is_one_printable_line() -> None:
    assert status.printable("a\x1b[31m\n\tb\u202e c") == "a [31m b c"
    assert status.printable("x" * 20, 10) == "x" * 9 + "…"


@pytest.mark.requirement("F-08")
def test_a_log_tail_is_its_end_printable_and_bounded() -> None:
    text = status.tail("first\n" + "é" * 3000 + "\nlast\x07")
    assert text.endswith("é\nlast")
    assert len(text.encode()) <= LOG_TAIL_BYTES
    assert "first" not in text

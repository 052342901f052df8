from __future__ import annotations

import pytest
from mcp_operator.images.transfer import Bytes, Transfer

pytestmark = pytest.mark.requirement("B-21")


def test_bytes_are_summed_over_layers_and_complete_when_each_is() -> None:
    transfer = Transfer()
    transfer.take({"id": "a", "status": "Pushing", "progressDetail": {"current": 10, "total": 100}})
    transfer.take({"id": "b", "status": "Pushing", "progressDetail": {"current": 70, "total": 50}})

    assert transfer.bytes == Bytes(80, 170)
    assert transfer.take({"id": "a", "status": "Pushed", "progressDetail": {}}) == "a Pushed"
    assert transfer.bytes == Bytes(170, 170)
    assert str(Bytes(1_234_567, 80_000_000)) == "1.2 of 80.0 MB"


def test_the_digest_is_what_the_registry_gave() -> None:
    transfer = Transfer()
    transfer.take({"progressDetail": {}, "aux": {"Tag": "1", "Digest": "sha256:1", "Size": 734}})
    transfer.take({"status": "done"})

    assert transfer.digest == "sha256:1"


def test_a_countdown_is_said_where_it_begins() -> None:
    transfer = Transfer()
    seconds = [5, 4, 3, 2, 1, 10, 9, 8]
    said = [transfer.take({"id": "a", "status": f"Retrying in {left} seconds"}) for left in seconds]

    assert [line for line in said if line] == ["a Retrying in 5 seconds", "a Retrying in 10 seconds"]
    assert transfer.failing
    transfer.take({"id": "a", "status": "Pushing", "progressDetail": {"current": 1, "total": 2}})
    assert not transfer.failing


def test_what_is_of_no_use_is_not_said() -> None:
    assert not Transfer().take({"status": "Preparing", "id": "a"})

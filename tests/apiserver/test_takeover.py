from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from operator_processes import operators, server, wait

if TYPE_CHECKING:
    from pathlib import Path

    from spare_apiserver import SpareApiServer

pytestmark = [pytest.mark.apiserver, pytest.mark.requirement("O-33")]

TAKEOVER = 15.0
"""Seconds; the Lease allows fourteen, and this is measured from before the kill."""


def test_of_two_operators_one_works_and_the_other_takes_over_without_building_twice_at_a_time(
    own_apiserver: SpareApiServer, tmp_path: Path
) -> None:
    with own_apiserver.namespace("two") as kubectl, operators(own_apiserver, tmp_path) as started:
        first = started.start()
        wait(lambda: first.leads)
        second = started.start()
        (tmp_path / "hold").touch()
        kubectl.apply(server("one"))
        uid = kubectl.get("mcpserver", "one")["metadata"]["uid"]
        wait(lambda: started.builds)
        assert second.is_ready  # it stands by
        assert not second.leads

        killed = time.monotonic()
        first.kill()
        wait(lambda: second.leads)
        took = time.monotonic() - killed
        wait(lambda: len(started.builds) == 2)
        (tmp_path / "hold").unlink()
        wait(lambda: second.steady("MCPServer") and f"{uid} END" in started.builds)
        assert started.builds == [f"{uid} START", f"{uid} START", f"{uid} END"]  # the first one died with its process
        assert took < TAKEOVER

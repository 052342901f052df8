from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from mcp_operator import names
from operator_processes import agent, exists, is_ready, operators, server, versions, wait

if TYPE_CHECKING:
    from pathlib import Path

    from operator_processes import Operators
    from spare_apiserver import SpareApiServer

pytestmark = [pytest.mark.apiserver]


@pytest.mark.requirement("O-30")
def test_what_others_change_or_delete_of_what_the_operator_made_is_put_back(
    spare_apiserver: SpareApiServer, tmp_path: Path
) -> None:
    with spare_apiserver.namespace("owned") as kubectl, operators(spare_apiserver, tmp_path) as started:
        started.start()
        kubectl.apply(server("one"), agent("dev", "one"))
        wait(lambda: exists(kubectl, "pod", "dev"))
        wait(lambda: is_ready(kubectl, "mcpserver", "one"))
        config = names.config_map("dev")
        before = kubectl.get("configmap", config)["data"]

        kubectl("patch", "configmap", config, "--type=merge", "-p", json.dumps({"data": {names.CONFIG_FILE: "{}"}}))
        wait(lambda: kubectl.get("configmap", config)["data"] == before)
        kubectl("delete", "configmap", config)
        wait(lambda: exists(kubectl, "configmap", config))
        kubectl("delete", "pod", "dev", "--grace-period=0", "--force")
        wait(lambda: exists(kubectl, "pod", "dev"))


@pytest.mark.requirement("O-30")
def test_a_restarted_operator_that_finds_everything_as_it_should_be_writes_nothing(
    spare_apiserver: SpareApiServer, tmp_path: Path
) -> None:
    with spare_apiserver.namespace("twice") as kubectl, operators(spare_apiserver, tmp_path) as started:
        first = started.start()
        kubectl.apply(server("one"), agent("dev", "one"))
        wait(lambda: exists(kubectl, "pod", "dev"))
        wait(first.steady)
        first.kill()
        before = versions(kubectl)
        second = started.start()
        wait(lambda: second.steady("MCPServer", "MCPAgent"))
        assert versions(kubectl) == before


@pytest.mark.requirement("O-30")
@pytest.mark.requirement("O-32")
def test_a_build_that_runs_delays_neither_its_own_servers_deletion_nor_that_of_others(
    own_apiserver: SpareApiServer, tmp_path: Path
) -> None:
    with own_apiserver.namespace("builds") as kubectl, operators(own_apiserver, tmp_path) as started:
        started.start()
        (tmp_path / "hold").touch()
        kubectl.apply(*(server(f"s{number}") for number in range(3)), agent("dev", "s0"))  # two build, one waits
        wait(lambda: len(started.builds) == 2)
        kubectl("delete", "mcpserver", "--all", "--timeout=10s")
        wait(
            lambda: _cancelled(started) >= 2 and _cancelled(started) * 2 == len(started.builds), lambda: started.builds
        )
        kubectl.apply(server("next"))
        uid = kubectl.get("mcpserver", "next")["metadata"]["uid"]
        wait(lambda: f"{uid} START" in started.builds)
        (tmp_path / "hold").unlink()
        wait(lambda: is_ready(kubectl, "mcpserver", "next"))


def _cancelled(started: Operators) -> int:
    """Count builds; the one that waits may begin, too, before its own server's deletion is heard of."""
    return sum("CANCELLED" in line for line in started.builds)

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from mcp_operator import crds
from operator_processes import agent, exists, is_ready, operators, server, wait

if TYPE_CHECKING:
    from pathlib import Path

    from kubectl import Kubectl
    from spare_apiserver import SpareApiServer

pytestmark = [pytest.mark.integration]

COLLECTED = 60.0
"""Seconds for the cluster's own controllers to remove a namespace with everything in it."""


@pytest.mark.requirement("O-30")
def test_an_api_server_that_restarts_is_gone_on_with(own_apiserver: SpareApiServer, tmp_path: Path) -> None:
    with own_apiserver.namespace("restart") as kubectl, operators(own_apiserver, tmp_path) as started:
        operator = started.start()
        kubectl.apply(server("one"), agent("before", "one"))
        wait(lambda: exists(kubectl, "pod", "before"), lambda: operator.log.read_text()[-3000:])
        own_apiserver.stop_api()
        own_apiserver.start_api()
        if operator.process.poll() is not None:  # the Lease could not be renewed in time: the kubelet starts another
            operator = started.start()
        kubectl.apply(agent("after", "one"))
        wait(lambda: exists(kubectl, "pod", "after"), lambda: operator.log.read_text()[-3000:])
        kubectl("delete", "pod", "before", "--grace-period=0", "--force")
        wait(lambda: exists(kubectl, "pod", "before"), lambda: operator.log.read_text()[-3000:])
        wait(lambda: operator.steady() and operator.is_ready)


@pytest.mark.requirement("O-31")
def test_an_operator_that_is_there_before_the_definitions_waits_for_them(
    own_apiserver: SpareApiServer, tmp_path: Path
) -> None:
    with own_apiserver.namespace("early") as kubectl, operators(own_apiserver, tmp_path) as started:
        own_apiserver.kubectl("delete", "crd", *(kind.crd for kind in crds.KINDS))
        operator = started.start()
        wait(lambda: "waiting for the definitions" in operator.log.read_text())
        assert not operator.is_ready
        own_apiserver.apply_definitions()
        kubectl.apply(server("one"))
        wait(lambda: is_ready(kubectl, "mcpserver", "one"), lambda: operator.log.read_text()[-3000:])
        wait(lambda: operator.is_ready)


@pytest.mark.requirement("O-31")
def test_an_operator_that_is_killed_during_a_build_leaves_the_same_end_to_the_next(
    own_apiserver: SpareApiServer, tmp_path: Path
) -> None:
    with own_apiserver.namespace("killed") as kubectl, operators(own_apiserver, tmp_path) as started:
        first = started.start()
        (tmp_path / "hold").touch()
        kubectl.apply(server("one"), agent("dev", "one"))
        wait(lambda: started.builds, lambda: first.log.read_text()[-3000:])
        first.kill()
        (tmp_path / "hold").unlink()
        second = started.start()
        wait(lambda: is_ready(kubectl, "mcpserver", "one"), lambda: second.log.read_text()[-3000:])
        wait(lambda: exists(kubectl, "pod", "dev"))
        wait(lambda: second.steady("MCPServer", "MCPAgent"))
        assert [line.partition(" ")[2] for line in started.builds] == ["START", "START", "END"]
        assert len(_all(kubectl, "pods")) == 1
        assert len(_all(kubectl, "configmaps", "app.kubernetes.io/managed-by=mcp-operator")) <= 2


@pytest.mark.requirement("O-32")
def test_nothing_has_a_finalizer_and_a_namespace_goes_while_no_operator_runs(
    own_apiserver: SpareApiServer, tmp_path: Path
) -> None:
    with own_apiserver.namespace("going") as kubectl, operators(own_apiserver, tmp_path) as started:
        operator = started.start()
        (tmp_path / "hold").touch()
        kubectl.apply(server("one"), agent("dev", "one"))
        wait(lambda: started.builds, lambda: operator.log.read_text()[-3000:])
        kubectl.apply(server("two"), agent("waits", "two"), agent("orphan", "nothing"))
        (tmp_path / "hold").unlink()
        wait(lambda: exists(kubectl, "pod", "dev"))
        (tmp_path / "hold").touch()
        kubectl.apply(server("three"))  # it builds when everything ends
        wait(lambda: len(started.builds) > 4)
        operator.kill()
        everything = _all(kubectl, "mcpservers,mcpagents,pods,configmaps")
        assert {each["kind"] for each in everything} >= {"MCPServer", "MCPAgent", "Pod", "ConfigMap"}
        assert [each for each in everything if each["metadata"].get("finalizers")] == []

        own_apiserver.collect()
        kubectl("delete", "namespace", kubectl.namespace, f"--timeout={COLLECTED:.0f}s", seconds=COLLECTED + 10)


def _all(kubectl: Kubectl, kinds: str, selector: str = "") -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(kubectl("get", kinds, "-o", "json", "-l", selector))["items"]
    return listed

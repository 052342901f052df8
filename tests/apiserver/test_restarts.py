from __future__ import annotations

import json
import queue
import time
from typing import TYPE_CHECKING, Any

import pytest
from mcp_operator import crds, kube, names, watches
from mcp_operator.metrics import Metrics
from operator_processes import agent, exists, is_ready, operators, policy, server, versions, wait

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from kubectl import Kubectl
    from mcp_operator.access import Access
    from mcp_operator.cluster import Manifest
    from operator_processes import Operator, Operators
    from spare_apiserver import SpareApiServer

pytestmark = [pytest.mark.apiserver]

COLLECTED = 60.0
"""Seconds for the cluster's own controllers to remove a namespace with everything in it."""
QUIET = 5.0
"""Seconds in which nothing happens: several times those after which something that failed is tried again first."""
ATTEMPTS = 3
"""At an outage that is shorter than a Lease, which on a busy machine not every one is."""
PLURALS = ("mcpservers", "mcpagents", "toolpolicies")


@pytest.mark.requirement("O-30")
def test_an_api_server_that_restarts_is_gone_on_with(own_apiserver: SpareApiServer, tmp_path: Path) -> None:
    with own_apiserver.namespace("restart") as kubectl, operators(own_apiserver, tmp_path) as started:
        operator = started.start()
        kubectl.apply(server("one"), agent("before", "one"))
        wait(lambda: exists(kubectl, "pod", "before"))
        own_apiserver.stop_api()
        own_apiserver.start_api()
        if operator.process.poll() is not None:  # the Lease could not be renewed in time: the kubelet starts another
            operator = started.start()
        kubectl.apply(agent("after", "one"))
        wait(lambda: exists(kubectl, "pod", "after"))
        kubectl("delete", "pod", "before", "--grace-period=0", "--force")
        wait(lambda: exists(kubectl, "pod", "before"))
        wait(lambda: operator.steady() and operator.is_ready)


@pytest.mark.requirement("O-30")
def test_what_was_deleted_while_watches_expired_is_missed_by_nobody(
    own_apiserver: SpareApiServer, tmp_path: Path
) -> None:
    with own_apiserver.namespace("expired") as kubectl, operators(own_apiserver, tmp_path) as started:
        for _ in range(ATTEMPTS):
            operator, building = _delete_unseen(own_apiserver, kubectl, started)
            wait(lambda: _has_ended(operator) or f"{building} CANCELLED" in started.builds)  # noqa: B023 - at once
            if not _has_ended(operator):
                break
        assert not _has_ended(operator), "the API server was away for too long, each time: there was no watch to expire"
        wait(lambda: "drop_*" not in _config(kubectl, "dev"))
        # Its Pod is the garbage collector's to remove, which does not run here: nobody may make it anew.
        kubectl("delete", "pod", "other", "--grace-period=0", "--force")
        kubectl("delete", "pod", "dev", "--grace-period=0", "--force")
        wait(lambda: exists(kubectl, "pod", "dev"))
        wait(operator.steady)
        assert not exists(kubectl, "pod", "other")
        wait(lambda: _expired(operator) == set(PLURALS))  # kopf asks again later than others


@pytest.mark.requirement("O-30")
def test_a_version_that_the_api_server_has_forgotten_is_followed_by_a_list(spare_apiserver: SpareApiServer) -> None:
    requests = kube.connect_as_person(str(spare_apiserver.kubeconfig))[0].requests
    listed: queue.SimpleQueue[Mapping[str, str]] = queue.SimpleQueue()

    class Forgetful:
        """The API, of which the first list gives a version that no watch can start from."""

        def __call__(self, right: Access, namespace: str = "", *, query: Mapping[str, str] | None = None) -> Manifest:
            page = requests(right, namespace, query=query)
            if listed.empty():
                page["metadata"]["resourceVersion"] = "1"
            listed.put(query or {})
            return page

        def stream(self, right: Access, namespace: str, query: Mapping[str, str]) -> Iterator[Manifest]:
            return requests.stream(right, namespace, query)

    metrics = Metrics()
    found = watches.Watches(Forgetful(), print, metrics=metrics, owned=watches.OURS[:1])
    found.start()
    wait(lambda: listed.qsize() == 2)
    assert metrics.watch_restarts.value("mcpservers", "expired") == 1
    assert found.behind() == ""
    found.stop()


@pytest.mark.requirement("O-32")
def test_in_a_namespace_that_never_ends_nothing_is_made_and_nothing_is_tried_again_and_again(
    own_apiserver: SpareApiServer, tmp_path: Path
) -> None:
    """The controllers that end namespaces do not run here: it stays in this state."""
    with own_apiserver.namespace("ending") as kubectl, operators(own_apiserver, tmp_path) as started:
        operator = started.start()
        kubectl.apply(server("one"), agent("dev", "one"))
        wait(lambda: exists(kubectl, "pod", "dev"))
        (tmp_path / "hold").touch()
        kubectl.apply(server("building"), agent("waits", "building"))
        building = kubectl.get("mcpserver", "building")["metadata"]["uid"]
        wait(lambda: f"{building} START" in started.builds)
        kubectl("delete", "namespace", kubectl.namespace, "--wait=false")
        for kind, name in (("mcpserver", "building"), ("mcpserver", "one"), ("mcpagent", "dev")):
            kubectl("annotate", kind, name, "toolman.dev/reconcile=now")
        wait(lambda: f"{building} CANCELLED" in started.builds)
        (tmp_path / "hold").unlink()
        kubectl("delete", "pod", "dev", "--grace-period=0", "--force")
        wait(operator.steady)
        before, asked = versions(kubectl), len(operator.lines)
        assert not exists(kubectl, "pod", "dev")
        time.sleep(QUIET)
        assert versions(kubectl) == before
        assert operator.lines[asked:] == []
        assert {line["level"] for line in operator.lines} == {"INFO"}

        own_apiserver.collect()
        own_apiserver.kubectl.wait("namespace", kubectl.namespace, "delete", COLLECTED)


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
        wait(lambda: is_ready(kubectl, "mcpserver", "one"))
        wait(lambda: operator.is_ready)


@pytest.mark.requirement("O-31")
def test_an_operator_that_is_killed_during_a_build_leaves_the_same_end_to_the_next(
    own_apiserver: SpareApiServer, tmp_path: Path
) -> None:
    with own_apiserver.namespace("killed") as kubectl, operators(own_apiserver, tmp_path) as started:
        first = started.start()
        (tmp_path / "hold").touch()
        kubectl.apply(server("one"), agent("dev", "one"))
        wait(lambda: started.builds)
        first.kill()
        (tmp_path / "hold").unlink()
        second = started.start()
        wait(lambda: is_ready(kubectl, "mcpserver", "one"))
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
        wait(lambda: started.builds)
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


def _delete_unseen(api: SpareApiServer, kubectl: Kubectl, started: Operators) -> tuple[Operator, str]:
    """Delete what an operator knows while no API server runs; give it, and the UID of the server that it builds."""
    operator = started.start(TOOLMAN_LOG_LEVEL="DEBUG")
    kubectl.apply(server("one"), agent("dev", "one"), agent("other", "one"), policy("strict"))
    wait(lambda: "drop_*" in _config(kubectl, "dev"))
    (started.folder / "hold").touch()
    kubectl.apply(server("building"))
    building = str(kubectl.get("mcpserver", "building")["metadata"]["uid"])
    wait(lambda: f"{building} START" in started.builds)
    time.sleep(QUIET)  # nothing is due any more that would look at it for another reason
    api.stop_api()
    api.forget("mcpservers", kubectl.namespace, "building")
    api.forget("mcpagents", kubectl.namespace, "other")
    api.forget("toolpolicies", "", "strict")
    api.start_api()
    return operator, building


def _has_ended(operator: Operator) -> bool:
    """Say whether it could not renew its Lease in time, and ended."""
    return operator.process.poll() is not None


def _expired(operator: Operator) -> set[str]:
    """Name the kinds for whose watch kopf was told that its version is too old."""
    texts = [line["message"] for line in operator.lines if "Restarting the watch-stream" in line["message"]]
    return {plural for plural in PLURALS if any(plural in text for text in texts)}


def _config(kubectl: Kubectl, name: str) -> str:
    if not exists(kubectl, "configmap", names.config_map(name)):
        return ""
    text: str = kubectl.get("configmap", names.config_map(name))["data"][names.CONFIG_FILE]
    return text


def _all(kubectl: Kubectl, kinds: str, selector: str = "") -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(kubectl("get", kinds, "-o", "json", "-l", selector))["items"]
    return listed

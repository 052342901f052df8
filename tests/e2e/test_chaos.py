"""Parts are killed in turn while an agent calls without pause: what is lost, how clearly, and what is left behind.

The client is ``chaos/client.py``; each test looks at its calls for as long as something is away, and prints a line of a
table: calls made, answered, failed with a clear error, hung, answered wrongly, and seconds until all was well.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import throwaway
from chaos import outages, world
from chaos.outages import Outages
from chaos.world import AGENTS, LOCAL, POD, SERVERS, SHARED, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker
    from lab.environment import Environment
    from sources.server import GitServer

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("demo")]

AWAY = 12.0
"""Seconds without an API server: more than the operator may go on without renewing its Lease."""
BACK = 15.0
"""Seconds in which calls are answered again, whatever was killed."""
POLICY = "chaos-spare"
LOST = "the call may or may not have taken effect"
WRAPPED = "It may have been carried out"
AT_ONCE = 5
"""Calls on their way to one server."""


@pytest.fixture(scope="module")
def chaos(published_server: GitServer, lab: Environment) -> Iterator[World]:
    with world.calling(world.publish(published_server, lab.base_python)) as found:
        yield found


@pytest.fixture(scope="module")
def ends(lab: Environment) -> Iterator[Outages]:
    with pytest.MonkeyPatch.context() as patch:
        # What is started again is the lab's, which ends it; nothing that a run of the tests has left.
        patch.delenv("TOOLMAN_CI_RUN", raising=False)
        yield Outages(lab)


def _denied(chaos: World) -> bool:
    status = chaos.kubectl.get(AGENTS, POD)["status"]
    return f"ToolPolicy/{POLICY}" in str(status.get("denied")) and chaos.condition(AGENTS, POD)["status"] == "True"


@pytest.fixture
def ceiling(chaos: World) -> Iterator[dict[str, Any]]:
    """A policy to apply."""
    yield world.policy(POLICY, chaos.kubectl.namespace)
    chaos.kubectl("delete", "toolpolicy", POLICY, "--ignore-not-found")


@pytest.mark.requirement("O-31", "O-14")
def test_no_call_is_lost_with_the_operator_its_build_is_done_and_what_changed_meanwhile_is_applied(
    chaos: World, ceiling: dict[str, Any], engine: docker.DockerClient
) -> None:
    pod, before = chaos.operator()["metadata"]["name"], chaos.restarts()
    with chaos.calls.during("operator, in mid-build") as window:
        chaos.kubectl.apply(world.server("held", chaos.url, "held"))
        chaos.until("it is being built", lambda: chaos.is_at("held", "sleep"))
        outages.kill(pod, "python", "run")
        chaos.kubectl.apply(ceiling)
        chaos.until("the policy is in force", lambda: _denied(chaos))
        chaos.until("the operator is ready", chaos.operator_works)
        chaos.ready(SERVERS, "held")
    assert window.lost == []
    assert chaos.restarts() == before
    _assert_nothing_left(chaos, engine, "held", attempts=1)


@pytest.mark.requirement("O-30", "O-04")
def test_no_call_is_lost_with_the_api_server(chaos: World, ends: Outages, ceiling: dict[str, Any]) -> None:
    before = chaos.restarts()
    with chaos.calls.during("API server") as window:
        with ends.of_cluster("kube-apiserver"):
            time.sleep(AWAY)
        chaos.until("the operator is ready", chaos.operator_works)
        chaos.kubectl.apply(ceiling)
        chaos.until("a policy is in force", lambda: _denied(chaos))
    assert window.lost == []
    assert chaos.restarts() == before


@pytest.mark.requirement("O-30")
def test_no_call_is_lost_with_the_kubelet(chaos: World, ends: Outages) -> None:
    before, uid = chaos.restarts(), chaos.kubectl.get("pod", POD)["metadata"]["uid"]
    with chaos.calls.during("kubelet") as window:
        with ends.of_cluster("kubelet"):
            pass
        chaos.ready(AGENTS, POD)
    assert window.lost == []
    assert (chaos.restarts(), chaos.kubectl.get("pod", POD)["metadata"]["uid"]) == (before, uid)


@pytest.mark.requirement("T-21", "T-20")
def test_a_killed_server_loses_the_calls_that_it_had_and_no_other(chaos: World) -> None:
    before, processes = chaos.restarts(), outages.processes(POD, "python3", "/server.py")
    with chaos.calls.during("stdio server") as window:
        outages.kill(POD, "python3", "/server.py")
    local, shared = window.of(LOCAL), window.of(SHARED)
    assert shared.lost == []
    assert local.unclear == []
    assert len(local.lost) <= AT_ONCE
    assert all(LOST in each.why for each in local.lost)
    assert local.recovery < BACK
    (after,) = outages.processes(POD, "python3", "/server.py")
    assert after not in processes
    assert chaos.restarts() == before


@pytest.mark.requirement("O-04")
def test_no_call_is_lost_when_a_pod_of_a_shared_server_is_deleted(chaos: World) -> None:
    first = chaos.guards()[0]
    with chaos.calls.during("one Pod of the shared server deleted") as window:
        chaos.kubectl("delete", "pod", first, "--wait=false")
        chaos.kubectl.wait("pod", first, "delete", world.SECONDS)
        chaos.rolled_out()
    assert window.lost == []


@pytest.mark.requirement("O-04")
def test_no_call_is_lost_with_such_a_pod_while_the_cluster_learns_of_nothing(chaos: World, ends: Outages) -> None:
    """What watched the API server comes back to it after a while only, and sends calls to the Pod until then."""
    with chaos.calls.during("one Pod of it deleted after an outage of the API server") as window:
        with ends.of_cluster("kube-apiserver"):
            time.sleep(AWAY)
        first = chaos.guards()[0]
        chaos.kubectl("delete", "pod", first, "--wait=false")
        chaos.kubectl.wait("pod", first, "delete", world.SECONDS)
        chaos.rolled_out()
    assert window.lost == []


@pytest.mark.requirement("O-04")
def test_no_call_is_lost_when_a_shared_server_is_rolled_out(chaos: World) -> None:
    env = [{"name": "ROLLED", "value": "yes"}]
    before = set(chaos.guards())
    with chaos.calls.during("shared server rolled out") as window:
        chaos.kubectl.apply(world.shared_server(chaos.url, env=env))
        chaos.until(
            "all Pods are new", lambda: len(set(chaos.guards()) - before) == 2 and not before & set(chaos.guards())
        )
        chaos.rolled_out()
        chaos.ready(SERVERS, SHARED)
    assert window.lost == []
    assert len(window.of(SHARED).instances) > 1


@pytest.mark.requirement("O-04")
def test_a_killed_guard_loses_the_calls_that_it_had_and_no_other(chaos: World) -> None:
    with chaos.calls.during("guards of the shared server") as window:
        for pod in chaos.guards():
            outages.kill(pod, "python", "serve", "--config")
        chaos.until(
            "the guards are back",
            lambda: all(each == 1 for name, each in chaos.restarts().items() if name.endswith("/mcp-guard")),
        )
    local, shared = window.of(LOCAL), window.of(SHARED)
    assert local.lost == []
    assert shared.unclear == []
    assert len(shared.lost) <= AT_ONCE
    assert shared.recovery < BACK


@pytest.mark.requirement("W-04", "T-33")
def test_a_killed_toolman_loses_the_calls_that_it_had_and_the_wrapper_begins_its_session_anew(chaos: World) -> None:
    with chaos.calls.during("toolman") as window:
        outages.kill(POD, "python", "serve", "--config")
        chaos.until("toolman is back", lambda: chaos.restarts(POD)[f"{POD}/toolman"] == 1)
    assert window.unclear == []
    assert window.recovery < BACK
    wrapped = window.lost_on("wrapper")
    assert all(len(errors) == 1 and WRAPPED in errors[0] for errors in wrapped.values()), wrapped
    others = [each.why for each in window.lost if "wrapper" not in each.lane]
    assert set(others) <= {f"toolman: {each}" for each in GONE}


GONE = ("ConnectionResetError", "RemoteDisconnected", "BrokenPipeError", "IncompleteRead")
"""How a client without the wrapper learns that its call was cut off."""


@pytest.mark.requirement("O-31", "B-10")
def test_an_engine_that_is_killed_in_mid_build_is_said_and_the_build_done_once_it_is_back(
    chaos: World, ends: Outages, engine: docker.DockerClient
) -> None:
    with chaos.calls.during("Docker Engine, in mid-build") as window:
        chaos.kubectl.apply(world.server("slow", chaos.url, "slow"))
        chaos.until("it is being built", lambda: chaos.is_at("slow", "sleep"))
        with ends.of_engine():
            chaos.until("that is said", lambda: chaos.reason(SERVERS, "slow") == "EngineUnavailable")
        chaos.ready(SERVERS, "slow")
    assert window.lost == []
    _assert_nothing_left(chaos, engine, "slow", attempts=2)


@pytest.mark.requirement("O-31", "B-21")
def test_a_registry_that_is_killed_in_mid_push_is_waited_for_by_the_build_and_by_a_pod_that_starts(
    chaos: World, ends: Outages, engine: docker.DockerClient
) -> None:
    chaos.kubectl.apply(world.server("late", chaos.url, "late"))
    chaos.ready(SERVERS, "late")
    with chaos.calls.during("registry, in mid-push and at a Pod's start") as window:
        chaos.kubectl.apply(world.server("pushed", chaos.url, "pushed"))
        chaos.until("it is being built", lambda: chaos.is_at("pushed", "sleep"))
        with ends.stopped_registry():
            chaos.until("it is being pushed", lambda: chaos.reason(SERVERS, "pushed") == "Pushing")
            with ends.of_registry():
                chaos.kubectl.apply(world.agent("newcomer", chaos.image, ["late"], ["sleep", "100000"]))
                chaos.until("the Pod waits", lambda: chaos.reason(AGENTS, "newcomer") == "ContainerWaiting")
                assert "pull" in chaos.condition(AGENTS, "newcomer")["message"].lower()
        chaos.ready(SERVERS, "pushed")
        chaos.ready(AGENTS, "newcomer")
    assert window.lost == []
    _assert_nothing_left(chaos, engine, "pushed")


@pytest.mark.requirement("O-32")
def test_nothing_is_left_after_all_that(chaos: World, engine: docker.DockerClient) -> None:
    kinds = f"{SERVERS},{AGENTS},pods,deployments,services,configmaps,secrets"
    assert not chaos.kubectl("get", kinds, "-o", "jsonpath={.items[*].metadata.finalizers}").strip()
    uids = chaos.kubectl("get", SERVERS, "-o", "jsonpath={.items[*].metadata.uid}").split()
    pods = [POD, *chaos.guards()]
    assert all(outages.processes(pod) for pod in pods)
    chaos.kubectl("delete", f"{SERVERS},{AGENTS}", "--all")
    chaos.until("the Pods are gone", lambda: not chaos.kubectl("get", "pods", "-o", "name"))
    chaos.kubectl("delete", "namespace", chaos.kubectl.namespace, seconds=world.SECONDS)
    assert [outages.processes(pod) for pod in pods] == [[]] * len(pods)
    chaos.until("the engine has nothing of it", lambda: not any(_has_some(engine, uid) for uid in uids))
    folders = chaos.temporary_folders()
    assert not any(uid in folders for uid in uids)
    assert not throwaway.cluster()("get", "toolpolicies", "-o", "name", "--field-selector", f"metadata.name={POLICY}")


def _assert_nothing_left(chaos: World, engine: docker.DockerClient, name: str, attempts: int = 0) -> None:
    """See that of a server's builds there is its image, and nothing else."""
    found = chaos.kubectl.get(SERVERS, name)
    uid, image = found["metadata"]["uid"], found["status"]["image"]["id"]
    assert engine.api.containers(all=True, filters=_label(uid)) == []
    assert [each["Id"] for each in engine.api.images(filters=_label(uid)) if each["RepoTags"]] == [image]
    assert uid not in chaos.temporary_folders()
    assert attempts in {0, found["status"]["build"]["attempts"]}


def _label(uid: str) -> dict[str, str | list[str] | bool]:
    return {"label": f"toolman.dev/uid={uid}"}


def _has_some(engine: docker.DockerClient, uid: str) -> bool:
    found = engine.api.containers(all=True, filters=_label(uid)) or engine.api.images(all=True, filters=_label(uid))
    return bool(found)

"""Runs to completion: when one has begun, how it ended, and that none is repeated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from examples import agent
from mcp_operator import names, policies
from mcp_operator.models.agent import MCPAgentSpec
from mcp_operator.models.status import RunStatus
from mcp_operator.outcomes import Done, Stalled
from mcp_operator.reconcile import runs

if TYPE_CHECKING:
    from mcp_operator.objects import Resource

pytestmark = pytest.mark.requirement("O-11")

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
STARTED = "2026-01-01T11:00:00Z"
ENDED = "2026-01-01T11:30:00Z"


def job(policy: str = "Never", **spec: Any) -> Resource[MCPAgentSpec]:  # noqa: ANN401 - fields of a spec
    return agent("git", restartPolicy=policy, **spec)


def pod(of: Resource[MCPAgentSpec], phase: str = "Running", **status: object) -> dict[str, Any]:
    annotations = {names.ANNOTATION_RUN: runs.key(of.spec)}
    return {"metadata": {"uid": "pod-1", "annotations": annotations}, "spec": {}, "status": {"phase": phase, **status}}


def running(name: str = "agent") -> dict[str, Any]:
    return {"name": name, "state": {"running": {"startedAt": STARTED}}}


def ended(code: int = 0, name: str = "agent", **more: object) -> dict[str, Any]:
    return {
        "name": name,
        "state": {"terminated": {"exitCode": code, "startedAt": STARTED, "finishedAt": ENDED, **more}},
    }


def over(of: Resource[MCPAgentSpec], found: dict[str, Any] | None, before: RunStatus | None = None) -> RunStatus:
    run = runs.observe(before, found, of, NOW)
    assert run is not None
    return run


def begun(of: Resource[MCPAgentSpec]) -> RunStatus:
    return over(of, pod(of, containerStatuses=[running()]))


def test_an_agent_that_keeps_its_pod_has_no_runs() -> None:
    assert runs.observe(None, pod(agent("git")), agent("git"), NOW) is None
    assert runs.wanted(agent("git"), None, NOW) is None


def test_a_run_begins_when_the_agents_own_containers_start_and_not_before() -> None:
    of = job()
    assert over(of, pod(of, "Pending", initContainerStatuses=[running("toolman")])).started_at is None
    assert begun(of).started_at == STARTED


@pytest.mark.parametrize("policy", ["Never", "OnFailure"])
def test_a_pod_that_succeeded_is_a_run_that_succeeded(policy: str) -> None:
    of = job(policy)
    run = over(of, pod(of, "Succeeded", containerStatuses=[ended(message="all good")]))
    assert (run.result, run.container, run.exit_code, run.finished_at) == ("Succeeded", "agent", 0, ENDED)
    assert isinstance(runs.outcome(run, of), Done)
    assert runs.outcome(run, of).message == "container agent ended with exit code 0: all good"


def test_a_run_that_failed_says_which_container_how_and_in_what_words() -> None:
    of = job(template={"spec": {"containers": [{"name": "one", "image": "x"}, {"name": "two", "image": "x"}]}})
    found = pod(of, "Failed", containerStatuses=[ended(0, "one"), ended(3, "two", message="disk\nfull\x1b[0m")])
    run = over(of, found)
    assert (run.result, run.container, run.exit_code, run.message) == ("Failed", "two", 3, "disk full [0m")
    outcome = runs.outcome(run, of)
    assert isinstance(outcome, Stalled)
    assert outcome.message == (
        "container two ended with exit code 3: disk full [0m, see kubectl logs dev -n team -c two. "
        "It runs again when its spec changes."
    )


def test_the_exit_of_a_sidecar_decides_nothing() -> None:
    of = job()
    statuses = [{"name": "toolman", "state": {"terminated": {"exitCode": 137, "finishedAt": ENDED}}}]
    run = over(of, pod(of, "Succeeded", initContainerStatuses=statuses, containerStatuses=[ended()]))
    assert (run.result, run.container) == ("Succeeded", "agent")


@pytest.mark.parametrize("later", ["gone", "another Pod"])
@pytest.mark.parametrize("result", ["Succeeded", "Failed"])
def test_a_run_that_is_over_is_never_repeated(later: str, result: str) -> None:
    of = job("OnFailure")
    run = RunStatus(key=runs.key(of.spec), pod_uid="pod-1", started_at=STARTED, finished_at=ENDED, result=result)  # type: ignore[arg-type] # a row of a table
    found = None if later == "gone" else pod(of, containerStatuses=[running()])
    assert runs.observe(run, found, of, NOW) == run


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({"template": {"spec": {"containers": [{"name": "agent", "image": "agent:2"}]}}}, True),
        ({"activeDeadlineSeconds": 5}, True),
        ({"suspend": True}, False),
        ({"ttlSecondsAfterFinished": 5}, False),
        ({"updateStrategy": "OnDelete"}, False),
    ],
)
def test_only_what_is_run_makes_another_run(
    change: dict[str, Any],
    again: bool,  # noqa: FBT001 - a column of the table
) -> None:
    assert (runs.key(job().spec) != runs.key(job(**change).spec)) is again


@pytest.mark.requirement("O-38")
def test_a_field_that_a_later_operator_knows_repeats_no_run() -> None:
    class Later(MCPAgentSpec):
        something_new: str = "as before"

    of = job("OnFailure", servers=[{"name": "git"}])
    written = of.spec.model_dump(by_alias=True, exclude_none=True)
    assert runs.key(Later.model_validate(written)) == runs.key(of.spec)
    assert runs.key(Later.model_validate({**written, "somethingNew": "used"})) != runs.key(of.spec)


def test_a_pod_that_succeeded_is_over_even_where_it_says_nothing_of_its_containers() -> None:
    of = job("OnFailure")
    assert over(of, pod(of, "Succeeded")).result == "Succeeded"


@pytest.mark.parametrize(
    "status",
    [
        {"reason": "Evicted", "message": "low on memory"},
        {"conditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ],
)
def test_what_ends_a_pod_from_outside_ends_a_run_with_never_and_not_with_on_failure(status: dict[str, Any]) -> None:
    never, on_failure = job("Never"), job("OnFailure")
    containers = [ended(143)]
    assert over(never, pod(never, "Failed", containerStatuses=containers, **status), begun(never)).result == "Failed"
    run = over(on_failure, pod(on_failure, "Failed", containerStatuses=containers, **status), begun(on_failure))
    assert (run.result, run.started_at) == (None, STARTED)


def test_a_pod_that_ends_because_it_is_deleted_has_not_completed_its_run() -> None:
    of = job("OnFailure")
    drained = pod(of, "Succeeded", containerStatuses=[ended()])
    asked = datetime.fromisoformat(ENDED) - timedelta(seconds=2)
    drained["metadata"] |= {
        "deletionTimestamp": policies.format_time(asked + timedelta(seconds=30)),
        "deletionGracePeriodSeconds": 30,
    }
    assert over(of, drained).result is None
    drained["metadata"]["deletionTimestamp"] = policies.format_time(asked + timedelta(seconds=90))
    assert over(of, drained).result == "Succeeded"


def test_what_fails_before_the_agents_own_containers_start_is_no_run() -> None:
    of = job("Never")
    failed = {"name": "mcp-install", "state": {"terminated": {"exitCode": 1, "finishedAt": ENDED}}}
    run = over(of, pod(of, "Failed", initContainerStatuses=[failed]))
    assert run.result is None


def test_a_pod_that_vanished_in_the_middle_fails_a_run_with_never_and_is_made_anew_with_on_failure() -> None:
    never, on_failure = job("Never"), job("OnFailure")
    lost = over(never, None, begun(never))
    assert lost.result == "Failed"
    assert "the Pod was deleted before the run was over" in (lost.message or "")
    assert over(on_failure, None, begun(on_failure)).result is None


def test_a_deadline_holds_over_all_pods_of_a_run() -> None:
    of = job("OnFailure", activeDeadlineSeconds=4000)
    wanted = runs.wanted(of, None, NOW)
    assert wanted is not None
    assert wanted.seconds == 4000
    wanted = runs.wanted(of, begun(of), NOW)
    assert wanted is not None
    assert wanted.seconds == 400
    late = NOW + timedelta(seconds=400)
    run = runs.observe(begun(of), None, of, late)
    assert run is not None
    assert (run.result, run.finished_at) == ("Failed", policies.format_time(late))
    assert "DeadlineExceeded" in (run.message or "")


def test_the_kubelets_deadline_fails_the_run() -> None:
    of = job("OnFailure", activeDeadlineSeconds=5)
    status = {"reason": "DeadlineExceeded", "message": "Pod was active on the node longer than the specified deadline"}
    run = over(of, pod(of, "Failed", containerStatuses=[ended(137)], **status))
    assert run.result == "Failed"
    assert (run.message or "").startswith("DeadlineExceeded: Pod was active")


def test_a_suspended_run_begins_anew_and_one_that_is_over_stays_over() -> None:
    of = job("Never")
    paused = job("Never", suspend=True)
    assert runs.observe(begun(of), pod(of, containerStatuses=[running()]), paused, NOW) is None
    assert runs.observe(begun(of), None, paused, NOW) is None
    done = over(of, pod(of, "Succeeded", containerStatuses=[ended()]))
    assert runs.observe(done, None, paused, NOW) == done


def test_the_time_after_completion_is_counted_from_its_end() -> None:
    of = job(ttlSecondsAfterFinished=3600)
    done = over(of, pod(of, "Succeeded", containerStatuses=[ended()]))
    assert runs.left(done, of.spec, NOW) == 1800
    assert runs.left(done, of.spec, NOW + timedelta(days=1)) == 0
    assert runs.left(done, job().spec, NOW) is None

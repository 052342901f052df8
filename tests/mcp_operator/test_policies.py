from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from mcp_operator import policies
from mcp_operator.models.status import BuildStatus
from mcp_operator.policies import BuildFacts, PodFacts

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def failed(*, transient: bool, ago: float = 0, attempts: int = 1, key: str = "new") -> BuildStatus:
    finished = policies.format_time(NOW - timedelta(seconds=ago))
    return BuildStatus(
        key=key,
        started_at=finished,
        finished_at=finished,
        failed_step="Build",
        transient=transient,
        attempts=attempts,
    )


def decide(
    *, image: str | None = None, last: BuildStatus | None = None, held: str | None = None, asked: bool = False
) -> policies.BuildVerdict:
    return policies.rebuild(
        BuildFacts(key="new", image_key=image, last=last, now=NOW, held_key=held, asked=asked),
    )


@pytest.mark.requirement("O-01", "O-03")
@pytest.mark.parametrize(
    ("held", "last", "asked", "reason"),
    [
        ("new", None, True, "AwaitsApproval"),
        ("older", None, False, "SourceOrBuildChanged"),
        (None, failed(transient=False), True, "Asked"),
        (None, failed(transient=True, ago=1), True, "Asked"),
        (None, failed(transient=False, key="old"), True, "SourceOrBuildChanged"),
    ],
)
def test_what_waits_for_approval_is_not_built_again_and_what_failed_is_when_somebody_asks(
    held: str | None,
    last: BuildStatus | None,
    asked: bool,  # noqa: FBT001 - a column of the table
    reason: str,
) -> None:
    assert decide(image="old", held=held, last=last, asked=asked).reason == reason


@pytest.mark.requirement("F-08")
@pytest.mark.parametrize(
    ("image", "last", "build", "reason"),
    [
        (None, None, True, "FirstBuild"),
        ("old", None, True, "SourceOrBuildChanged"),
        ("new", None, False, "UpToDate"),
        ("new", failed(transient=False), False, "UpToDate"),
        ("old", failed(transient=False), False, "FailedBefore"),
        ("old", failed(transient=False, key="old"), True, "SourceOrBuildChanged"),
        (None, failed(transient=True, ago=1), False, "BackOff"),
        (None, failed(transient=True, ago=16), True, "Retry"),
        (None, failed(transient=True, ago=16, attempts=2), False, "BackOff"),
        (None, failed(transient=True, ago=-3600), True, "Retry"),
        (None, BuildStatus(key="new", started_at="2026-01-01T00:00:00Z"), True, "Unfinished"),
    ],
)
def test_a_server_is_built_when_what_it_is_made_from_changed_and_not_again_after_it_failed(
    image: str | None,
    last: BuildStatus | None,
    build: bool,  # noqa: FBT001 - a column of the table
    reason: str,
) -> None:
    verdict = decide(image=image, last=last)
    assert (verdict.build, verdict.reason) == (build, reason)


def test_a_build_that_failed_for_a_passing_reason_is_due_after_a_growing_and_bounded_delay() -> None:
    delays = [decide(last=failed(transient=True, attempts=attempts)).delay for attempts in (1, 2, 3, 99)]
    assert delays == [15, 30, 60, policies.RETRY_CAP]


@pytest.mark.requirement("O-01")
@pytest.mark.parametrize(
    ("step", "given", "now", "reason"),
    [
        ("Fetch", "1", "1", "FailedBefore"),
        ("Fetch", "1", "2", "CredentialsChanged"),
        ("Push", "1", None, "CredentialsChanged"),
        ("Build", "1", "2", "FailedBefore"),
        ("Fetch", None, "2", "FailedBefore"),
    ],
)
def test_what_failed_for_good_is_built_again_with_other_credentials_where_it_used_them(
    step: str, given: str | None, now: str | None, reason: str
) -> None:
    last = failed(transient=False).model_copy(update={"failed_step": step, "credentials": given})
    facts = BuildFacts(key="new", image_key=None, last=last, now=NOW, credentials=now)
    assert policies.rebuild(facts).reason == reason


def pod(**changes: object) -> policies.PodVerdict:
    facts: dict[str, object] = {
        "exists": True,
        "controller_uid": "agent",
        "controlled_by_agent_kind": True,
        "agent_uid": "agent",
        "phase": "Running",
        "config_hash": ("c", "c"),
    }
    return policies.pod_change(PodFacts(**{**facts, **changes}))  # type: ignore[arg-type] # a row of a table


@pytest.mark.requirement("F-08")
@pytest.mark.parametrize(
    ("changes", "action"),
    [
        ({"exists": False}, "create"),
        ({}, "keep"),
        ({"controller_uid": "other", "controlled_by_agent_kind": False}, "leave"),
        ({"controller_uid": "", "controlled_by_agent_kind": False}, "leave"),
        ({"controller_uid": "earlier"}, "wait"),
        ({"deleting": True}, "wait"),
        ({"deleting": True, "phase": "Failed"}, "wait"),
        ({"phase": "Failed"}, "remove"),
        ({"phase": "Succeeded"}, "remove"),
        ({"differs": "pod"}, "replace"),
        ({"differs": "pod", "config_hash": ("c", "d")}, "replace"),
        ({"differs": "pod", "complete": False}, "keep"),
        ({"differs": "images", "complete": False}, "keep"),
        ({"config_hash": ("c", "d"), "complete": False}, "annotate"),
        ({"config_hash": ("c", "d")}, "annotate"),
    ],
)
def test_a_pod_is_replaced_only_when_it_must_be_another_one(changes: dict[str, object], action: str) -> None:
    assert pod(**changes).action == action


@pytest.mark.requirement("O-11")
@pytest.mark.parametrize(
    ("changes", "action"),
    [
        ({"differs": "images"}, "change"),
        ({"differs": "images", "strategy": "Recreate"}, "replace"),
        ({"differs": "images", "strategy": "OnDelete"}, "outdated"),
        ({"differs": "pod", "strategy": "Recreate"}, "replace"),
        ({"differs": "pod", "strategy": "OnDelete"}, "outdated"),
        ({"differs": "pod", "strategy": "OnDelete", "phase": "Failed"}, "remove"),
        ({"overdue": True}, "replace"),
        ({"overdue": True, "complete": False}, "keep"),
    ],
)
def test_the_update_strategy_decides_what_becomes_of_a_pod_that_should_be_another(
    changes: dict[str, object], action: str
) -> None:
    assert pod(**changes).action == action


@pytest.mark.requirement("O-11")
@pytest.mark.parametrize(
    ("changes", "action"),
    [
        ({"run": ("one", "one")}, "keep"),
        ({"run": ("one", "one"), "differs": "images"}, "change"),
        ({"run": ("one", "one"), "differs": "images", "strategy": "Recreate"}, "outdated"),
        ({"run": ("one", "one"), "differs": "pod"}, "outdated"),
        ({"run": ("one", "two"), "differs": "pod"}, "replace"),
        ({"run": ("one", "")}, "replace"),
        ({"run": ("one", "two"), "complete": False}, "keep"),
    ],
)
def test_a_run_that_has_begun_is_not_begun_anew_unless_the_spec_asks_for_another(
    changes: dict[str, object], action: str
) -> None:
    assert pod(**changes).action == action


def test_times_are_whole_seconds_in_utc() -> None:
    assert policies.parse_time(policies.format_time(NOW)) == NOW
    assert policies.format_time(NOW) == "2026-01-01T12:00:00Z"

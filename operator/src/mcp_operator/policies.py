"""Should a server be built again, should a Pod be made again? Chains of tiny predicates, the first that speaks decides.

Pure: what they look at is an argument. Every verdict carries its reason, for Events and logs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from mcp_operator.workqueue import backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mcp_operator.models.status import BuildStatus

FactsT = TypeVar("FactsT")
VerdictT = TypeVar("VerdictT")

RETRY_FIRST: Final = 15.0
"""Seconds until a build that failed for a passing reason is tried again."""
RETRY_CAP: Final = 900.0
"""Seconds at most: a registry that is down for hours should not be asked all the time, nor forgotten."""
CREDENTIALS_RECHECK: Final = 30.0
"""Seconds until the Secrets of a build that failed are looked at again: nobody tells of their changes."""
WITH_CREDENTIALS: Final = frozenset({"Fetch", "Push"})
"""Steps that use Secrets."""


# --- builds


@dataclass(frozen=True, kw_only=True)
class BuildFacts:
    """What a decision about building depends on.

    Attributes:
        key: Hash of everything that a build would now be made from.
        image_key: The same hash, of the image in service; None when there is none, or not all is known of it.
        held_key: The same hash, of an image that waits for approval; None when there is none.
        asked: Somebody asks for another attempt.
        last: The last build as the status has it, finished or not.
        now: The time, UTC.
        credentials: Stands for the versions of the Secrets that a build would be given; None where it gets none.
    """

    key: str
    image_key: str | None
    last: BuildStatus | None
    now: datetime
    held_key: str | None = None
    asked: bool = False
    credentials: str | None = None


@dataclass(frozen=True)
class BuildVerdict:
    """Build or not, why, and in how many seconds to ask again (None: only when something changes)."""

    build: bool
    reason: str
    delay: float | None = None


def rebuild(facts: BuildFacts) -> BuildVerdict:
    """Decide whether an image is to be built now."""
    return _first(_BUILD_CHAIN, facts)


def _image_is_current(facts: BuildFacts) -> BuildVerdict | None:
    return BuildVerdict(build=False, reason="UpToDate") if facts.image_key == facts.key else None


def _waits_for_approval(facts: BuildFacts) -> BuildVerdict | None:
    return BuildVerdict(build=False, reason="AwaitsApproval") if facts.held_key == facts.key else None


def _failed_and_asked_for(facts: BuildFacts) -> BuildVerdict | None:
    return BuildVerdict(build=True, reason="Asked") if facts.asked and _failed(facts) else None


def _failed_with_credentials(facts: BuildFacts) -> BuildVerdict | None:
    """Try what failed for good once more with other credentials, if it failed where these are used."""
    last = facts.last
    if last is None or not _failed(facts) or last.transient or last.credentials is None:
        return None
    if last.failed_step not in WITH_CREDENTIALS:
        return None
    if last.credentials == facts.credentials:
        return BuildVerdict(build=False, reason="FailedBefore", delay=CREDENTIALS_RECHECK)
    return BuildVerdict(build=True, reason="CredentialsChanged")


def _failed_for_good(facts: BuildFacts) -> BuildVerdict | None:
    if _failed(facts) and facts.last is not None and not facts.last.transient:
        return BuildVerdict(build=False, reason="FailedBefore")
    return None


def _failed_just_now(facts: BuildFacts) -> BuildVerdict | None:
    if not _failed(facts) or facts.last is None or facts.last.finished_at is None:
        return None
    delay = backoff(facts.last.attempts - 1, RETRY_FIRST, RETRY_CAP)
    passed = (facts.now - parse_time(facts.last.finished_at)).total_seconds()
    # a finish in the future is a clock that was set back: it must not stop builds until then
    if 0 <= passed < delay:
        return BuildVerdict(build=False, reason="BackOff", delay=delay - passed)
    return None


def _failed_some_time_ago(facts: BuildFacts) -> BuildVerdict | None:
    return BuildVerdict(build=True, reason="Retry") if _failed(facts) else None


def _was_interrupted(facts: BuildFacts) -> BuildVerdict | None:
    if facts.last is not None and facts.last.key == facts.key:
        return BuildVerdict(build=True, reason="Unfinished")
    return None


def _changed(facts: BuildFacts) -> BuildVerdict | None:
    return BuildVerdict(build=True, reason="SourceOrBuildChanged") if facts.image_key is not None else None


def _none_yet(_: BuildFacts) -> BuildVerdict | None:
    return BuildVerdict(build=True, reason="FirstBuild")


def _failed(facts: BuildFacts) -> bool:
    return facts.last is not None and facts.last.key == facts.key and facts.last.failed_step is not None


_BUILD_CHAIN: Final[Sequence[Callable[[BuildFacts], BuildVerdict | None]]] = (
    _image_is_current,
    _waits_for_approval,
    _failed_and_asked_for,
    _failed_with_credentials,
    _failed_for_good,
    _failed_just_now,
    _failed_some_time_ago,
    _was_interrupted,
    _changed,
    _none_yet,
)


# --- Pods

ENDED: Final = frozenset({"Failed", "Succeeded"})
"""Phases of a Pod that will not run any more."""

Difference = Literal["none", "images", "pod"]
"""How a Pod differs from the one that would now be made: not at all, by its servers' images alone, by more."""


@dataclass(frozen=True, kw_only=True)
class PodFacts:
    """What a decision about an agent's Pod depends on.

    Attributes:
        exists: There is a Pod of the agent's name.
        controller_uid: UID of its controlling owner; empty when it has none.
        controlled_by_agent_kind: That owner is an MCPAgent.
        agent_uid: UID of the agent.
        deleting: The Pod is ending.
        phase: The Pod's.
        differs: How it differs from the one that would now be made.
        config_hash: The configuration it was told of, and what that would now be.
        complete: All servers are known, so that a Pod could be made now.
        strategy: What happens to a Pod that should be another one.
        run: Of an agent that runs to completion, which run the Pod is of, and which it should be; else both empty.
        overdue: Images were changed in place so long ago that the kubelet must have missed it.
    """

    exists: bool
    controller_uid: str = ""
    controlled_by_agent_kind: bool = False
    agent_uid: str = ""
    deleting: bool = False
    phase: str = ""
    differs: Difference = "none"
    config_hash: tuple[str, str] = ("", "")
    complete: bool = True
    strategy: Literal["InPlace", "Recreate", "OnDelete"] = "InPlace"
    run: tuple[str, str] = ("", "")
    overdue: bool = False


PodAction = Literal["create", "wait", "leave", "remove", "replace", "change", "outdated", "annotate", "keep"]
"""Create it; wait for it to go; it is not ours; delete it because it ended; delete it because it must be another;
change its servers' images; say that it should be another and leave it; tell it of a new configuration; nothing."""


@dataclass(frozen=True)
class PodVerdict:
    """What to do about the Pod, and why."""

    action: PodAction
    reason: str


def pod_change(facts: PodFacts) -> PodVerdict:
    """Decide what to do about an agent's Pod."""
    return _first(_POD_CHAIN, facts)


def _absent(facts: PodFacts) -> PodVerdict | None:
    return PodVerdict("create", "Absent") if not facts.exists else None


def _of_an_earlier_agent(facts: PodFacts) -> PodVerdict | None:
    if facts.controller_uid != facts.agent_uid and facts.controlled_by_agent_kind:
        return PodVerdict("wait", "OfAnEarlierAgent")  # the garbage collector takes it
    return None


def _foreign(facts: PodFacts) -> PodVerdict | None:
    return PodVerdict("leave", "NotOurs") if facts.controller_uid != facts.agent_uid else None


def _ending(facts: PodFacts) -> PodVerdict | None:
    return PodVerdict("wait", "Ending") if facts.deleting else None


def _of_an_earlier_run(facts: PodFacts) -> PodVerdict | None:
    was, wanted = facts.run
    return PodVerdict("replace", "SpecChanged") if facts.complete and was != wanted else None


def _ended(facts: PodFacts) -> PodVerdict | None:
    return PodVerdict("remove", f"Pod{facts.phase}") if facts.phase in ENDED else None


def _missed_by_the_kubelet(facts: PodFacts) -> PodVerdict | None:
    return PodVerdict("replace", "ImagesNotChangedInPlace") if facts.complete and facts.overdue else None


def _as_it_was_made(facts: PodFacts) -> PodVerdict | None:
    # a Pod that runs is not torn down for a server that is not ready
    if facts.complete and facts.differs != "none":
        return None
    was, wanted = facts.config_hash
    return PodVerdict("annotate", "ConfigurationChanged") if was != wanted else PodVerdict("keep", "UpToDate")


def _replaced_by_its_owner(facts: PodFacts) -> PodVerdict | None:
    return PodVerdict("outdated", "OnDelete") if facts.strategy == "OnDelete" else None


def _other_images(facts: PodFacts) -> PodVerdict | None:
    if facts.differs == "images" and facts.strategy == "InPlace":
        return PodVerdict("change", "ImagesOrSecretsChanged")
    return None


def _in_the_middle_of_a_run(facts: PodFacts) -> PodVerdict | None:
    return PodVerdict("outdated", "RunHasBegun") if facts.run[0] else None


def _made_from_other_things(_: PodFacts) -> PodVerdict | None:
    return PodVerdict("replace", "TemplateOrImageChanged")


_POD_CHAIN: Final[Sequence[Callable[[PodFacts], PodVerdict | None]]] = (
    _absent,
    _of_an_earlier_agent,
    _foreign,
    _ending,
    _of_an_earlier_run,
    _ended,
    _missed_by_the_kubelet,
    _as_it_was_made,
    _replaced_by_its_owner,
    _other_images,
    _in_the_middle_of_a_run,
    _made_from_other_things,
)


# ---


def parse_time(text: str) -> datetime:
    """Read an RFC 3339 time of a status."""
    return datetime.fromisoformat(text)


def format_time(moment: datetime) -> str:
    """Write a time for a status: RFC 3339, UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _first(chain: Sequence[Callable[[FactsT], VerdictT | None]], facts: FactsT) -> VerdictT:
    for predicate in chain:
        verdict = predicate(facts)
        if verdict is not None:
            return verdict
    raise AssertionError("the last predicate of a chain always speaks")

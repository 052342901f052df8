from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from mcp_operator.images import push
from mcp_operator.images.budget import Budget
from mcp_operator.images.contract import BuildCancelled, BuildError, RegistryAuth, Step
from mcp_operator.images.reasons import Reason
from mcp_operator.images.registry_http import Access
from mcp_operator.images.stored import Image

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requirement("B-21")

IMAGE = Image(id="sha256:1", size=149_000_000)


@dataclass
class Heard:
    lines: list[str] = field(default_factory=list)

    def step(self, step: Step, detail: str) -> None:
        self.lines.append(f"{step} {detail}")

    def log(self, line: str) -> None:
        self.lines.append(line)


def failure(*, transient: bool, reason: str = Reason.REGISTRY_UNREACHABLE) -> BuildError:
    return BuildError(reason, f"it failed: {reason}", step=Step.PUSH, transient=transient)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(push, "BACKOFF", (0.0, 0.0, 0.0))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


class Attempts:
    """Fails as told, then succeeds."""

    def __init__(self, *failures: BuildError) -> None:
        self.failures = list(failures)
        self.made = 0

    def __call__(self) -> str:
        self.made += 1
        if self.failures:
            raise self.failures.pop(0)
        return "sha256:1"


def test_what_may_pass_is_tried_again_and_said() -> None:
    attempts, heard = Attempts(failure(transient=True), failure(transient=True)), Heard()

    assert push.retried(attempts, Budget(30), heard) == "sha256:1"
    assert attempts.made == 3
    assert heard.lines == ["it failed: RegistryUnreachable; trying again in 0 s"] * 2


def test_what_will_not_pass_is_tried_once() -> None:
    attempts = Attempts(failure(transient=False))

    with pytest.raises(BuildError):
        push.retried(attempts, Budget(30), Heard())
    assert attempts.made == 1


def test_attempts_are_counted() -> None:
    attempts = Attempts(*[failure(transient=True)] * 9)

    with pytest.raises(BuildError):
        push.retried(attempts, Budget(30), Heard())
    assert attempts.made == 4


def test_an_attempt_in_which_docker_was_patient_is_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push, "PATIENCE", -1.0)
    attempts = Attempts(failure(transient=True))

    with pytest.raises(BuildError):
        push.retried(attempts, Budget(30), Heard())
    assert attempts.made == 1


def test_when_the_time_is_used_up_the_cause_is_told_and_not_the_time() -> None:
    attempts = Attempts(failure(transient=True), failure(transient=True, reason=Reason.TIMED_OUT))

    with pytest.raises(BuildError, match="RegistryUnreachable"):
        push.retried(attempts, Budget(30), Heard())


def test_a_cancel_ends_the_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push, "BACKOFF", (1000.0,))
    cancelled = threading.Event()

    class Cancelling(Heard):
        def log(self, line: str) -> None:
            super().log(line)
            cancelled.set()

    with pytest.raises(BuildCancelled):
        push.retried(Attempts(failure(transient=True)), Budget(30, cancelled), Cancelling())


def test_a_plan_says_what_goes_where_as_whom_and_no_secret() -> None:
    target = push.Target(
        repository="ghcr.io/ann/tool",
        tags=("latest", "v1"),
        auth=RegistryAuth(username="ann", password="s3cr3t-of-the-test"),
    )
    plan = push.plan(IMAGE, target)

    assert plan.lines() == [
        "would push sha256:1 (149.0 MB) to ghcr.io as ann, over HTTPS:",
        "  ghcr.io/ann/tool:latest",
        "  ghcr.io/ann/tool:v1",
    ]
    assert "s3cr3t" not in f"{plan} {target}"


def test_a_plan_says_who_answers_for_docker_hub_and_where_there_is_no_tls() -> None:
    hub = push.plan(IMAGE, push.Target(repository="ann/tool", tags=("1",)))
    assert hub.lines()[0] == "would push sha256:1 (149.0 MB) to registry-1.docker.io without credentials, over HTTPS:"

    plain = push.Target(
        repository="r.example.com:5000/x", tags=("1",), access=Access(plain_http=("r.example.com:5000",))
    )
    assert push.plan(IMAGE, plain).plain_http
    assert push.plan(IMAGE, push.Target(repository="127.0.0.1:5000/x", tags=("1",))).plain_http


def test_a_plan_with_a_name_that_is_none_is_an_error() -> None:
    with pytest.raises(BuildError, match="no place"):
        push.plan(IMAGE, push.Target(repository="ghcr.io/Ann/tool", tags=("1",)))

"""Settings that an image is tried out with: whoever waits for them to be verified must not wait in vain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from agent_world import SETTINGS
from examples import server
from mcp_operator.images import existing, pipeline
from mcp_operator.images.existing import ImageRequest
from mcp_operator.models.run import Run
from mcp_operator.models.status import ImageStatus
from mcp_operator.reconcile import build_requests, run_settings
from mcp_operator.reconcile.lookups import Answer

if TYPE_CHECKING:
    from mcp_operator.objects import Resource

pytestmark = pytest.mark.requirement("O-11")

DIGEST = f"sha256:{'1' * 64}"
GIVEN = {"valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
CHANGES: list[dict[str, Any]] = [
    {"args": ["--x"]},
    {"env": [{"name": "A", "value": "1"}]},
    {"env": [{"name": "A", **GIVEN}]},
    {"transport": "sse"},
    {"port": 80},
    {"path": "/x"},
    {"envFrom": [{"secretRef": {"name": "s"}}]},
    {"files": [{"path": "/etc/x", "content": "x"}]},
    {"resources": {"limits": {"memory": "1Gi"}}},
    {"placement": "Shared"},
    {"serverRequests": ["roots"]},
    {"imagePullSecrets": [{"name": "pull"}]},
]


def key(of: Resource[Any]) -> str:
    """Give the key under which a server would be built or tried out."""
    wanted = build_requests.request(of, Answer(revision=DIGEST), SETTINGS)
    return existing.key(wanted) if isinstance(wanted, ImageRequest) else pipeline.key(wanted, "c", {})


@pytest.mark.parametrize("source", [{"git": {"url": "https://git.test/a"}}, {"image": {"reference": "r.test/a:1"}}])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_what_must_be_verified_first_is_verified_by_another_build(
    source: dict[str, Any], change: dict[str, Any]
) -> None:
    before, after = (server("one", source=source, run=run) for run in ({}, change))
    if run_settings.fingerprint(before.spec.run) != run_settings.fingerprint(after.spec.run):
        assert key(before) != key(after)


@pytest.mark.requirement("B-01")
@pytest.mark.parametrize("field", ["recurseSubmodules", "lfs"])
def test_what_more_of_a_repository_is_asked_for_is_another_build(field: str) -> None:
    git = {"url": "https://git.test/a"}
    before, after = (server("one", source={"git": git | more}) for more in ({}, {field: True}))
    assert key(before) != key(after)


@pytest.mark.parametrize("change", CHANGES[:6], ids=lambda change: next(iter(change)))
def test_what_a_server_is_started_with_must_be_verified(change: dict[str, Any]) -> None:
    image = ImageStatus(
        reference="r",
        id="i",
        size=1,
        command=[],
        working_dir="/",
        build_key="k",
        verified_with=run_settings.fingerprint(Run()),
    )
    assert run_settings.are_verified(Run(), image)
    assert not run_settings.are_verified(Run.model_validate(change), image)
    assert run_settings.are_verified(Run.model_validate(change), image.model_copy(update={"verified_with": None}))


def test_another_secret_for_the_same_variable_needs_no_other_verification() -> None:
    other = {"valueFrom": {"secretKeyRef": {"name": "t", "key": "k"}}}
    one, two = (Run.model_validate({"env": [{"name": "A", **given}]}) for given in (GIVEN, other))
    assert run_settings.fingerprint(one) == run_settings.fingerprint(two)

"""Hardening is filled in where it is absent; no capability and no escalation, always."""

from __future__ import annotations

from typing import Any

import pytest
from mcp_operator.manifests import security

pytestmark = pytest.mark.requirement("F-06")

ALWAYS = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
PROFILE = {"seccompProfile": {"type": "RuntimeDefault"}}
LOCALHOST = {"seccompProfile": {"type": "Localhost", "localhostProfile": "x"}}


@pytest.mark.parametrize(
    ("container", "pod", "expected"),
    [
        ({}, {}, {**ALWAYS, **PROFILE, "runAsNonRoot": True}),
        ({"runAsUser": 1000}, {}, {**ALWAYS, **PROFILE, "runAsUser": 1000, "runAsNonRoot": True}),
        ({"runAsUser": 0}, {}, {**ALWAYS, **PROFILE, "runAsUser": 0}),
        ({}, {"runAsUser": 0}, {**ALWAYS, **PROFILE}),
        ({"runAsUser": 1000}, {"runAsUser": 0}, {**ALWAYS, **PROFILE, "runAsUser": 1000, "runAsNonRoot": True}),
        ({"runAsUser": None}, {"runAsUser": 0}, {**ALWAYS, **PROFILE, "runAsUser": None}),
        ({"runAsNonRoot": False}, {}, {**ALWAYS, **PROFILE, "runAsNonRoot": False}),
        ({}, {"runAsNonRoot": False}, {**ALWAYS, **PROFILE}),
        (LOCALHOST, {}, {**ALWAYS, **LOCALHOST, "runAsNonRoot": True}),
        ({}, LOCALHOST, {**ALWAYS, "runAsNonRoot": True}),
        ({"capabilities": {"drop": ["NET_RAW"]}}, {}, {**ALWAYS, **PROFILE, "runAsNonRoot": True}),
        (
            {"readOnlyRootFilesystem": True},
            {"fsGroup": 1},
            {**ALWAYS, **PROFILE, "runAsNonRoot": True, "readOnlyRootFilesystem": True},
        ),
    ],
)
def test_a_users_context_is_kept_and_filled_in(
    container: dict[str, Any], pod: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert security.hardened(container, pod) == expected


@pytest.mark.parametrize(
    ("container", "pod", "root"),
    [
        ({}, {}, False),
        ({"runAsUser": 0}, {}, True),
        ({}, {"runAsUser": 0}, True),
        ({"runAsUser": 1000}, {"runAsUser": 0, "runAsNonRoot": False}, False),
        ({"runAsNonRoot": False}, {}, True),
        ({}, {"runAsNonRoot": False}, True),
        ({"runAsNonRoot": True}, {"runAsNonRoot": False}, False),
        ({"runAsUser": None}, {"runAsUser": 1000}, False),
    ],
)
def test_who_may_be_root_is_told_from_both_contexts(
    container: dict[str, Any], pod: dict[str, Any], *, root: bool
) -> None:
    assert security.may_be_root(container, pod) is root


def test_our_own_context_is_complete_by_itself() -> None:
    assert security.ours(7) == {
        **ALWAYS,
        **PROFILE,
        "runAsUser": 7,
        "runAsGroup": 7,
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
    }

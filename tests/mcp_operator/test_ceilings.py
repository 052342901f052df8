"""What a namespace may build from or connect to, and whom a policy is about."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from examples import ceiling, server
from mcp_operator import ceilings, conditions
from mcp_operator.outcomes import Done, Stalled
from mcp_operator.source_globs import Name

if TYPE_CHECKING:
    from mcp_operator.models.policy import ToolPolicySpec
    from mcp_operator.objects import Resource

pytestmark = pytest.mark.requirement("O-20")

PROD = {"env": "prod"}
ACME = server(source={"git": {"url": "https://github.com/acme/tools"}})


def sources(*globs: str, name: str = "base", **spec: Any) -> Resource[ToolPolicySpec]:  # noqa: ANN401 - of a spec
    return ceiling(name, sources={"allow": list(globs)}, **spec)


def test_without_a_policy_about_sources_every_source_is_allowed() -> None:
    assert ceilings.source_allowed([ceiling(tools={"deny": ["*"]})], PROD, ACME.spec) == Done(conditions.SUCCEEDED)


def test_every_policy_must_allow_a_source_and_the_refusal_names_those_that_do_not() -> None:
    policies = [sources("npm:*", name="zeta"), sources("git:*", name="beta"), sources(name="alpha")]
    refusal = ceilings.source_allowed(policies, PROD, ACME.spec)
    assert isinstance(refusal, Stalled)
    assert refusal.reason == "SourceNotAllowed"
    assert refusal.message.startswith(
        "git:https://github.com/acme/tools is not allowed in this namespace by ToolPolicy/alpha, ToolPolicy/zeta: "
    )


@pytest.mark.parametrize(
    "spec",
    [
        {"enforcement": "Audit"},
        {"target": {"namespaceSelector": {"matchLabels": {"env": "test"}}}},
    ],
)
def test_a_policy_in_audit_or_about_other_namespaces_refuses_no_source(spec: dict[str, Any]) -> None:
    assert isinstance(ceilings.source_allowed([sources(**spec)], PROD, ACME.spec), Done)


def test_names_and_labels_that_tenants_choose_do_not_get_around_a_ceiling_over_sources() -> None:
    target = {"servers": ["other"], "agentSelector": {"matchLabels": {"a": "b"}}, "sources": {"npm": ["*"]}}
    assert isinstance(ceilings.source_allowed([sources(target=target)], PROD, ACME.spec), Stalled)


@pytest.mark.parametrize(
    ("policies", "allowed"),
    [
        ([], False),
        ([sources("*")], False),
        ([sources("remote:http://*.team.svc/*")], False),
        ([sources("remote:http://tools.team.svc/*")], True),
        ([sources("*"), sources("remote:http://tools.team.svc/*", name="more")], True),
        ([sources("remote:http://tools.team.svc/*", enforcement="Audit")], False),
        ([sources("remote:http://tools.team.svc/*", target={"namespaceSelector": {"matchLabels": {"a": "b"}}})], False),
    ],
)
def test_a_server_inside_of_the_cluster_needs_an_enforced_policy_that_names_its_host(
    policies: list[Resource[ToolPolicySpec]],
    *,
    allowed: bool,
) -> None:
    inside = server(source={"remote": {"url": "http://tools.team.svc/mcp"}})
    assert ceilings.inside_allowed(policies, PROD, inside.spec) is allowed


def test_a_server_counts_as_from_its_source_in_service_until_the_next_one_is() -> None:
    moved = dataclasses.replace(ACME, status={"source": {"name": "npm:@acme/tools"}})
    assert ceilings.source_of(moved.spec) == ("git", "https://github.com/acme/tools")
    assert ceilings.sources_of(moved) == {
        Name(kind="git", text="https://github.com/acme/tools"),
        Name(kind="npm", text="@acme/tools"),
    }
    assert ceilings.sources_of(dataclasses.replace(ACME, status={"source": {"commit": "0" * 40}})) == {
        Name(kind="git", text="https://github.com/acme/tools")
    }


@pytest.mark.parametrize(
    ("target", "about"),
    [
        ({}, True),
        ({"servers": ["g*"]}, True),
        ({"servers": ["time"]}, False),
        ({"sources": {"git": ["https://github.com/ACME/*"]}}, True),
        ({"sources": {"git": []}}, False),
        ({"sources": {"npm": ["*"]}}, False),
        ({"sources": {"npm": ["*"], "git": ["*"]}, "servers": ["time"]}, False),
    ],
)
def test_a_target_selects_servers_by_name_and_source(target: dict[str, Any], *, about: bool) -> None:
    wanted = ceiling(target=target).spec.target
    assert ceilings.is_about_server(wanted, "git", ceilings.sources_of(ACME)) is about


def test_a_server_of_which_nobody_knows_the_source_may_be_from_any() -> None:
    assert ceilings.is_about_server(ceiling(target={"sources": {"npm": ["x"]}}).spec.target, "git", ())

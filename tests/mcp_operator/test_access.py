"""The rights that are asked for are those that are used, and the chart's roles are made of them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from mcp_operator import access, kube
from mcp_operator.access import Access, Resource, Scope

pytestmark = [pytest.mark.requirement("O-34")]

PACKAGE = Path(access.__file__).parent
KOPF = {"WATCH_OURS", "LIST_NAMESPACES", "WATCH_NAMESPACES", "LIST_DEFINITIONS", "WATCH_DEFINITIONS"}
"""Used by kopf, as its handlers are registered."""
REQUIRED_BY_ADMISSION = {"BLOCK_DELETION", "BIND_GUARD_ROLE"}
"""No request of ours: the API server asks for them when it judges another one."""


def defined() -> dict[str, object]:
    """Give the module's rights by their names."""
    found = {name: value for name, value in vars(access).items() if isinstance(value, Access)}
    tables = {name: value for name, value in vars(access).items() if isinstance(value, dict)}
    rights = {name: table for name, table in tables.items() if any(isinstance(each, Access) for each in table.values())}
    return {**found, **rights}


def used() -> set[str]:
    """Name the attributes of ``access`` that other modules use."""
    trees = [ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py") if path.name != "access.py"]
    return {
        node.attr
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "access"
    }


def test_every_right_is_used_by_a_request_a_watch_or_kopf() -> None:
    creates = {name for name in defined() if name.startswith("CREATE_") and name.replace("CREATE_", "APPLY_") in used()}
    assert set(defined()) - used() - KOPF - REQUIRED_BY_ADMISSION - creates == set()


def test_what_is_applied_may_also_be_created() -> None:
    rights = list(access.every())
    applied = {right.resource for right in rights if right.content == access.APPLY_PATCH}
    created = {right.resource for right in rights if right.verb == "create"}
    assert applied <= created


def test_a_request_is_made_with_a_right_and_never_with_a_path_of_its_own() -> None:
    sources = {path.name: path.read_text() for path in PACKAGE.glob("kube*.py")}
    assert "/api" not in "".join(text for name, text in sources.items() if name != "kube.py")
    assert sources["kube.py"].count("_connection.send(") == 1


def test_secrets_are_read_by_name_and_never_listed_watched_or_deleted() -> None:
    rights = [right for right in access.every() if right.resource.plural == "secrets"]
    served = {right.verb for right in rights if right.scope is Scope.SERVED}
    assert served <= {"get", "create", "patch"}  # certificates of shared servers are made and renewed
    assert {right.verb for right in rights} <= {"get", "create", "patch"}
    assert not [right for right in rights if right.scope in {Scope.CLUSTER, Scope.DEFAULT}]


def test_what_needs_a_cluster_role_in_a_namespaced_installation_is_small() -> None:
    rights = [right for right in access.every() if right.scope is Scope.CLUSTER]
    whole = {right.resource.full for right in rights if not right.name}
    reviews = {"tokenreviews", "subjectaccessreviews"}  # of those who ask the read API
    assert whole == {"toolpolicies", "toolpolicies/status", "namespaces", "customresourcedefinitions"} | reviews
    changing = {
        right.resource.full for right in rights if right.verb not in {"get", "list", "watch"} and not right.name
    }
    assert changing == {"toolpolicies/status"} | reviews


def test_what_one_feature_alone_needs_is_marked_so_that_the_chart_can_leave_it_out() -> None:
    marked = {right.resource.plural: right.feature for right in access.every() if right.feature}
    assert marked == {
        "mutatingwebhookconfigurations": "injection",
        "validatingwebhookconfigurations": "injection",
        "tokenreviews": "readApi",
        "subjectaccessreviews": "readApi",
    }


@pytest.mark.parametrize("right", list(access.every()), ids=str)
def test_no_right_is_a_wildcard_or_leads_to_more_rights(right: Access) -> None:
    assert "*" not in (right.verb, right.resource.group, right.resource.plural, right.resource.sub)
    assert right.resource.full not in {"pods/exec", "pods/attach", "serviceaccounts/token", "nodes"}


def test_rules_name_each_resource_once_with_all_its_verbs() -> None:
    pods, leases = Resource(plural="pods"), Resource(group="coordination.k8s.io", plural="leases")
    rights = [
        Access(verb="create", resource=pods),
        Access(verb="get", resource=pods),
        Access(verb="get", resource=Resource(plural="configmaps")),
        Access(verb="create", resource=Resource(plural="configmaps")),
        Access(verb="get", resource=leases, name="one"),
    ]
    assert access.rules(rights) == [
        {"apiGroups": [""], "resources": ["configmaps", "pods"], "verbs": ["get", "create"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": ["one"], "verbs": ["get"]},
    ]


def test_paths_are_those_of_the_api() -> None:
    assert kube.path(access.GET_POD, "team", "a.b") == "/api/v1/namespaces/team/pods/a.b"
    assert kube.path(access.LIST_OURS["toolpolicies"]) == "/apis/toolman.dev/v1alpha1/toolpolicies"
    status = "/apis/toolman.dev/v1alpha1/namespaces/t/mcpagents/dev/status"
    assert kube.path(access.PATCH_STATUS["mcpagents"], "t", "dev") == status

"""A tenant who may edit everything in a namespace can still not edit an agent's rules or enter where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import throwaway
from kubectl import KubectlError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kubectl import Kubectl

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("demo"), pytest.mark.requirement("F-06")]

TENANT = "--as=tenant"
POD = "assistant"
NO_OWNER = '--patch={"metadata": {"ownerReferences": null}}'


@pytest.fixture(scope="module")
def samples() -> Iterator[Kubectl]:
    kubectl = throwaway.cluster("toolman-demo")
    kubectl("create", "rolebinding", "tenant", "--clusterrole=edit", "--user=tenant")
    kubectl("create", "role", "tenant-agents", "--verb=*", "--resource=mcpagents.toolman.dev")
    kubectl("create", "rolebinding", "tenant-agents", "--role=tenant-agents", "--user=tenant")
    yield kubectl
    kubectl("delete", "rolebinding", "tenant", "tenant-agents")
    kubectl("delete", "role", "tenant-agents")


@pytest.mark.parametrize(
    "attempt",
    [
        ("patch", "configmap", f"{POD}-toolman", "--type=merge", '--patch={"data": {"toolman.json": "{}"}}'),
        ("label", "configmap", f"{POD}-toolman", "app.kubernetes.io/managed-by-"),
        ("delete", "configmap", f"{POD}-toolman"),
        ("patch", "configmap", f"{POD}-toolman", "--type=merge", '--patch={"immutable": true}'),
        ("patch", "configmap", f"{POD}-toolman", "--type=merge", NO_OWNER),
        ("patch", "pod", POD, "--type=merge", NO_OWNER),
        ("label", "pod", POD, "app.kubernetes.io/managed-by-"),
        ("set", "image", f"pod/{POD}", "toolman=example.invalid/mine:1"),
        ("exec", POD, "-c", "toolman", "--", "/app/.venv/bin/python", "--version"),
        ("exec", POD, "-c", "mcp-server-git", "--", "/mcp/bin/busybox", "env"),
    ],
    ids=" ".join,
)
def test_a_tenant_is_refused_and_told_what_to_change_instead(samples: Kubectl, attempt: tuple[str, ...]) -> None:
    with pytest.raises(KubectlError, match=r"denied request: .* who really must needs the right to override"):
        samples(TENANT, *attempt)


def test_a_tenant_may_enter_the_agents_own_container(samples: Kubectl) -> None:
    assert samples(TENANT, "exec", POD, "-c", "agent", "--", "echo", "hello") == "hello\n"

"""The chart's admission rules on a real API server: what a tenant may not touch, and what kubectl apply warns of."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kubectl import KubectlError
from mcp_operator import names
from mcp_operator.models.base import NAME_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kubectl import Kubectl
    from spare_apiserver import SpareApiServer

pytestmark = [pytest.mark.apiserver, pytest.mark.requirement("O-22")]

CHART = Path(__file__).parents[2] / "charts" / "mcp-operator"
RELEASE, OWN_NAMESPACE = "mcp-operator", "mcp-system"
OPERATOR = f"--as=system:serviceaccount:{OWN_NAMESPACE}:{RELEASE}"
TENANT = "--as=tenant"
MANAGED = {names.MANAGED_BY: names.MANAGER}
NO_OWNER = '{"metadata": {"ownerReferences": null}}'
NO_LABEL = json.dumps({"metadata": {"labels": {names.MANAGED_BY: None}}})
POD_SPEC: dict[str, Any] = {"containers": [{"name": "agent", "image": "agent:1"}]}
LABELS = {"app": "x"}
EVERYTHING = (
    "configmaps,pods,pods/exec,pods/attach,pods/portforward,pods/ephemeralcontainers,services,serviceaccounts,"
    "deployments.apps,networkpolicies.networking.k8s.io,poddisruptionbudgets.policy,"
    "mcpagents.toolman.dev,mcpagents.toolman.dev/status,mcpservers.toolman.dev,mcpservers.toolman.dev/status"
)


def _rendered() -> str:
    helm = shutil.which("helm") or str(Path.home() / ".cache" / "toolman" / "bin" / "helm")
    place = (RELEASE, str(CHART), "--namespace", OWN_NAMESPACE, "--kube-version", "1.31.0")
    kinds = ("--api-versions", "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy")
    templates = [f"--show-only=templates/{name}.yaml" for name in ("admission", "admission-warnings")]
    command = [helm, "template", *place, *kinds, *templates, "--values", str(CHART / "ci" / "values.yaml")]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.fixture(scope="module")
def rules(spare_apiserver: SpareApiServer) -> SpareApiServer:
    spare_apiserver.kubectl("apply", "-f", "-", stdin=_rendered())
    return spare_apiserver


def _owned(kind: str, version: str, name: str, **rest: object) -> dict[str, Any]:
    owner = {"apiVersion": names.API_VERSION, "kind": "MCPServer", "name": "git", "uid": "0", "controller": True}
    metadata = {"name": name, "labels": MANAGED, "ownerReferences": [owner]}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


OBJECTS = (
    {
        "apiVersion": names.API_VERSION,
        "kind": "MCPServer",
        "metadata": {"name": "git"},
        "spec": {"source": {"npm": {"package": "x"}}},
    },
    _owned("ConfigMap", "v1", "git-manifest", data={"tools": "[]"}),
    _owned("Pod", "v1", "dev", spec=POD_SPEC),
    _owned(
        "Deployment",
        "apps/v1",
        "git",
        spec={
            "selector": {"matchLabels": LABELS},
            "template": {"metadata": {"labels": LABELS}, "spec": POD_SPEC},
        },
    ),
    _owned("Service", "v1", "git", spec={"selector": LABELS, "ports": [{"port": 8443}]}),
    _owned("ServiceAccount", "v1", "toolman-guard"),
    _owned("NetworkPolicy", "networking.k8s.io/v1", "git", spec={"podSelector": {"matchLabels": LABELS}}),
    _owned("PodDisruptionBudget", "policy/v1", "git", spec={"maxUnavailable": 1, "selector": {"matchLabels": LABELS}}),
    _owned(
        "MCPAgent",
        names.API_VERSION,
        "git",
        spec={"servers": [{"name": "git"}], "template": {"spec": {"containers": [{"name": "agent"}]}}},
    ),
)


@pytest.fixture(scope="module")
def team(rules: SpareApiServer) -> Iterator[Kubectl]:
    """Give a namespace with objects of the operator, where the operator and a tenant may do everything."""
    with rules.namespace("team") as kubectl:
        # Not the ClusterRole edit: what is in that is put together by a controller that does not run here.
        kubectl("create", "role", "everything", "--verb=*", f"--resource={EVERYTHING}")
        operator = f"--serviceaccount={OWN_NAMESPACE}:{RELEASE}"
        for name, subject in (("tenant", "--user=tenant"), ("admin", "--user=admin"), ("operator", operator)):
            kubectl("create", "rolebinding", name, "--role=everything", subject)
        kubectl.apply(*OBJECTS)
        yield kubectl


@pytest.fixture(scope="module")
def enforced(team: Kubectl) -> Kubectl:
    """Wait until the rules are in effect: the API server compiles them in the background."""
    attempt = (TENANT, "patch", "configmap", "git-manifest", "--type=merge", f"--patch={NO_OWNER}", "--dry-run=server")
    for _ in range(120):
        refusal = _refusal(team, *attempt)
        if "denied request" in refusal:
            return team
    raise AssertionError(f"the rules never came into effect: {refusal}")


def _refusal(kubectl: Kubectl, *attempt: str) -> str:
    try:
        kubectl(*attempt)
    except KubectlError as error:
        return str(error)
    return ""


CHANGES: dict[str, str] = {
    "configmap/git-manifest": '{"data": {"tools": "[1]"}}',
    "pod/dev": '{"spec": {"activeDeadlineSeconds": 1}}',
    "deployment/git": '{"spec": {"template": {"spec": {"hostNetwork": true}}}}',
    "service/git": '{"spec": {"selector": {"app": "mine"}}}',
    "serviceaccount/toolman-guard": '{"automountServiceAccountToken": true}',
    "networkpolicy/git": '{"spec": {"ingress": [{}]}}',
    "poddisruptionbudget/git": '{"spec": {"maxUnavailable": 2}}',
    "mcpagent/git": '{"spec": {"toolNames": "Plain"}}',
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("change", ["its own", NO_OWNER, NO_LABEL])
def test_a_tenant_cannot_change_what_the_operator_makes(enforced: Kubectl, what: str, change: str) -> None:
    patch = CHANGES[what] if change == "its own" else change
    with pytest.raises(KubectlError, match=r"denied request: .* who really must needs the right to override"):
        enforced(TENANT, "patch", what, "--type=merge", f"--patch={patch}")


@pytest.mark.parametrize("what", sorted(set(CHANGES) - {"pod/dev", "mcpagent/git"}))
def test_a_tenant_cannot_delete_it(enforced: Kubectl, what: str) -> None:
    with pytest.raises(KubectlError, match=r"denied request: .* who really must needs the right to override"):
        enforced(TENANT, "delete", what, "--wait=false")


@pytest.mark.parametrize("what", CHANGES)
def test_the_operator_can(enforced: Kubectl, what: str) -> None:
    enforced(OPERATOR, "patch", what, "--type=merge", f"--patch={CHANGES[what]}", "--dry-run=server")


@pytest.mark.parametrize("what", CHANGES)
def test_notes_on_it_are_nobodys_loss(enforced: Kubectl, what: str) -> None:
    enforced(TENANT, "annotate", what, "example.com/note=seen", "--dry-run=server")


def test_whoever_may_override_in_the_whole_cluster_can(enforced: Kubectl) -> None:
    enforced("create", "clusterrole", "override", "--verb=override", "--resource=mcpagents.toolman.dev")
    attempt = ("--as=admin", "patch", "service/git", "--type=merge", f"--patch={CHANGES['service/git']}")
    enforced("create", "rolebinding", "override", "--clusterrole=override", "--user=admin")
    with pytest.raises(KubectlError, match="denied request"):
        enforced(*attempt, "--dry-run=server")
    enforced("create", "clusterrolebinding", "override", "--clusterrole=override", "--user=admin")
    for _ in range(60):  # the authorizer hears of it in its own time
        if enforced("auth", "can-i", "override", "mcpagents.toolman.dev", "-A", "--as=admin").strip() == "yes":
            break
    enforced(*attempt, "--dry-run=server")


@pytest.mark.parametrize("whose", ["mcpserver/git", "mcpagent/git"])
def test_a_tenant_cannot_say_what_is_in_service(enforced: Kubectl, whose: str) -> None:
    patch = ("patch", whose, "--subresource=status", "--type=merge", '--patch={"status": {"summary": "mine"}}')
    with pytest.raises(KubectlError, match="only mcp-operator writes it"):
        enforced(TENANT, *patch)
    enforced(OPERATOR, *patch, "--dry-run=server")


def test_what_is_not_the_operators_is_the_tenants_own(enforced: Kubectl) -> None:
    enforced(TENANT, "create", "configmap", "mine", "--from-literal=a=b")
    enforced(TENANT, "delete", "configmap", "mine")


GUARD = "git-guard-5d4f8b9c7d-x2x4z"


def _cut(server: str) -> str:
    """Name a Pod of a guard as Kubernetes does where that is long: 58 characters of the beginning, and five more."""
    return f"{server}-guard-5d4f8b9c7d-"[:58] + "x2x4z"


LONG_GUARD, LONGISH_GUARD = _cut("n" * NAME_LIMIT), _cut("n" * 41)


def _connect(kubectl: Kubectl, how: str) -> str:
    path = f"/api/v1/namespaces/{kubectl.namespace}/pods/{how}"
    return _refusal(kubectl, TENANT, "create", "--raw", path, "-f", "/dev/null")


@pytest.mark.parametrize(
    "how",
    [
        "dev/exec?command=env&container=toolman",
        "dev/exec?command=env&container=mcp-server-git",
        "dev/exec?command=env&container=await-tools",
        "dev/attach?container=mcp-install",
        f"{GUARD}/exec?command=env&container=mcp-guard",
        f"{GUARD}/exec?command=env",
        f"{GUARD}/attach",
        f"{GUARD}/portforward?ports=8000",
        f"{LONG_GUARD}/exec?command=env",
        f"{LONG_GUARD}/portforward?ports=8000",
        f"{LONGISH_GUARD}/attach",
    ],
)
def test_a_tenant_cannot_enter_where_rules_and_secrets_are(enforced: Kubectl, how: str) -> None:
    assert "this container holds an agent's rules or a server's secrets" in _connect(enforced, how)


@pytest.mark.parametrize(
    "how",
    [
        "dev/exec?command=env&container=agent",
        "dev/exec?command=env",
        "dev/portforward?ports=8000",
        "my-guard-service/portforward?ports=8000",
    ],
)
def test_a_tenant_may_enter_the_agents_own_container(enforced: Kubectl, how: str) -> None:
    refusal = _connect(enforced, how)
    assert refusal  # there is no node here that it could lead to
    assert "denied request" not in refusal


def test_a_tenant_cannot_add_a_debugging_container(enforced: Kubectl) -> None:
    with pytest.raises(KubectlError, match=r"this Pod is made by mcp-operator"):
        enforced(TENANT, "debug", "dev", "--image=busybox:1", "--target=agent", "--profile=general")


@pytest.mark.requirement("O-15")
def test_a_tenant_cannot_add_a_debugging_container_beside_injected_sidecars(enforced: Kubectl) -> None:
    labelled = {"name": "web", "labels": {names.LABEL_AGENT: "web"}}
    enforced.apply({"apiVersion": "v1", "kind": "Pod", "metadata": labelled, "spec": POD_SPEC})
    with pytest.raises(KubectlError, match=r"this Pod has an agent's sidecars"):
        enforced(TENANT, "debug", "web", "--image=busybox:1", "--target=agent", "--profile=general")


# --- warnings


def _warnings(kubectl: Kubectl, kind: str, spec: dict[str, Any]) -> str:
    document = {"apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": "odd"}, "spec": spec}
    place = (f"--kubeconfig={kubectl.kubeconfig}", f"--cache-dir={kubectl.cache}", f"--namespace={kubectl.namespace}")
    command = ["kubectl", *place, "apply", "--dry-run=server", "-f", "-"]
    done = subprocess.run(command, input=json.dumps(document), capture_output=True, text=True, check=True, timeout=60)
    return done.stderr


TEMPLATE = {"spec": {"containers": [{"name": "agent", "image": "agent:1"}]}}


def _agent(tools: dict[str, Any], **spec: object) -> dict[str, Any]:
    return {"servers": [{"name": "git", "tools": tools}], "template": TEMPLATE, **spec}


@pytest.mark.parametrize(
    ("kind", "spec", "text"),
    [
        ("MCPAgent", _agent({"allow": []}), "the agent gets no tool of it"),
        ("MCPAgent", _agent({"allow": ["git__status"]}), "leave out the prefix SERVER__"),
        ("MCPAgent", _agent({"deny": ["git__*"]}), "leave out the prefix SERVER__"),
        ("MCPAgent", _agent({"allow": ["git_s*"]}, requiredTools=["git/git_log"]), "is not in tools.allow"),
        ("MCPAgent", _agent({"allow": ["git.log"]}, requiredTools=["git/git_log"]), "is not in tools.allow"),
        ("MCPAgent", _agent({"deny": ["*_l?g"]}, requiredTools=["git/git_log"]), "is in tools.deny"),
        ("MCPAgent", _agent({"deny": ["git[!a]log"]}, requiredTools=["git/git_log"]), "is in tools.deny"),
        ("MCPServer", {"source": {"npm": {"package": "x"}}, "tools": {"allow": []}}, "no agent gets a tool"),
        ("ToolPolicy", {"tools": {"allow": []}}, "denies everything to whom this policy is about"),
        ("ToolPolicy", {"resources": {"allow": []}}, "denies everything to whom this policy is about"),
        ("ToolPolicy", {"sources": {"allow": []}}, "nothing may be built or connected to"),
    ],
)
def test_what_is_hardly_meant_is_warned_of_and_accepted(
    enforced: Kubectl, kind: str, spec: dict[str, Any], text: str
) -> None:
    found = _warnings(enforced, kind, spec)
    assert text in found
    assert found.count("Warning:") == 1


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("MCPAgent", _agent({"allow": ["git_*"], "deny": ["git_push"]}, requiredTools=["git/git_log"])),
        ("MCPAgent", _agent({"allow": ["a.b+(c)|{d}^$\\\\"]}, requiredTools=["git/a.b+(c)|{d}^$\\\\"])),
        ("MCPAgent", _agent({"allow": ["git__*"]}, toolNames="Plain")),
        ("MCPAgent", _agent({"allow": ["[unclosed"]})),
        ("MCPAgent", _agent({})),
        ("MCPServer", {"source": {"npm": {"package": "x"}}, "tools": {"allow": ["x"]}}),
        ("ToolPolicy", {"tools": {"deny": ["x"]}, "sources": {"allow": ["git:*"]}}),
    ],
)
def test_what_makes_sense_is_not(enforced: Kubectl, kind: str, spec: dict[str, Any]) -> None:
    assert "Warning:" not in _warnings(enforced, kind, spec)


def test_the_largest_agent_is_judged_within_the_cost_that_the_api_server_allows(enforced: Kubectl) -> None:
    globs = [f"{'x' * 20}{number}*" for number in range(128)]
    servers = [{"name": f"s{number}", "tools": {"allow": globs, "deny": globs}} for number in range(16)]
    required = [f"s{number % 16}/tool_{number}" for number in range(64)]
    spec = {"servers": servers, "requiredTools": required, "template": TEMPLATE}
    _warnings(enforced, "MCPAgent", spec)

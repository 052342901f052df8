"""Shared servers before a real API server: it takes what is made, leaves it alone, and says whose tokens are."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import operator_processes
import pytest
from agent_world import SETTINGS
from guard_world import AUDIENCE, PING, World, caller, layer
from mcp_operator import kube, names, objects, status
from mcp_operator.cluster import SERVER
from mcp_operator.events import Recorder
from mcp_operator.models.server import MCPServerSpec
from mcp_operator.models.status import MCPServerStatus
from mcp_operator.outcomes import Waiting
from mcp_operator.reconcile.services import Services
from mcp_operator.reconcile.shared import SharedServers
from operator_processes import exists, operators, wait
from shared_world import IMAGE, SOURCE
from toolman_harness import LIMIT, Starter, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kubectl import Kubectl
    from mcp_operator.kube import Kubernetes
    from spare_apiserver import SpareApiServer

pytestmark = [pytest.mark.apiserver, pytest.mark.requirement("O-04")]

BINDING = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": names.GUARD_ROLE},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": names.GUARD_ROLE},
}
KINDS = "deployment,service,networkpolicy,poddisruptionbudget,configmap,serviceaccount"


@pytest.fixture
def api(spare_apiserver: SpareApiServer, monkeypatch: pytest.MonkeyPatch) -> Kubernetes:
    monkeypatch.setenv("KUBECONFIG", str(spare_apiserver.kubeconfig))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    return kube.connect()


class Place:
    """A namespace with a shared server, and what reconciles it."""

    def __init__(self, kubectl: Kubectl, api: Kubernetes) -> None:
        self.kubectl = kubectl
        self.namespace = str(kubectl.namespace)
        self.api = api
        settings = replace(SETTINGS, namespace=self.namespace)

        def clock() -> datetime:
            return datetime.now(UTC)

        services = Services(
            api=api, recorder=Recorder(api, clock), settings=settings, clock=clock, wake=lambda *_: None
        )
        self.shared = SharedServers(services)
        image = {"reference": IMAGE, "id": "x", "size": 1, "command": ["serve"], "workingDir": "/app", "buildKey": "k"}
        self.status = MCPServerStatus.model_validate({"image": image})

    def look(self) -> object:
        """Reconcile, and write the status down."""
        raw = self.kubectl.get("mcpserver", "git")
        found = self.shared.reconcile(objects.parse(MCPServerSpec, raw), self.status)
        status.write(self.api, SERVER, raw, self.status)
        return found

    def versions(self) -> dict[str, str]:
        """Give the versions of everything in the namespace."""
        found = json.loads(self.kubectl("get", f"{KINDS},secret", "-o", "json"))["items"]
        return {
            f"{each['kind']}/{each['metadata']['name']}": each["metadata"]["resourceVersion"]
            for each in found
            if names.LABEL_SERVER in each["metadata"].get("labels", {})
        }


def server(**run: object) -> dict[str, Any]:
    spec = {"source": SOURCE, "run": {"placement": "Shared", **run}}
    return {"apiVersion": names.API_VERSION, "kind": "MCPServer", "metadata": {"name": "git"}, "spec": spec}


@pytest.fixture
def place(spare_apiserver: SpareApiServer, api: Kubernetes) -> Iterator[Place]:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    with spare_apiserver.namespace("shared", **labels) as kubectl:
        kubectl.apply(BINDING, server(shared={"replicas": 2}))
        yield Place(kubectl, api)


def test_the_api_server_takes_everything_and_the_second_time_nothing_is_written(place: Place) -> None:
    assert isinstance(place.look(), Waiting)
    before = place.versions()
    assert {each.partition("/")[0] for each in before} == {
        *("ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Secret", "Service", "ServiceAccount")
    }
    place.look()
    fresh = Place(place.kubectl, place.api)
    fresh.status = place.status
    fresh.look()
    assert place.versions() == before


def test_its_pods_pass_the_restricted_standard(place: Place) -> None:
    place.look()
    template = place.kubectl.get("deployment", "git-guard")["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {"name": "trial", **template["metadata"]}}
    place.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))


def test_what_somebody_adds_to_pods_or_policies_is_taken_out_again(place: Place) -> None:
    place.look()
    spy = {"spec": {"template": {"spec": {"hostNetwork": True, "containers": [{"name": "spy", "image": "spy"}]}}}}
    place.kubectl("patch", "deployment", "git-guard", "-p", json.dumps(spy))
    wider = {"spec": {"podSelector": {"matchLabels": {"nobody": "here"}}, "ingress": [{}]}}
    place.kubectl("patch", "networkpolicy", "git-guard", "-p", json.dumps(wider))
    moved = {"spec": {"selector": {names.LABEL_SERVER: "spy"}}}
    place.kubectl("patch", "service", "git-guard", "-p", json.dumps(moved))
    place.look()
    pod = place.kubectl.get("deployment", "git-guard")["spec"]["template"]["spec"]
    assert [each["name"] for each in pod["containers"]] == [names.GUARD_CONTAINER]
    assert not pod.get("hostNetwork")
    policy = place.kubectl.get("networkpolicy", "git-guard")["spec"]
    assert "nobody" not in policy["podSelector"]["matchLabels"]
    assert len(policy["ingress"]) == 2
    assert place.kubectl.get("service", "git-guard")["spec"]["selector"][names.LABEL_SERVER] == "git"


def test_a_server_that_is_not_shared_any_more_leaves_what_goes_with_its_deployment(place: Place) -> None:
    place.look()
    changed = server(placement="Sidecar")
    place.kubectl.apply(changed)
    assert place.look() is None
    assert [each for each in place.versions() if not each.startswith("Secret/")] == []
    subjects = place.kubectl.get("clusterrolebinding", names.GUARD_ROLE).get("subjects") or []
    assert place.namespace not in [subject["namespace"] for subject in subjects]


def test_a_guard_asks_the_api_server_whose_a_token_is(
    spare_apiserver: SpareApiServer, tmp_path: Path, place: Place
) -> None:
    kubectl = place.kubectl
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": names.GUARD_ROLE},
        "rules": [{"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}],
    }
    kubectl.apply(account, role)
    place.look()
    for name in ("one", "two"):
        kubectl.apply(_pod(name))
    starter = Starter(tmp_path)
    world = World(tmp_path, starter)
    uid = str(kubectl.get("pod", "one")["metadata"]["uid"])
    world.callers = [caller(uid, layer("*"))]
    world.guard |= {"cache": "100ms"}
    audience = AUDIENCE
    (tmp_path / "own").write_text(spare_apiserver.token(place.namespace, "git-guard"))
    world.authority.certificate.write_bytes((spare_apiserver.folder / "pki" / "ca.crt").read_bytes())
    try:
        _start(world, spare_apiserver.url)
        good = _token(kubectl, "one", uid, audience)
        assert _status(world, good) == 404, "it is known, and shows no session"
        assert _status(world, _token(kubectl, "one", uid, "https://kubernetes.default.svc")) == 401
        other = str(kubectl.get("pod", "two")["metadata"]["uid"])
        assert _status(world, _token(kubectl, "two", other, audience)) == 403
        assert _status(world, kubectl("create", "token", "default", f"--audience={audience}").strip()) == 401
        kubectl("delete", "pod", "one", "--grace-period=0", "--force")
        until(lambda: _status(world, good) == 401)
    finally:
        starter.end()


def test_an_agent_that_names_a_shared_server_is_let_in_and_out_by_the_running_operator(
    spare_apiserver: SpareApiServer, tmp_path: Path
) -> None:
    shared = operator_processes.server("one")
    shared["spec"]["run"] = {"placement": "Shared"}
    using = operator_processes.agent("dev", "one")
    template = using["spec"]["template"]["spec"]
    # Elsewhere an admission plugin says so, which is off here.
    using["spec"]["template"] = {"spec": {**template, "serviceAccountName": "default"}}
    with spare_apiserver.namespace("guarded") as kubectl, operators(spare_apiserver, tmp_path) as started:
        started.start()
        kubectl.apply(BINDING, shared, using)
        wait(lambda: exists(kubectl, "deployment", "one-guard"))
        wait(lambda: exists(kubectl, "pod", "dev"), lambda: kubectl("get", "mcpserver,mcpagent", "-o", "yaml"))
        uid = str(kubectl.get("pod", "dev")["metadata"]["uid"])
        running = {"status": {"phase": "Running"}}
        kubectl("patch", "pod", "dev", "--subresource=status", "--type=merge", "-p", json.dumps(running))
        wait(lambda: uid in _written(kubectl), lambda: _written(kubectl))
        emptied = {"data": {names.CONFIG_FILE: "{}"}}
        kubectl("patch", "configmap", "one-guard", "--type=merge", "-p", json.dumps(emptied))
        wait(lambda: uid in _written(kubectl))
        wider: dict[str, Any] = {"spec": {"ingress": [{}]}}
        kubectl("patch", "networkpolicy", "one-guard", "--type=merge", "-p", json.dumps(wider))
        wait(lambda: len(kubectl.get("networkpolicy", "one-guard")["spec"]["ingress"]) == 2)
        kubectl("delete", "pod", "dev", "--grace-period=0", "--force")
        wait(lambda: uid not in _written(kubectl))


def _written(kubectl: Kubectl) -> str:
    return str(kubectl.get("configmap", "one-guard")["data"])


def _start(world: World, url: str) -> None:
    world.write()
    config = json.loads(world.path.read_text())
    config["guard"]["review"]["url"] = f"{url}/apis/authentication.k8s.io/v1/tokenreviews"
    world.path.write_text(json.dumps(config))
    world.toolman = world.starter.start("serve", "--config", str(world.path))
    world.toolman.said("listening at")


def _status(world: World, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
    headers |= {"Mcp-Session-Id": "none"}
    # Whose certificate the guard has is another test's affair.
    with httpx.Client(verify=False, timeout=LIMIT) as client:  # noqa: S501
        return client.post(f"https://localhost:{world.port}/mcp", json=PING, headers=headers).status_code


def _token(kubectl: Kubectl, pod: str, uid: str, audience: str) -> str:
    bound = ("--bound-object-kind=Pod", f"--bound-object-name={pod}", f"--bound-object-uid={uid}")
    return kubectl("create", "token", "default", f"--audience={audience}", *bound).strip()


def _pod(name: str) -> dict[str, Any]:
    container = {
        "name": "agent",
        "image": "agent:1",
        "securityContext": {
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    spec = {"serviceAccountName": "default", "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}

"""What the operator makes of agents, judged by a real API server: Pods, images in place, inputs, agents in servers."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from agent_world import condition
from examples import FULL_TEMPLATE, SETTINGS, agent, running
from fake_builder import FakeClock
from kubernetes import config
from mcp_operator import cluster, names, objects
from mcp_operator.events import Recorder
from mcp_operator.kube import Kubernetes
from mcp_operator.manifests import injection
from mcp_operator.manifests.pod import agent_pod
from mcp_operator.manifests.upstreams import Upstream
from mcp_operator.models.server import MCPServerSpec
from mcp_operator.models.source import Header, KeyRef
from mcp_operator.outcomes import Done
from mcp_operator.reconcile import in_place, inline_agent
from mcp_operator.reconcile.agent import AgentReconciler
from mcp_operator.reconcile.services import Services

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kubectl import Kubectl
    from mcp_operator.manifests.servers import RunningServer
    from spare_apiserver import SpareApiServer

pytestmark = [pytest.mark.apiserver]

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NEW = f"registry.example.com/mcp/team/git@sha256:{'1' * 64}"
BEARER = Header.model_validate(
    {"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": "bearer", "key": "token"}}}
)
FAR = Upstream(
    name="far",
    url="https://mcp.test",
    transport="streamable-http",
    headers=(BEARER,),
    ca=KeyRef(name="authorities", key="pem"),
    audience="toolman.dev/mcpserver/uid",
)
TEMPLATE: dict[str, Any] = {
    "spec": {"serviceAccountName": "reader", "containers": [{"name": "agent", "image": "agent:1"}]},
}
RUN: dict[str, Any] = {
    "envFrom": [{"prefix": "DB_", "secretRef": {"name": "database"}}],
    "files": [
        {"path": "/etc/app/key", "secretKeyRef": {"name": "tls", "key": "key"}},
        {"path": "/etc/app/note", "content": "hello"},
    ],
}
GIT = replace(running("git", **RUN), pull_secrets=("pull",), inputs="12ab34cd")


@pytest.fixture
def api(spare_apiserver: SpareApiServer) -> Iterator[Kubernetes]:
    loaders: Any = config  # they have no types
    with loaders.new_client_from_config(str(spare_apiserver.kubeconfig)) as connection:
        yield Kubernetes(connection)


def _servers() -> list[RunningServer | Upstream]:
    return [GIT, running("time"), FAR]


def _made(kubectl: Kubectl, template: dict[str, Any] = TEMPLATE) -> dict[str, Any]:
    of = agent("git", "time", "far", template=template)
    made = agent_pod(of, _servers(), "hash", SETTINGS)
    made["metadata"]["namespace"] = kubectl.namespace
    return made


@pytest.mark.requirement("O-12", "O-05")
@pytest.mark.parametrize("template", [TEMPLATE, FULL_TEMPLATE], ids=["small", "full"])
def test_an_agents_pod_is_valid_field_by_field(
    spare_apiserver: SpareApiServer, api: Kubernetes, template: dict[str, Any]
) -> None:
    with spare_apiserver.namespace("agents") as kubectl:
        kubectl("create", "serviceaccount", "reader")
        made = _made(kubectl, copy.deepcopy(template))
        api.create_pod(made)
        stored = kubectl.get("pod", "dev")
    assert [each["name"] for each in stored["spec"]["initContainers"]] == [
        each["name"] for each in made["spec"]["initContainers"]
    ]


@pytest.mark.requirement("O-12")
def test_our_containers_pass_the_restricted_pod_security_standard(
    spare_apiserver: SpareApiServer, api: Kubernetes
) -> None:
    with spare_apiserver.namespace("restricted", **{"pod-security.kubernetes.io/enforce": "restricted"}) as kubectl:
        api.create_pod(_made(kubectl))
        loose = _made(kubectl, {"spec": {**TEMPLATE["spec"], "hostPID": True}})
        loose["metadata"]["name"] = "loose"
        with pytest.raises(cluster.ForbiddenError, match="PodSecurity"):
            api.create_pod(loose)


@pytest.mark.requirement("O-11")
def test_images_of_servers_are_changed_in_a_pod_and_nothing_else_of_it(
    spare_apiserver: SpareApiServer, api: Kubernetes
) -> None:
    with spare_apiserver.namespace("in-place") as kubectl:
        made = _made(kubectl)
        api.create_pod(made)
        before = kubectl.get("pod", "dev")
        changed: list[RunningServer | Upstream] = [replace(GIT, image=NEW), running("time"), FAR]
        wanted = agent_pod(agent("git", "time", "far", template=TEMPLATE), changed, "hash", SETTINGS)
        change = in_place.change(before, wanted, NOW)
        api.change_images(before, change.images, change.annotations)
        after = kubectl.get("pod", "dev")
        container = next(each for each in after["spec"]["initContainers"] if each["name"] == "mcp-server-git")
        assert container["image"] == names.restarting_reference(NEW, "12ab34cd")
        container["image"] = names.restarting_reference(running("git").image, "12ab34cd")
        assert after["spec"] == before["spec"]
        assert in_place.difference(kubectl.get("pod", "dev"), wanted) == "none"
        with pytest.raises(cluster.ConflictError):
            api.change_images({**before, "metadata": {**before["metadata"], "uid": "another"}}, change.images, {})
        with pytest.raises(cluster.ConflictError):
            api.annotate_pod(kubectl.namespace, "dev", "another", {"a": "b"})


@pytest.mark.requirement("O-11")
def test_images_of_several_servers_are_changed_at_once_whatever_their_order(
    spare_apiserver: SpareApiServer, api: Kubernetes
) -> None:
    with spare_apiserver.namespace("in-place") as kubectl:
        of = agent("time", "git", template=TEMPLATE)
        made = agent_pod(of, [running("time"), running("git")], "hash", SETTINGS)
        made["metadata"]["namespace"] = kubectl.namespace
        api.create_pod(made)
        before = kubectl.get("pod", "dev")
        wanted = agent_pod(of, [replace(running(each), image=NEW) for each in ("time", "git")], "hash", SETTINGS)
        change = in_place.change(before, wanted, NOW)
        for images in (change.images, dict(reversed(change.images.items()))):
            api.change_images(before, images, change.annotations)
        after = kubectl.get("pod", "dev")
        assert in_place.difference(after, wanted) == "none"
        order = [each["name"] for each in after["spec"]["initContainers"]]
        assert order == [each["name"] for each in before["spec"]["initContainers"]]


@pytest.mark.requirement("O-05")
def test_what_servers_are_given_is_looked_at_without_its_values(
    spare_apiserver: SpareApiServer, api: Kubernetes
) -> None:
    with spare_apiserver.namespace("inputs") as kubectl:
        assert api.version_of("Secret", kubectl.namespace, "token") is None
        assert api.keys_of("Secret", kubectl.namespace, "token") == frozenset()
        kubectl("create", "secret", "generic", "token", "--from-literal=key=hidden")
        kubectl("create", "configmap", "settings", "--from-literal=a=1")
        before = api.version_of("Secret", kubectl.namespace, "token")
        assert before is not None
        assert api.keys_of("Secret", kubectl.namespace, "token") == {"key"}
        assert api.keys_of("ConfigMap", kubectl.namespace, "settings") == {"a"}
        assert api.version_of("Secret", kubectl.namespace, "token") == before
        kubectl("patch", "secret", "token", "--type=merge", '-p={"stringData":{"key":"other"}}')
        assert api.version_of("Secret", kubectl.namespace, "token") not in (None, before)


@pytest.mark.requirement("O-13")
def test_the_agent_of_a_server_is_made_put_back_and_removed_and_looking_again_writes_nothing(
    spare_apiserver: SpareApiServer, api: Kubernetes
) -> None:
    source = {"git": {"url": "https://git.test/one"}}
    written = {"template": TEMPLATE, "tools": {"deny": ["push"]}}

    with spare_apiserver.namespace("inline") as kubectl:

        def look(**spec: object) -> object:
            body = {"source": source, **spec}
            metadata = {"name": "one"}
            kubectl.apply({"apiVersion": names.API_VERSION, "kind": "MCPServer", "metadata": metadata, "spec": body})
            raw = api.get(cluster.SERVER, kubectl.namespace, "one")
            assert raw is not None
            return inline_agent.ensure(api, objects.parse(MCPServerSpec, raw))

        assert isinstance(look(agent=written), Done)
        before = kubectl.get("mcpagent", "one")
        assert before["spec"]["toolNames"] == "Plain"
        assert isinstance(look(agent=written), Done)
        assert kubectl.get("mcpagent", "one")["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
        edit = '{"spec":{"suspend":true,"servers":[{"name":"one"}],"template":{"spec":{"hostPID":true}}}}'
        kubectl("patch", "mcpagent", "one", "--type=merge", f"-p={edit}")
        look(agent=written)
        assert kubectl.get("mcpagent", "one")["spec"] == before["spec"]
        assert look(agent=None) is None
        assert kubectl("get", "mcpagent", "-o", "name") == ""


@pytest.mark.requirement("O-15")
def test_a_pod_of_somebody_elses_with_the_sidecars_is_valid_and_restricted(spare_apiserver: SpareApiServer) -> None:
    with spare_apiserver.namespace("injected", **{"pod-security.kubernetes.io/enforce": "restricted"}) as kubectl:
        metadata = {"name": "web", "namespace": kubectl.namespace, "labels": {names.LABEL_AGENT: "dev"}}
        theirs: dict[str, Any] = {"metadata": metadata, "spec": copy.deepcopy(TEMPLATE["spec"])}
        found = injection.inject(theirs, agent("git", "time", "far"), _servers(), "hash", SETTINGS)
        assert found.refused == ""
        for operation in found.patch:
            _, part, key = operation["path"].split("/")
            theirs[part][key] = operation["value"]
        kubectl.apply({"apiVersion": "v1", "kind": "Pod", **theirs})
        stored = kubectl.get("pod", "web")
        again = injection.inject(stored, agent("git", "time", "far"), _servers(), "hash", SETTINGS)
        assert again.refused == ""


class World:
    """An agent reconciler over a real API server, a server that is in service, and an agent that uses it."""

    def __init__(self, api: Kubernetes, kubectl: Kubectl) -> None:
        self._kubectl = kubectl
        self.clock = FakeClock()
        services = Services(
            api=api,
            recorder=Recorder(api, self.clock),
            settings=SETTINGS,
            clock=self.clock,
            wake=lambda _key, _delay: None,
        )
        self.reconciler = AgentReconciler(services)

    def server(self, image: str, *tools: str) -> None:
        """Put the server's status there, as if it had been built."""
        status = {
            "observedGeneration": 1,
            "conditions": [condition("Ready", "True")],
            "image": {
                "reference": image,
                "id": "sha256:1",
                "size": 1,
                "command": ["serve"],
                "workingDir": "/app",
                "buildKey": image,
            },
            "tools": [{"name": tool, "hash": "sha256:0", "tokens": 5} for tool in tools],
            "toolCount": len(tools),
        }
        patch = json.dumps({"status": status})
        self._kubectl("patch", "mcpserver", "files", "--subresource=status", "--type=merge", f"-p={patch}")

    def apply(self, kind: str, name: str, **spec: object) -> None:
        """Apply a resource of ours."""
        self._kubectl.apply(
            {"apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec},
        )

    def look(self) -> None:
        """Reconcile once."""
        self.reconciler.reconcile(self._kubectl.namespace, "dev")

    def versions(self) -> list[str]:
        """Give the versions of all that there is in the namespace."""
        listed = self._kubectl("get", "mcpagent,mcpserver,pod,configmap", "-o", "json")
        return [each["metadata"]["resourceVersion"] for each in json.loads(listed)["items"]]


@pytest.mark.requirement("O-10", "O-11", "O-14")
def test_an_agent_is_made_changed_in_place_and_left_alone_when_nothing_changes(
    spare_apiserver: SpareApiServer, api: Kubernetes
) -> None:
    old = f"registry.example.com/mcp/team/files@sha256:{'0' * 64}"
    with spare_apiserver.namespace("agents") as kubectl:
        world = World(api, kubectl)
        files = [{"path": "/etc/app/note", "content": "hello"}]
        run = {"envFrom": [{"secretRef": {"name": "given"}}], "files": files}
        world.apply("MCPServer", "files", source={"git": {"url": "https://git.test/one"}}, run=run)
        world.server(old, "read", "write")
        world.apply("MCPAgent", "dev", servers=[{"name": "files", "tools": {"deny": ["write"]}}], template=TEMPLATE)
        world.look()
        missing = kubectl.get("mcpagent", "dev")["status"]["conditions"][0]
        assert missing["reason"] == "SecretMissing"
        kubectl("create", "secret", "generic", "given", "--from-literal=a=1")
        world.look()
        world.look()
        status = kubectl.get("mcpagent", "dev")["status"]
        assert (status["tools"]["names"], status["tokens"]) == (["files__read"], {"visible": 5, "total": 10})
        before = world.versions()
        for _ in range(3):
            world.look()
        assert world.versions() == before
        pod = kubectl.get("pod", "dev")
        world.server(NEW, "read", "write")
        world.look()
        world.look()
        after = kubectl.get("pod", "dev")
        assert after["metadata"]["uid"] == pod["metadata"]["uid"]
        images = {each["name"]: each["image"] for each in after["spec"]["initContainers"]}
        assert images["mcp-server-files"].partition("@")[2] == NEW.partition("@")[2]
        kubectl("patch", "secret", "given", "--type=merge", '-p={"stringData":{"a":"2"}}')
        world.look()
        again = {each["name"]: each["image"] for each in kubectl.get("pod", "dev")["spec"]["initContainers"]}
        assert {name for name, image in again.items() if images[name] != image} == {"mcp-server-files"}
        world.look()
        before = world.versions()
        world.look()
        assert world.versions() == before


@pytest.mark.requirement("O-11")
def test_a_run_that_is_over_stays_over_after_a_restart_and_its_agent_goes_after_its_time(
    spare_apiserver: SpareApiServer, api: Kubernetes
) -> None:
    with spare_apiserver.namespace("runs") as kubectl:
        world = World(api, kubectl)
        world.apply("MCPServer", "files", source={"git": {"url": "https://git.test/one"}})
        world.server(NEW, "read")
        spec = {"servers": [{"name": "files"}], "template": TEMPLATE, "restartPolicy": "Never"}
        world.apply("MCPAgent", "dev", **spec)
        world.look()
        end = {"exitCode": 3, "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:00Z"}
        ended = {
            "name": "agent",
            "state": {"terminated": end},
            "ready": False,
            "restartCount": 0,
            "image": "agent:1",
            "imageID": "",
        }
        status = json.dumps({"status": {"phase": "Failed", "containerStatuses": [ended]}})
        kubectl("patch", "pod", "dev", "--subresource=status", "--type=strategic", f"-p={status}")
        world.look()
        stored = kubectl.get("mcpagent", "dev")["status"]
        assert (stored["phase"], stored["run"]["result"], stored["run"]["exitCode"]) == ("Failed", "Failed", 3)
        kubectl("delete", "pod", "dev", "--force", "--grace-period=0")
        world = World(api, kubectl)
        world.look()
        assert kubectl("get", "pod", "-o", "name") == ""
        world.apply("MCPAgent", "dev", **spec, ttlSecondsAfterFinished=60)
        world.clock.forward(60)
        world.look()
        assert kubectl("get", "mcpagent", "-o", "name") == ""

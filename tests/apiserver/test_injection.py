"""The webhooks asked by a real API server, with the chart's configurations and the chart's rights: they fail closed."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ports
import pytest
import spare_apiserver as spare
import yaml
from kubectl import KubectlError
from mcp_operator import names
from operator_processes import OWN_NAMESPACE, exists, is_ready, operators, server, wait

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kubectl import Kubectl
    from operator_processes import Operator, Operators
    from spare_apiserver import SpareApiServer

pytestmark = [pytest.mark.apiserver, pytest.mark.requirement("O-15")]

CHART = Path(__file__).parents[2] / "charts" / "mcp-operator"
SPEC: dict[str, Any] = {"containers": [{"name": "web", "image": "web:1"}], "terminationGracePeriodSeconds": 0}
LABEL = {names.LABEL_AGENT: "dev"}
WORKLOADS = "deployment-controller,replicaset-controller,garbage-collector-controller"
TEMPLATES = ("injection", "rbac", "serviceaccount")


def _pod(name: str, spec: dict[str, Any] | None = None, **metadata: object) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **metadata}, "spec": spec or SPEC}


def _agent(name: str = "dev", **spec: object) -> dict[str, Any]:
    whole = {"servers": [{"name": "one"}], **spec}
    return {"apiVersion": names.API_VERSION, "kind": "MCPAgent", "metadata": {"name": name}, "spec": whole}


def _rendered() -> list[dict[str, Any]]:
    helm = shutil.which("helm") or str(Path.home() / ".cache" / "toolman" / "bin" / "helm")
    place = ("mcp-operator", str(CHART), "--namespace", OWN_NAMESPACE, "--kube-version", "1.33.0")
    templates = [f"--show-only=templates/{name}.yaml" for name in TEMPLATES]
    command = [helm, "template", *place, *templates, "--values", str(CHART / "ci" / "values.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def _install(kubectl: Kubectl, port: int) -> None:
    """Install what the chart has for it; there is no network of Services here, so the API server asks at an address."""
    for document in _rendered():
        for webhook in document.get("webhooks", ()):
            webhook["clientConfig"] = {"url": f"https://localhost:{port}/"}
        place = dataclasses.replace(kubectl, namespace=document["metadata"].get("namespace", "default"))
        place.apply(document)


def _start(api: SpareApiServer, started: Operators, port: int) -> Operator:
    """Start an operator with the chart's rights that answers webhooks at a port."""
    kubeconfig = api.kubeconfig_of("operator", token=api.token(OWN_NAMESPACE, "mcp-operator"))
    return started.start(kubeconfig, TOOLMAN_WEBHOOK_PORT=str(port), TOOLMAN_WEBHOOK_HOSTS="localhost")


@dataclasses.dataclass
class World:
    """An installation, and a namespace with an agent in it."""

    api: SpareApiServer
    kubectl: Kubectl
    started: Operators
    port: int
    operator: Operator

    def move(self, port: int) -> None:
        """Let the API server ask at another port."""
        for kind in ("mutating", "validating"):
            resource = f"{kind}webhookconfigurations.admissionregistration.k8s.io"
            found = self.kubectl.get(resource, names.WEBHOOKS)
            for webhook in found["webhooks"]:
                url = webhook["clientConfig"]["url"]
                webhook["clientConfig"]["url"] = re.sub(r":\d+/", f":{port}/", url)
            self.kubectl("replace", "-f", "-", stdin=json.dumps(found))

    def create(self, name: str, spec: dict[str, Any] | None = None, **metadata: object) -> dict[str, Any]:
        """Make a labelled Pod; give it as it is stored."""
        self.kubectl.apply(_pod(name, spec, **{"labels": LABEL, **metadata}))
        return self.kubectl.get("pod", name)

    def refusal(self, *arguments: str, stdin: dict[str, Any] | None = None) -> str:
        """Give what kubectl says when the API server refuses."""
        with pytest.raises(KubectlError) as refused:
            self.kubectl(*arguments, stdin=json.dumps(stdin) if stdin is not None else None)
        return str(refused.value)

    def apply_refused(self, pod: dict[str, Any]) -> str:
        return self.refusal("apply", "-f", "-", stdin=pod)


def _may_create(world: World) -> bool:
    with contextlib.suppress(KubectlError):
        world.kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(_pod("probe", labels=LABEL)))
        return True
    return False


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Give an installation whose agent is ready: of an API server of its own, since labelled Pods depend on it."""
    folder = tmp_path_factory.mktemp("operators")
    with spare.running() as api, api.namespace("team") as kubectl, operators(api, folder) as started:
        port = ports.free()
        _install(api.kubectl, port)
        found = World(api, kubectl, started, port, _start(api, started, port))
        kubectl.apply(server("one"), _agent())
        wait(lambda: is_ready(kubectl, "mcpagent", "dev"), lambda: found.operator.log.read_text()[-3000:])
        wait(lambda: _may_create(found), lambda: found.operator.log.read_text()[-3000:])
        yield found


def _config_hash(world: World, pod: str) -> str:
    annotations: dict[str, str] = world.kubectl.get("pod", pod)["metadata"]["annotations"]
    return annotations[names.ANNOTATION_CONFIG_HASH]


def test_a_labelled_pod_is_stored_with_the_sidecars_and_shown_by_its_agent(world: World) -> None:
    pod = world.create("shown")
    containers = [each["name"] for each in pod["spec"]["initContainers"]]
    assert containers == ["mcp-install", "toolman", "mcp-server-one", "await-tools"]
    wait(lambda: "shown" in world.kubectl.get("mcpagent", "dev")["status"]["injected"]["pods"])
    world.kubectl("delete", "pod", "shown", "--force")
    wait(lambda: "shown" not in world.kubectl.get("mcpagent", "dev")["status"]["injected"]["pods"])


def test_a_name_that_is_generated_changes_nothing(world: World) -> None:
    pod = _pod("", labels=LABEL)
    pod["metadata"] = {"generateName": "run-", "labels": LABEL}
    made = json.loads(world.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(pod)))
    assert "toolman" in {each["name"] for each in made["spec"]["initContainers"]}


@pytest.mark.requirement("O-14")
def test_a_policy_reaches_the_pods_that_run(world: World) -> None:
    world.create("told")
    before = _config_hash(world, "told")
    spec = {"target": {"servers": ["*"]}, "tools": {"deny": ["drop_*"]}}
    world.kubectl.apply(
        {"apiVersion": names.API_VERSION, "kind": "ToolPolicy", "metadata": {"name": "cap"}, "spec": spec}
    )
    wait(lambda: _config_hash(world, "told") != before)


def test_the_operators_own_agents_pods_are_made_without_asking(world: World) -> None:
    template = {"spec": {"containers": [{"name": "agent", "image": "agent:1"}]}}
    world.kubectl.apply(_agent("own", template=template))
    wait(lambda: exists(world.kubectl, "pod", "own"), lambda: world.operator.log.read_text()[-3000:])
    assert "has a template" in world.apply_refused(_pod("another", labels={names.LABEL_AGENT: "own"}))


@pytest.mark.parametrize(
    ("spec", "labels", "text"),
    [
        ({}, {names.LABEL_AGENT: "nobody"}, "there is no MCPAgent nobody in namespace"),
        # The API server asks before it looks at labels itself.
        ({}, {names.LABEL_AGENT: "../../team/mcpagents/dev"}, "is not the name of an MCPAgent"),
        ({"hostNetwork": True}, LABEL, "spec.hostNetwork: the Pod needs a network of its own"),
        ({"shareProcessNamespace": True}, LABEL, "spec.shareProcessNamespace"),
        ({"initContainers": [{"name": "toolman", "image": "evil:1"}]}, LABEL, "spec.initContainers[0].name"),
        ({}, {**LABEL, names.MANAGED_BY: names.MANAGER}, "is the operator's own"),
    ],
)
def test_what_is_refused_says_what_to_do(world: World, spec: dict[str, Any], labels: dict[str, str], text: str) -> None:
    assert text in world.apply_refused(_pod("refused", {**SPEC, **spec}, labels=labels))


@pytest.mark.parametrize(
    ("before", "patch"),
    [
        ({}, {"metadata": {"labels": LABEL}}),
        (LABEL, {"metadata": {"labels": {names.LABEL_AGENT: None}}}),
        (LABEL, {"metadata": {"labels": {names.LABEL_AGENT: "other"}}}),
        (LABEL, {"metadata": {"annotations": {names.ANNOTATION_INJECTED: None}}}),
        (LABEL, {"metadata": {"annotations": {names.ANNOTATION_CONFIG_HASH: "x"}}}),
        (LABEL, {"spec": {"initContainers": [{"name": "toolman", "image": "evil:1"}]}}),
    ],
    ids=["label added", "label removed", "label changed", "annotation removed", "annotation changed", "image changed"],
)
def test_nobody_changes_what_is_ours_in_a_pod(world: World, before: dict[str, str], patch: dict[str, Any]) -> None:
    world.kubectl("delete", "pod", "kept", "--force", "--ignore-not-found")
    world.create("kept", labels=before)
    refusal = world.refusal("patch", "pod", "kept", f"--patch={json.dumps(patch)}")
    assert "stay as they were when it was made" in refusal


def test_everything_else_of_such_a_pod_can_be_changed(world: World) -> None:
    world.create("free")
    changed = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "web", "image": "web:2"}]}}
    world.kubectl("patch", "pod", "free", f"--patch={json.dumps(changed)}")


@pytest.mark.requirement("O-22")
def test_kubectl_apply_warns_of_an_agent_that_asks_for_what_is_not_there(world: World) -> None:
    odd = _agent("odd", servers=[{"name": "one", "tools": {"allow": ["raed"]}}])
    place = (f"--kubeconfig={world.kubectl.kubeconfig}", f"--namespace={world.kubectl.namespace}")
    done = subprocess.run(
        ["kubectl", *place, "apply", "--dry-run=server", "-f", "-"],
        input=json.dumps(odd),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "Warning: servers one: tools.allow 'raed' matches none of the 2 tools" in done.stderr


@pytest.mark.requirement("O-34")
def test_the_charts_rights_are_enough(world: World) -> None:
    lines = [line for line in world.operator.metrics if line.startswith("mcp_operator_api_requests_total")]
    assert [line for line in lines if 'code="403"' in line] == []


@pytest.mark.requirement("O-33")
def test_an_operator_that_stands_by_answers_as_well(world: World) -> None:
    port = ports.free()
    standby = _start(world.api, world.started, port)
    world.move(port)
    wait(lambda: _may_create(world), lambda: standby.log.read_text()[-3000:])
    assert not standby.leads
    assert "toolman" in {each["name"] for each in world.create("by-the-other")["spec"]["initContainers"]}
    world.move(world.port)
    standby.kill()


def test_an_agent_neither_loses_nor_gets_a_template(world: World) -> None:
    template = {"spec": {"containers": [{"name": "agent", "image": "agent:1"}]}}
    refusal = world.refusal("apply", "-f", "-", stdin=_agent(template=template))
    assert "template cannot be added or removed" in refusal


def test_pods_go_with_their_agent(world: World) -> None:
    world.kubectl.apply(_agent("brief"))
    wait(lambda: is_ready(world.kubectl, "mcpagent", "brief"))
    world.create("going", labels={names.LABEL_AGENT: "brief"})
    world.kubectl("delete", "mcpagent", "brief")
    wait(lambda: not exists(world.kubectl, "pod", "going"), lambda: world.operator.log.read_text()[-3000:])


def _injected(world: World, agent: str) -> list[str]:
    pods: list[str] = world.kubectl.get("mcpagent", agent).get("status", {}).get("injected", {}).get("pods", [])
    return pods


def test_a_deployment_gets_its_pods_by_itself_when_its_agent_is_there_and_others_when_it_is_restarted(
    world: World,
) -> None:
    world.api.collect(WORKLOADS)
    labels = {"app": "bot", names.LABEL_AGENT: "soon"}
    spec = {
        "replicas": 3,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": {"app": "bot"}},
        "template": {"metadata": {"labels": labels}, "spec": SPEC},
    }
    world.kubectl.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "bot"}, "spec": spec})
    wait(lambda: "there is no MCPAgent soon" in world.kubectl("get", "events", "--field-selector=reason=FailedCreate"))
    world.kubectl.apply(server("two"), _agent("soon", servers=[{"name": "two"}]))
    wait(lambda: len(_injected(world, "soon")) == 3, lambda: world.operator.log.read_text()[-3000:])
    wait(lambda: is_ready(world.kubectl, "mcpagent", "soon"))

    before = _injected(world, "soon")
    world.kubectl("patch", "mcpserver", "two", "--type=merge", '--patch={"spec": {"run": {"args": ["--new"]}}}')
    wait(lambda: not is_ready(world.kubectl, "mcpagent", "soon"))
    conditions = {each["type"]: each for each in world.kubectl.get("mcpagent", "soon")["status"]["conditions"]}
    assert conditions["PodReady"]["reason"] == "PodOutdated"
    command = f"kubectl rollout restart deployment/bot -n {world.kubectl.namespace}"
    assert conditions["PodReady"]["message"].endswith(command)
    world.kubectl(*command.split()[1:4])
    wait(
        lambda: is_ready(world.kubectl, "mcpagent", "soon"),
        lambda: world.kubectl("get", "mcpagent", "soon", "-o", "yaml"),
    )
    assert not set(before) & set(_injected(world, "soon"))
    world.kubectl("delete", "deployment", "bot")


def test_while_no_operator_answers_labelled_pods_are_not_made_and_nothing_else_waits(world: World) -> None:
    world.create("there")
    world.kubectl.apply(_pod("plain"))
    world.operator.kill()
    assert "failed calling webhook" in world.apply_refused(_pod("late", labels=LABEL))
    unlabelled = json.dumps({"metadata": {"labels": {names.LABEL_AGENT: None}}})
    assert "failed calling webhook" in world.refusal("patch", "pod", "there", f"--patch={unlabelled}")
    assert "failed calling webhook" in world.refusal("label", "pod", "plain", f"{names.LABEL_AGENT}=dev")
    world.kubectl("label", "pod", "there", "other=label")
    world.kubectl.apply(_pod("unlabelled"), _agent("unwarned"))
    world.kubectl("delete", "pod", "there", "--force")
    world.operator = _start(world.api, world.started, world.port)
    wait(lambda: _may_create(world), lambda: world.operator.log.read_text()[-3000:])

"""What the API server accepts and refuses with our definitions, and what it says.

The definitions are installed under a group of the test's own, so that neither an installed operator nor its objects
are touched.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import secrets
from typing import TYPE_CHECKING, Any

import pytest
import throwaway
from kubectl import Kubectl, KubectlError
from mcp_operator import crds, names

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.e2e, pytest.mark.requirement("F-04")]

GROUP = f"test-{secrets.token_hex(3)}.{names.GROUP}"
URL = "https://example.com/servers"
TEMPLATE: dict[str, Any] = {"spec": {"containers": [{"name": "agent", "image": "agent:1"}]}}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    definitions = [json.loads(json.dumps(crds.manifest(kind)).replace(names.GROUP, GROUP)) for kind in crds.KINDS]
    # Elsewhere "mcpserver" must not be remembered as a kind of this group, which goes when these tests end.
    cache = str(tmp_path_factory.mktemp("kubectl"))
    with throwaway.namespace("crds") as installed:
        kubectl = dataclasses.replace(installed, cache=cache)
        names_made = [definition["metadata"]["name"] for definition in definitions]
        try:
            kubectl.apply(*definitions)
            for name in names_made:
                kubectl.wait("crd", name, "condition=Established")
            yield kubectl
        finally:
            kubectl("delete", "crd", *names_made, "--ignore-not-found")


def _resource(kind: str, spec: dict[str, Any], name: str = "x") -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/{names.VERSION}", "kind": kind, "metadata": {"name": name}, "spec": spec}


def _server(name: str = "x", **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever a test writes
    git = changes.pop("git", {"url": URL})
    return _resource("MCPServer", {"source": {"git": git}, **changes}, name)


def _agent(name: str = "x", **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    return _resource("MCPAgent", {"servers": [{"name": "git"}], "template": TEMPLATE, **changes}, name)


def _policy(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    return _resource("ToolPolicy", {"tools": {"deny": ["*"]}, **changes})


def _answer(api: Kubectl, resource: dict[str, Any]) -> dict[str, Any]:
    text = api("apply", "--dry-run=server", "--validate=strict", "-o", "json", "-f", "-", stdin=json.dumps(resource))
    answer: dict[str, Any] = json.loads(text)
    return answer


EMPTY = [{"key": "team", "operator": "In"}]
BLUE = [{"key": "team", "operator": "In", "values": ["blue"]}]
ACCEPTED = [
    _server(),
    _server(name="a" * 50),
    _server(git={"url": "ssh://git@example.com/a", "ref": {"tag": "v1.0"}, "path": "src/git"}),
    _server(git={"url": "https://example.com/@scope/a"}),
    _server(tools={"allow": []}),
    _server(run={"resources": {"limits": {"cpu": 1, "memory": "1Gi"}}}),
    _server(run={"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}, {"name": "B"}]}),
    _agent(requiredTools=["git/git_log"], toolNames="Plain"),
    _agent(template={"metadata": {"labels": {"a": "b"}}, "spec": {**TEMPLATE["spec"], "nodeSelector": {"a": "b"}}}),
    _policy(target={"namespaceSelector": {"matchLabels": {"a": "b"}, "matchExpressions": BLUE}}),
]
REFUSED = [
    (_resource("MCPServer", {}), "spec.source: Required value"),
    (_resource("MCPServer", {"source": {}}), "give exactly one source: git"),
    (_server(git={"url": URL, "path": "src/../../etc"}), "path must stay inside the repository: no '..'"),
    (_server(git={"url": URL, "path": "/etc"}), "spec.source.git.path"),
    (_server(git={"url": "https://me:secret@example.com/a"}), "no credentials in the URL"),
    (_server(git={"url": "https://token@example.com/a"}), "no credentials in the URL"),
    (_server(git={"url": "ssh://git:secret@example.com/a"}), "no credentials in the URL"),
    (_server(git={"url": "file:///etc"}), "spec.source.git.url"),
    (_server(git={"url": "ssh://-oProxyCommand=id/a"}), "spec.source.git.url"),
    (_server(git={"url": URL, "ref": {"branch": "a", "tag": "b"}}), "give one of branch, tag, semver and commit"),
    (_server(git={"url": URL, "ref": {"branch": "--upload-pack=id"}}), "spec.source.git.ref.branch"),
    (_server(git={"url": URL, "ref": {"commit": "HEAD"}}), "spec.source.git.ref.commit"),
    (_server(git={"url": URL, "reff": {}}), 'unknown field "spec.source.git.reff"'),
    (_server(build={"runtime": "perl"}), 'Unsupported value: "perl"'),
    (_server(build={"timeout": "1s"}), "timeout must be from 10s to 2h"),
    (_server(build={"dockerfile": "a/../../b"}), "dockerfile must stay inside the source"),
    (_server(build={"systemPackages": ["--reinstall"]}), "spec.build.systemPackages[0]"),
    (_server(tools={"deny": [""]}), "spec.tools.deny[0]"),
    (_server(tools={"allow": ["x" * 129]}), "spec.tools.allow[0]"),
    (_server(run={"env": [{"name": "A"}, {"name": "A"}]}), "Duplicate value"),
    (_server(run={"env": [{"name": "A=B"}]}), "spec.run.env[0].name"),
    (_server(run={"env": [{"name": "A", "valueFrom": {}}]}), "give one of secretKeyRef and configMapKeyRef"),
    (
        _server(run={"env": [{"name": "A", "value": "b", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}),
        "give one of value and valueFrom",
    ),
    (_server(run={"resources": {"limits": {"memory": "1Mi"}}}), "requests.memory must not be more than limits.memory"),
    (_server(run={"resources": {"requests": {"cpu": 2}, "limits": {"cpu": "1"}}}), "must not be more than limits.cpu"),
    (_server(run={"resources": {"limits": {"memory": "much"}}}), "spec.run.resources.limits.memory"),
    (_server(name="a" * 51), "metadata.name must be a DNS label"),
    (_server(name="a.b"), "metadata.name must be a DNS label"),
    (_agent(name="a" * 51), "metadata.name must be a DNS label"),
    (_agent(servers=[]), "spec.servers"),
    (_agent(servers=[{"name": "*"}]), "spec.servers[0].name"),
    (_agent(servers=[{"name": "a"}, {"name": "a"}]), "Duplicate value"),
    (_agent(requiredTools=["time/now"]), "each of requiredTools must be SERVER/TOOL with a SERVER of servers"),
    (_agent(requiredTools=["git"]), "spec.requiredTools[0]"),
    (_agent(template={"spec": {}}), "spec.template.spec.containers: Required value"),
    (_agent(template={"spec": {"containers": []}}), "spec.template.spec.containers"),
    (_agent(template={"spec": {"containers": "x"}}), "spec.template.spec.containers"),
    (_agent(template={**TEMPLATE, "metadata": {"name": "x"}}), 'unknown field "spec.template.metadata.name"'),
    (_agent(restart="Never"), 'unknown field "spec.restart"'),
    (_policy(tools={}), "tools must allow or deny something"),
    (_policy(target={"servers": []}), "spec.target.servers"),
    (
        _policy(target={"agentSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}),
        "In and NotIn need values",
    ),
    (_policy(enforcement="Warn"), 'Unsupported value: "Warn"'),
    (_policy(enforced=True), 'unknown field "spec.enforced"'),
]


@pytest.mark.parametrize("resource", ACCEPTED, ids=lambda resource: resource["kind"])
def test_a_resource_that_means_something_is_accepted(api: Kubectl, resource: dict[str, Any]) -> None:
    assert _answer(api, resource)["spec"]


@pytest.mark.parametrize(("resource", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_a_resource_that_does_not_is_refused_and_told_why(api: Kubectl, resource: dict[str, Any], message: str) -> None:
    with pytest.raises(KubectlError) as refusal:
        _answer(api, resource)
    assert message in str(refusal.value)


def test_defaults_are_filled_in_where_people_see_them(api: Kubectl) -> None:
    assert _answer(api, _server())["spec"] == {
        "source": {
            "git": {"url": URL, "ref": {}, "path": ".", "interval": "5m", "recurseSubmodules": False, "lfs": False}
        },
        "build": {
            "runtime": "auto",
            "dockerfile": "Dockerfile",
            "command": [],
            "systemPackages": [],
            "buildArgs": {},
            "tags": [],
            "platforms": [],
            "timeout": "10m",
            "pushTimeout": "5m",
            "verify": "Handshake",
        },
        "run": {
            "args": [],
            "env": [],
            "envFrom": [],
            "files": [],
            "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
            "imagePullSecrets": [],
            "shared": {"replicas": 1, "network": "Isolated", "sessions": "Shared"},
            "serverRequests": ["elicitation"],
        },
        "tools": {"deny": [], "changes": "Auto"},
    }
    assert _answer(api, _agent())["spec"]["toolNames"] == "Prefixed"
    assert _answer(api, _policy())["spec"]["target"]["servers"] == ["*"]


def test_everything_of_a_template_is_kept(api: Kubectl) -> None:
    template = copy.deepcopy(TEMPLATE)
    template["spec"]["containers"][0] |= {"env": [{"name": "A"}], "securityContext": {"runAsUser": 0}}
    template["spec"]["volumes"] = [{"name": "v", "emptyDir": {"medium": "Memory"}}]
    assert _answer(api, _agent(template=template))["spec"]["template"] == template


def test_get_answers_whether_it_is_fine_and_if_not_what(api: Kubectl) -> None:
    api.apply(_server(name="shown"))
    now = "2026-01-01T00:00:00Z"
    ready = {"type": "Ready", "status": "False", "reason": "Building", "lastTransitionTime": now, "message": ""}
    status = {
        "conditions": [{**ready, "observedGeneration": 1}],
        "summary": "Build 3/9",
        "toolCount": 12,
        "sourceKind": "git",
    }
    plural = f"{names.SERVERS}.{GROUP}"
    patch = json.dumps({"status": status})
    api("patch", plural, "shown", "--subresource=status", "--type=merge", "-p", patch)
    heading, row = api("get", plural, "shown").splitlines()
    assert heading.split() == ["NAME", "READY", "SOURCE", "STATUS", "TOOLS", "AGE"]
    assert row.split()[:-1] == ["shown", "False", "git", "Build", "3/9", "12"]
    assert "REASON" in api("get", plural, "shown", "-o", "wide")
    assert api.get(plural, "shown")["metadata"]["generation"] == 1

"""YAML that is accepted does something: each field of each kind, changed alone, changes what comes of it.

A new field fails here until it has a row, and a row whose field does nothing fails as well.
"""

from __future__ import annotations

import copy
import functools
import json
from typing import TYPE_CHECKING, Any

import pytest
from mcp_operator import crds
from whole_world import WholeWorld

if TYPE_CHECKING:
    from collections.abc import Iterator

    Spec = dict[str, Any]

pytestmark = [pytest.mark.requirement("O-01"), pytest.mark.requirement("F-04")]

TEMPLATE: Spec = {"spec": {"containers": [{"name": "agent", "image": "agent:1"}]}}
STAGED: Spec = {"spec": {**TEMPLATE["spec"], "initContainers": [{"name": "first", "image": "agent:1"}]}}
GIT: Spec = {"source": {"git": {"url": "https://git.test/one"}}}
NPM: Spec = {"source": {"npm": {"package": "one"}}}
PYPI: Spec = {"source": {"pypi": {"package": "one"}}}
IMAGE: Spec = {"source": {"image": {"reference": "registry.example.com/one:1"}}}
SECRET: Spec = {"secretKeyRef": {"name": "s1", "key": "k1"}}
CONFIG: Spec = {"configMapKeyRef": {"name": "s1", "key": "k1"}}
REMOTE: Spec = {
    "source": {
        "remote": {
            "url": "https://far.test/mcp",
            "headers": [{"name": "X-A", "valueFrom": SECRET}],
            "caRef": {"name": "s1", "key": "k1"},
        }
    }
}
OWN: Spec = {**GIT, "build": {"runtime": "dockerfile"}}
PUSHED: Spec = {**GIT, "build": {"repository": "registry.example.com/a", "pushSecretRef": {"name": "s1"}}}
HTTP: Spec = {**GIT, "run": {"transport": "streamable-http"}}
SHARED: Spec = {**GIT, "run": {"placement": "Shared"}}
AGENT: Spec = {"servers": [{"name": "one"}], "template": TEMPLATE}
ONCE: Spec = {**AGENT, "restartPolicy": "Never"}
WITH_AGENT: Spec = {**GIT, "agent": {"template": TEMPLATE}}
WITH_RUN: Spec = {**GIT, "agent": {"template": TEMPLATE, "restartPolicy": "Never"}}
DENY: Spec = {"tools": {"deny": ["read"]}}


def run(**fields: object) -> Spec:
    return {**GIT, "run": fields}


def targeted(selector: str, **requirement: object) -> Spec:
    return {**DENY, "target": {selector: {"matchExpressions": [requirement]}}}


SERVERS: dict[str, tuple[Spec, object]] = {
    "source.git.url": (GIT, "https://git.test/two"),
    "source.git.ref.branch": (GIT, "main"),
    "source.git.ref.tag": (GIT, "v1"),
    "source.git.ref.semver": (GIT, "^1"),
    "source.git.ref.commit": (GIT, "c" * 40),
    "source.git.path": (GIT, "src/one"),
    "source.git.secretRef.name": (GIT, "s1"),
    "source.git.interval": (GIT, "1m"),
    "source.git.recurseSubmodules": (GIT, True),
    "source.git.lfs": (GIT, True),
    "source.npm.package": (NPM, "two"),
    "source.npm.version": (NPM, "2.0.0"),
    "source.pypi.package": (PYPI, "two"),
    "source.pypi.version": (PYPI, "2.0.0"),
    "source.image.reference": (IMAGE, "registry.example.com/two:1"),
    "source.image.pullSecretRef.name": (IMAGE, "s1"),
    "source.remote.url": (REMOTE, "https://far.test/other"),
    "source.remote.transport": (REMOTE, "sse"),
    "source.remote.headers[].name": (REMOTE, "X-B"),
    "source.remote.headers[].valueFrom.secretKeyRef.name": (REMOTE, "s2"),
    "source.remote.headers[].valueFrom.secretKeyRef.key": (REMOTE, "k2"),
    "source.remote.caRef.name": (REMOTE, "s2"),
    "source.remote.caRef.key": (REMOTE, "k2"),
    "build.runtime": (GIT, "python"),
    "build.dockerfile": (OWN, "other.Dockerfile"),
    "build.command": (GIT, ["serve"]),
    "build.systemPackages": (GIT, ["git"]),
    "build.buildArgs": (OWN, {"A": "1"}),
    "build.tags": (GIT, ["latest"]),
    "build.platforms": (GIT, ["linux/arm64"]),
    "build.timeout": (GIT, "11m"),
    "build.pushTimeout": (GIT, "6m"),
    "build.verify": (GIT, "None"),
    "build.repository": (PUSHED, "registry.example.com/b"),
    "build.pushSecretRef.name": (PUSHED, "s2"),
    "run.transport": (GIT, "sse"),
    "run.args": (GIT, ["--x"]),
    "run.env[].name": (run(env=[{"name": "A", "value": "1"}]), "B"),
    "run.env[].value": (run(env=[{"name": "A", "value": "1"}]), "2"),
    "run.env[].valueFrom.secretKeyRef.name": (run(env=[{"name": "A", "valueFrom": SECRET}]), "s2"),
    "run.env[].valueFrom.secretKeyRef.key": (run(env=[{"name": "A", "valueFrom": SECRET}]), "k2"),
    "run.env[].valueFrom.configMapKeyRef.name": (run(env=[{"name": "A", "valueFrom": CONFIG}]), "s2"),
    "run.env[].valueFrom.configMapKeyRef.key": (run(env=[{"name": "A", "valueFrom": CONFIG}]), "k2"),
    "run.envFrom[].prefix": (run(envFrom=[{"secretRef": {"name": "s1"}}]), "P_"),
    "run.envFrom[].secretRef.name": (run(envFrom=[{"secretRef": {"name": "s1"}}]), "s2"),
    "run.envFrom[].configMapRef.name": (run(envFrom=[{"configMapRef": {"name": "s1"}}]), "s2"),
    "run.files[].path": (run(files=[{"path": "/etc/one", "content": "1"}]), "/etc/two"),
    "run.files[].content": (run(files=[{"path": "/etc/one", "content": "1"}]), "2"),
    "run.files[].secretKeyRef.name": (run(files=[{"path": "/etc/one", **SECRET}]), "s2"),
    "run.files[].secretKeyRef.key": (run(files=[{"path": "/etc/one", **SECRET}]), "k2"),
    "run.files[].configMapKeyRef.name": (run(files=[{"path": "/etc/one", **CONFIG}]), "s2"),
    "run.files[].configMapKeyRef.key": (run(files=[{"path": "/etc/one", **CONFIG}]), "k2"),
    "run.resources.requests.cpu": (GIT, "20m"),
    "run.resources.requests.memory": (GIT, "65Mi"),
    "run.resources.limits.cpu": (GIT, "1"),
    "run.resources.limits.memory": (GIT, "513Mi"),
    "run.port": (HTTP, 9000),
    "run.path": (HTTP, "/api"),
    "run.imagePullSecrets[].name": (run(imagePullSecrets=[{"name": "s1"}]), "s2"),
    "run.placement": (GIT, "Shared"),
    "run.shared.replicas": (SHARED, 2),
    "run.shared.network": (SHARED, "Open"),
    "run.shared.sessions": (SHARED, "PerSession"),
    "run.shared.podTemplate.metadata.labels": (SHARED, {"a": "b"}),
    "run.shared.podTemplate.metadata.annotations": (SHARED, {"a": "b"}),
    "run.shared.podTemplate.spec.nodeSelector": (SHARED, {"a": "b"}),
    "run.shared.podTemplate.spec.tolerations": (SHARED, [{"operator": "Exists"}]),
    "run.shared.podTemplate.spec.affinity": (SHARED, {"nodeAffinity": {}}),
    "run.shared.podTemplate.spec.topologySpreadConstraints": (SHARED, [{"maxSkew": 1}]),
    "run.shared.podTemplate.spec.priorityClassName": (SHARED, "high"),
    "run.shared.podTemplate.spec.runtimeClassName": (SHARED, "gvisor"),
    "run.serverRequests": (GIT, ["sampling"]),
    "tools.allow": (GIT, ["read"]),
    "tools.deny": (GIT, ["read"]),
    "tools.changes": (GIT, "Manual"),
    "agent.requiredTools": (WITH_AGENT, ["one/read"]),
    "agent.restartPolicy": (WITH_AGENT, "Never"),
    "agent.updateStrategy": (WITH_AGENT, "Recreate"),
    "agent.activeDeadlineSeconds": (WITH_RUN, 60),
    "agent.ttlSecondsAfterFinished": (WITH_RUN, 60),
    "agent.suspend": (WITH_AGENT, True),
    "agent.toolNames": (WITH_AGENT, "Prefixed"),
    "agent.tools.allow": (WITH_AGENT, ["read"]),
    "agent.tools.deny": (WITH_AGENT, ["read"]),
    "agent.template.metadata.labels": (WITH_AGENT, {"a": "b"}),
    "agent.template.metadata.annotations": (WITH_AGENT, {"a": "b"}),
    "agent.template.spec.containers[].name": (WITH_AGENT, "other"),
    "agent.template.spec.initContainers[].name": ({**GIT, "agent": {"template": STAGED}}, "other"),
    "agent.template.spec.volumes[].name": (WITH_AGENT, "work"),
}
AGENTS: dict[str, tuple[Spec, object]] = {
    "servers[].name": (AGENT, "nowhere"),
    "servers[].tools.allow": (AGENT, ["read"]),
    "servers[].tools.deny": (AGENT, ["read"]),
    "toolNames": (AGENT, "Plain"),
    "requiredTools": (AGENT, ["one/read"]),
    "restartPolicy": (AGENT, "Never"),
    "updateStrategy": (AGENT, "Recreate"),
    "activeDeadlineSeconds": (ONCE, 60),
    "ttlSecondsAfterFinished": (ONCE, 60),
    "suspend": (AGENT, True),
    "template.metadata.labels": (AGENT, {"a": "b"}),
    "template.metadata.annotations": (AGENT, {"a": "b"}),
    "template.spec.containers[].name": (AGENT, "other"),
    "template.spec.initContainers[].name": ({**AGENT, "template": STAGED}, "other"),
    "template.spec.volumes[].name": (AGENT, "work"),
}
POLICIES: dict[str, tuple[Spec, object]] = {
    "enforcement": (DENY, "Audit"),
    "target.namespaceSelector.matchLabels": (DENY, {"team": "b"}),
    "target.agentSelector.matchLabels": (DENY, {"tier": "lead"}),
    "target.servers": (DENY, ["other"]),
    "target.sources.git": (DENY, ["https://elsewhere.test/*"]),
    "target.sources.npm": ({**DENY, "target": {"sources": {"npm": ["one"]}}}, ["two"]),
    "target.sources.pypi": ({**DENY, "target": {"sources": {"pypi": ["one"]}}}, ["two"]),
    "target.sources.image": ({**DENY, "target": {"sources": {"image": ["registry.example.com/*"]}}}, ["other/*"]),
    "target.sources.remote": (
        {**DENY, "target": {"sources": {"remote": ["https://far.test/*"]}}},
        ["https://b.test/*"],
    ),
    **{
        f"{part}.{field}": ({part: {"allow": ["write"], "deny": ["x"]}}, ["read"])
        for part in ("tools", "prompts", "resources", "extensions")
        for field in ("allow", "deny")
    },
    "serverRequests.allow": ({"serverRequests": {"allow": ["roots"]}}, ["elicitation"]),
    "sources.allow": ({"sources": {"allow": ["*"]}}, ["npm:none"]),
    **{
        f"limits.{field}": ({"limits": {field: 1}}, 2)
        for field in ("callsPerMinute", "maxConcurrentCalls", "maxTools", "maxListTokens", "maxResultBytes")
    },
    "limits.callTimeout": ({"limits": {"callTimeout": "1s"}}, "2s"),
    **{
        f"target.{selector}.matchExpressions[].{field}": (
            targeted(selector, key=key, operator="In", values=[mine]),
            value,
        )
        for selector, key, mine in (("namespaceSelector", "team", "a"), ("agentSelector", "tier", "gold"))
        for field, value in (("key", "other"), ("operator", "NotIn"), ("values", ["none"]))
    },
}
SERVER_OF = {"npm": NPM, "pypi": PYPI, "image": IMAGE, "remote": REMOTE}
ROWS = [
    pytest.param(kind, path, id=f"{kind}.spec.{path}")
    for kind, table in (("MCPServer", SERVERS), ("MCPAgent", AGENTS), ("ToolPolicy", POLICIES))
    for path in table
]


@pytest.mark.parametrize(("kind", "path"), ROWS)
def test_a_field_that_is_changed_alone_changes_what_comes_of_it(kind: str, path: str) -> None:
    base, value = {"MCPServer": SERVERS, "MCPAgent": AGENTS, "ToolPolicy": POLICIES}[kind][path]
    server = SERVER_OF.get(path.rpartition(".")[2], GIT)
    assert _outcome(kind, base, server) != _outcome(kind, _changed(base, path, value), server)


@pytest.mark.parametrize(("kind", "base"), [("MCPServer", GIT), ("MCPServer", SHARED), ("MCPAgent", ONCE)])
def test_what_comes_of_the_same_spec_is_the_same(kind: str, base: Spec) -> None:
    assert _outcome(kind, base, GIT) == _live.__wrapped__(*_specs(kind, base, GIT))


@pytest.mark.parametrize(("kind", "table"), [("MCPServer", SERVERS), ("MCPAgent", AGENTS), ("ToolPolicy", POLICIES)])
def test_every_field_has_a_row(kind: str, table: Spec) -> None:
    found = next(each for each in crds.KINDS if each.kind == kind)
    assert set(_leaves(crds.schema(found.spec), "")) == set(table)


def _outcome(kind: str, spec: Spec, server: Spec) -> list[object]:
    return _live(*_specs(kind, spec, server))


def _specs(kind: str, spec: Spec, server: Spec) -> tuple[str, str, str]:
    specs = {"MCPServer": server, "MCPAgent": AGENT, "ToolPolicy": None, kind: spec}
    return json.dumps(specs["MCPServer"]), json.dumps(specs["MCPAgent"]), json.dumps(specs["ToolPolicy"])


@functools.cache
def _live(server: str, agent: str, policy: str) -> list[object]:
    return WholeWorld().live(json.loads(server), json.loads(agent), json.loads(policy))


def _changed(base: Spec, path: str, value: object) -> Spec:
    """Give a spec with one field set; of a list that of its only item."""
    result = copy.deepcopy(base)
    *way, last = path.split(".")
    node = result
    for name in way:
        key = name.removesuffix("[]")
        node = node.setdefault(key, {}) if key == name else node.setdefault(key, [{}])[0]
    node[last] = value
    return result


def _leaves(node: Spec, path: str) -> Iterator[str]:
    items = node.get("items") or {}
    if "properties" in node:
        for name, part in node["properties"].items():
            yield from _leaves(part, f"{path}.{name}".lstrip("."))
    elif "properties" in items:
        yield from _leaves(items, f"{path}[]")
    else:
        yield path

"""What would go around toolman is found wherever it is written; what would not is left alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from examples import FULL_TEMPLATE, TEMPLATE
from mcp_operator import names
from mcp_operator.manifests.template import Finding, unsafe

pytestmark = pytest.mark.requirement("F-06")


def _pod(**fields: object) -> dict[str, Any]:
    return {"spec": {**copy.deepcopy(TEMPLATE["spec"]), **fields}}


def _container(**fields: object) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "agent", "image": "agent:1", **fields}]}}


def _security(**fields: object) -> dict[str, Any]:
    return _container(securityContext=fields)


def _volume(**fields: object) -> dict[str, Any]:
    return _pod(volumes=[{"name": "v", **fields}])


CONTAINER = "spec.containers[0]"
SECURITY = f"{CONTAINER}.securityContext"
UNSAFE = [
    (_pod(hostNetwork=True), "spec.hostNetwork"),
    (_pod(hostPID=True), "spec.hostPID"),
    (_pod(hostIPC=True), "spec.hostIPC"),
    (_pod(shareProcessNamespace=True), "spec.shareProcessNamespace"),
    (_pod(hostUsers=False), "spec.hostUsers"),
    (_pod(ephemeralContainers=[{"name": "debug"}]), "spec.ephemeralContainers"),
    (_pod(restartPolicy="Never"), "spec.restartPolicy"),
    (_pod(containers=[]), "spec.containers"),
    ({}, "spec.containers"),
    (_pod(securityContext={"runAsUser": names.TOOLMAN_UID}), "spec.securityContext.runAsUser"),
    (
        _pod(securityContext={"windowsOptions": {"hostProcess": True}}),
        "spec.securityContext.windowsOptions.hostProcess",
    ),
    (_security(runAsUser=names.SERVER_UID_FIRST), f"{SECURITY}.runAsUser"),
    (_security(runAsUser=float(names.SERVER_UID_LAST)), f"{SECURITY}.runAsUser"),
    (_security(privileged=True), f"{SECURITY}.privileged"),
    (_security(allowPrivilegeEscalation=True), f"{SECURITY}.allowPrivilegeEscalation"),
    (_security(capabilities={"add": ["NET_RAW"]}), f"{SECURITY}.capabilities.add"),
    (_security(procMount="Unmasked"), f"{SECURITY}.procMount"),
    (_container(name="toolman"), f"{CONTAINER}.name"),
    (_container(name="mcp-server-git"), f"{CONTAINER}.name"),
    (_container(ports=[{"containerPort": 3000}]), f"{CONTAINER}.ports[0].containerPort"),
    (_container(ports=[{"containerPort": 9464}]), f"{CONTAINER}.ports[0].containerPort"),
    (
        _container(volumeMounts=[{"name": "mcp-pipes-git", "mountPath": "/x"}]),
        f"{CONTAINER}.volumeMounts[0].name",
    ),
    (
        _container(volumeMounts=[{"name": "toolman-config", "mountPath": "/x"}]),
        f"{CONTAINER}.volumeMounts[0].name",
    ),
    (_container(volumeMounts=[{"name": "v", "mountPath": "/mcp/bin"}]), f"{CONTAINER}.volumeMounts[0].mountPath"),
    (_container(volumeMounts=[{"name": "v", "mountPath": "//mcp/"}]), f"{CONTAINER}.volumeMounts[0].mountPath"),
    (_container(volumeMounts=[{"name": "v", "mountPath": "x/../mcp"}]), f"{CONTAINER}.volumeMounts[0].mountPath"),
    (_container(volumeDevices=[{"name": "mcp", "devicePath": "/x"}]), f"{CONTAINER}.volumeDevices[0].name"),
    (_volume(hostPath={"path": "/"}), "spec.volumes[0].hostPath"),
    (_volume(name="mcp-pipes-git"), "spec.volumes[0].name"),
    (_volume(secret={"secretName": "git-token"}), "spec.volumes[0].secret.secretName"),
    (_volume(configMap={"name": "other-toolman"}), "spec.volumes[0].configMap.name"),
    (
        _volume(projected={"sources": [{"secret": {"name": "git-token"}}]}),
        "spec.volumes[0].projected.sources[0].secret.name",
    ),
    (
        _volume(projected={"sources": [{"configMap": {"name": "dev-toolman"}}]}),
        "spec.volumes[0].projected.sources[0].configMap.name",
    ),
    (
        _volume(projected={"sources": [{"serviceAccountToken": {"audience": "x.toolman.dev"}}]}),
        "spec.volumes[0].projected.sources[0].serviceAccountToken.audience",
    ),
    (
        _container(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "git-token", "key": "token"}}}]),
        f"{CONTAINER}.env[0].valueFrom.secretKeyRef.name",
    ),
    (
        _container(env=[{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "dev-toolman", "key": "k"}}}]),
        f"{CONTAINER}.env[0].valueFrom.configMapKeyRef.name",
    ),
    (
        _container(env=[{"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "mcp-tmp-git"}}}]),
        f"{CONTAINER}.env[0].valueFrom.fileKeyRef.volumeName",
    ),
    (_container(envFrom=[{"secretRef": {"name": "git-token"}}]), f"{CONTAINER}.envFrom[0].secretRef.name"),
    (_container(envFrom=[{"configMapRef": {"name": "dev-toolman"}}]), f"{CONTAINER}.envFrom[0].configMapRef.name"),
    (
        {**TEMPLATE, "metadata": {"annotations": {"toolman.dev/pod-hash": "x"}}},
        "metadata.annotations.toolman.dev/pod-hash",
    ),
    ({**TEMPLATE, "metadata": {"labels": {"toolman.dev/agent": "x"}}}, "metadata.labels.toolman.dev/agent"),
    (
        {
            **TEMPLATE,
            "metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/toolman": "unconfined"}},
        },
        "metadata.annotations.container.apparmor.security.beta.kubernetes.io/toolman",
    ),
]


@pytest.mark.parametrize(("template", "path"), UNSAFE, ids=[path for _, path in UNSAFE])
def test_an_unsafe_field_is_found_and_named(template: dict[str, Any], path: str) -> None:
    found = unsafe(template, {"git-token"})
    assert [finding.path for finding in found] == [path]
    assert found[0].reason


def test_init_containers_are_looked_at_like_containers() -> None:
    template = _pod(initContainers=[{"name": "x", "securityContext": {"privileged": True}}])
    assert [finding.path for finding in unsafe(template)] == ["spec.initContainers[0].securityContext.privileged"]


def test_everything_that_is_wrong_is_named_at_once() -> None:
    template = _pod(hostNetwork=True, hostPID="yes", volumes=[{"name": "toolman", "hostPath": {}}])
    assert [finding.path for finding in unsafe(template)] == [
        "spec.hostNetwork",
        "spec.hostPID",
        "spec.volumes[0].name",
        "spec.volumes[0].hostPath",
    ]


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ({"spec": []}, "spec"),
        ({"spec": {"containers": {"name": "x"}}}, "spec.containers"),
        ({"spec": {"containers": ["x"]}}, "spec.containers[0]"),
        ({"spec": {"containers": [None]}}, "spec.containers[0]"),
        (_container(securityContext="x"), SECURITY),
        (_container(securityContext={"capabilities": ["ALL"]}), f"{SECURITY}.capabilities"),
        (_container(volumeMounts=["mcp"]), f"{CONTAINER}.volumeMounts[0]"),
        (_container(env=[{"name": "A", "valueFrom": ["x"]}]), f"{CONTAINER}.env[0].valueFrom"),
        (_volume(projected={"sources": {}}), "spec.volumes[0].projected.sources"),
        ({**TEMPLATE, "metadata": {"labels": ["x"]}}, "metadata.labels"),
        (_pod(imagePullSecrets=["pull"]), "spec.imagePullSecrets[0]"),
    ],
)
def test_nothing_hides_in_a_value_of_the_wrong_type(template: dict[str, Any], path: str) -> None:
    assert [finding.path for finding in unsafe(template)] == [path]


@pytest.mark.requirement("O-12")
@pytest.mark.parametrize(
    ("volume", "path"),
    [
        ({"csi": {"driver": "d", "nodePublishSecretRef": {"name": "git-token"}}}, "csi.nodePublishSecretRef"),
        ({"azureFile": {"secretName": "git-token", "shareName": "s"}}, "azureFile.secretName"),
        ({"flexVolume": {"driver": "d", "secretRef": {"name": "git-token"}}}, "flexVolume.secretRef"),
        ({"secret": {"secretName": "shared-guard-tls"}}, "secret.secretName"),
        ({"configMap": {"name": "git-manifest"}}, "configMap.name"),
    ],
)
def test_no_volume_brings_the_agent_what_is_a_servers(volume: dict[str, Any], path: str) -> None:
    found = unsafe(_volume(**volume), {"git-token"}, config_maps={"git-manifest"})
    assert [finding.path for finding in found] == [f"spec.volumes[0].{path}"]


@pytest.mark.requirement("O-12")
@pytest.mark.parametrize(
    "name", ["toolman-up-far", "mcp-files-git", "mcp-pipes-git", "mcp-tmp-git", "toolman-config", "toolman-tls", "mcp"]
)
def test_every_volume_of_ours_is_reserved_by_its_name(name: str) -> None:
    assert [finding.path for finding in unsafe(_volume(name=name))] == ["spec.volumes[0].name"]
    mounted = _container(volumeMounts=[{"name": name, "mountPath": "/x"}])
    assert [finding.path for finding in unsafe(mounted)] == [f"{CONTAINER}.volumeMounts[0].name"]


@pytest.mark.requirement("O-12")
def test_a_token_that_a_shared_server_would_take_is_refused_by_its_audience() -> None:
    token = {"serviceAccountToken": {"path": "t", "audience": names.guard_audience("uid-1")}}
    found = unsafe(_volume(projected={"sources": [token]}))
    assert [each.path for each in found] == ["spec.volumes[0].projected.sources[0].serviceAccountToken.audience"]


@pytest.mark.requirement("O-11")
def test_a_template_may_say_what_the_agent_says_of_restarts_or_nothing() -> None:
    assert unsafe(_pod(restartPolicy="Never"), restart_policy="Never") == []
    assert unsafe(_pod(), restart_policy="Never") == []
    assert [each.path for each in unsafe(_pod(restartPolicy="Always"), restart_policy="Never")] == [
        "spec.restartPolicy",
    ]


def test_an_odd_reference_is_compared_and_not_stumbled_over() -> None:
    assert unsafe(_volume(secret={"secretName": ["git-token"]}), {"git-token"}) == []


@pytest.mark.parametrize(
    "template",
    [
        TEMPLATE,
        FULL_TEMPLATE,
        _pod(hostNetwork=False, hostUsers=True, restartPolicy="Always", shareProcessNamespace=None),
        _pod(nodeName="node-1", priorityClassName="high", serviceAccountName="reader", runtimeClassName="gvisor"),
        _security(privileged=False, allowPrivilegeEscalation=False, runAsUser=0, procMount="Default"),
        _container(ports=[{"containerPort": 8080}]),
        _container(volumeMounts=[{"name": "v", "mountPath": "/mcp-data"}]),
        _volume(secret={"secretName": "of-the-agent"}),
        _volume(projected={"sources": [{"serviceAccountToken": {"path": "token", "audience": "vault"}}]}),
        _container(envFrom=None, env=None, ports=None, securityContext=None),
    ],
)
def test_what_does_not_go_around_toolman_is_left_alone(template: dict[str, Any]) -> None:
    assert unsafe(template, {"git-token"}) == []


def test_a_finding_reads_as_a_line_of_a_status() -> None:
    assert str(Finding("spec.hostPID", "no")) == "template.spec.hostPID: no"

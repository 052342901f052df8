"""The chart gives the operator every setting, few rights, and says clearly what is missing."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from mcp_operator import names, settings

CHART = Path(__file__).parents[2] / "charts" / "mcp-operator"
VALUES = ("--values", str(CHART / "ci" / "values.yaml"))
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"

pytestmark = [
    pytest.mark.requirement("F-02"),
    pytest.mark.apiserver,  # not for an engine: for the helm that the lab compiles
]


def _helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    helm = shutil.which("helm") or str(Path.home() / ".cache" / "toolman" / "bin" / "helm")
    return subprocess.run([helm, *arguments], capture_output=True, text=True, check=False, timeout=60)


def _render(*arguments: str) -> list[dict[str, Any]]:
    place = ("mcp-operator", str(CHART), "--namespace", "mcp-system", "--kube-version", "1.29.0")
    done = _helm("template", *place, *VALUES, *arguments)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def _one(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = (document for document in documents if document["kind"] == kind)
    return found


def _pod(*arguments: str) -> dict[str, Any]:
    pod: dict[str, Any] = _one(_render(*arguments), "Deployment")["spec"]["template"]["spec"]
    return pod


def test_the_chart_passes_helms_own_checks() -> None:
    done = _helm("lint", "--strict", str(CHART), *VALUES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_setting_of_the_operator_comes_from_a_value() -> None:
    (container,) = _pod("--set-string", f"build.caBundle={CERTIFICATE}")["containers"]
    given = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert {settings.variable(entry.name) for entry in fields(settings.Settings)} <= set(given)
    read = settings.from_environment({name: value for name, value in given.items() if value})
    assert read.registry == "registry.example.com"
    assert read.git_protocols == ("https", "ssh")
    assert read.build_ca_file == "/etc/mcp-operator/certificates/ca.crt"


def test_the_defaults_of_the_chart_are_those_of_the_operator() -> None:
    (container,) = _pod()["containers"]
    given = {variable["name"]: variable["value"] for variable in container["env"] if variable.get("value")}
    read = settings.from_environment(given)
    different = {
        entry.name
        for entry in fields(settings.Settings)
        if getattr(read, entry.name) != entry.default
        and entry.name not in {"registry", "image_toolman", "image_wrapper", "webhook_port", "webhook_hosts"}
    }
    assert different == set()


def test_mirrors_reach_the_operator() -> None:
    mirrors = "git.mirrors={https://a.example/=http://b.example/,https://c.example/=http://d.example/}"
    (container,) = _pod("--set", mirrors)["containers"]
    given = {variable["name"]: variable["value"] for variable in container["env"] if variable.get("value")}
    assert settings.from_environment(given).git_mirrors == (
        "https://a.example/=http://b.example/",
        "https://c.example/=http://d.example/",
    )


def test_the_operator_lists_and_deletes_no_secrets_and_nothing_is_a_wildcard() -> None:
    roles = [document for document in _render() if document["kind"] in {"ClusterRole", "Role"}]
    rules = [rule for role in roles for rule in role["rules"]]
    assert all("*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]] for rule in rules)
    secrets = {verb for rule in rules if "secrets" in rule["resources"] for verb in rule["verbs"]}
    assert secrets == {"get", "create", "patch"}


def _rights(*arguments: str) -> set[tuple[str, str]]:
    """Give what the operator may do in the whole cluster, as resource and verb."""
    role = next(each for each in _render(*arguments) if each["metadata"]["name"] == "mcp-operator" and "rules" in each)
    return {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}


@pytest.mark.requirement("O-34")
@pytest.mark.parametrize(
    ("value", "resources"),
    [
        ("readApi.enabled", {"tokenreviews", "subjectaccessreviews"}),
        ("injection.enabled", {"mutatingwebhookconfigurations", "validatingwebhookconfigurations"}),
    ],
)
def test_the_operator_may_do_what_only_a_feature_needs_where_that_is_enabled(value: str, resources: set[str]) -> None:
    there, gone = (_rights("--set", f"{value}={enabled}") for enabled in ("true", "false"))
    assert {resource for resource, _ in there - gone} == resources
    assert gone < there


@pytest.mark.requirement("O-34")
def test_people_get_roles_that_write_no_status_and_no_policy_unless_they_are_bound_to_it() -> None:
    def roles(*arguments: str) -> dict[str, dict[str, Any]]:
        return {each["metadata"]["name"]: each for each in _render(*arguments, "--show-only", "templates/people.yaml")}

    def joins(found: dict[str, dict[str, Any]]) -> dict[str, set[str]]:
        prefix = "rbac.authorization.k8s.io/aggregate-to-"
        labels = {name: role["metadata"]["labels"] for name, role in found.items()}
        return {name: {key.removeprefix(prefix) for key in some if prefix in key} for name, some in labels.items()}

    found = roles()
    rules = {name: role["rules"][0] for name, role in found.items()}
    assert joins(found) == {
        "mcp-operator-view": {"view"},
        "mcp-operator-agents": {"edit"},
        "mcp-operator-servers": set(),
        "mcp-operator-policies": set(),
    }
    assert set(rules["mcp-operator-view"]["verbs"]) == {"get", "list", "watch"}
    written = {name: rule["resources"] for name, rule in rules.items() if "create" in rule["verbs"]}
    kinds = {"agents": names.AGENTS, "servers": names.SERVERS, "policies": names.POLICIES}
    assert written == {f"mcp-operator-{name}": [kind] for name, kind in kinds.items()}
    assert joins(roles("--set", "aggregateRoles.servers=true"))["mcp-operator-servers"] == {"edit"}
    without = roles("--set", "aggregateRoles.agents=false", "--set", "aggregateRoles.view=false")
    assert set(without) == set(found)
    assert not any(joins(without).values())


def test_guards_may_ask_whose_tokens_are_and_nothing_else_and_an_upgrade_leaves_them_named() -> None:
    documents = _render()
    role = next(each for each in documents if each["metadata"]["name"] == names.GUARD_ROLE and "rules" in each)
    assert role["rules"] == [
        {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}
    ]
    (binding,) = (each for each in documents if each.get("roleRef", {}).get("name") == names.GUARD_ROLE)
    assert "subjects" not in binding
    assert binding["metadata"]["annotations"] == {names.ANNOTATION_OPERATOR_NAMESPACE: "mcp-system"}


def test_the_definitions_come_as_they_were_generated() -> None:
    crds = {each["metadata"]["name"]: each for each in _render() if each["kind"] == "CustomResourceDefinition"}
    generated = [yaml.safe_load(path.read_text()) for path in (CHART / "files" / "crds").iterdir()]
    assert crds == {each["metadata"]["name"]: each for each in generated}
    assert not any(each["kind"] == "CustomResourceDefinition" for each in _render("--set", "crds.install=false"))


def test_the_operator_is_confined_and_has_the_engines_socket() -> None:
    pod = _pod()
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["supplementalGroups"] == [998]
    assert container["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"name": "engine", "hostPath": {"path": "/var/run", "type": "Directory"}} in pod["volumes"]
    assert {"name": "engine", "mountPath": "/run/engine", "readOnly": True} in container["volumeMounts"]
    assert {"name": "DOCKER_HOST", "value": "unix:///run/engine/docker.sock"} in container["env"]


@pytest.mark.requirement("O-05")
def test_the_registrys_credentials_are_where_docker_keeps_them_and_need_no_restart_to_change() -> None:
    assert not any(volume["name"] == "registry" for volume in _pod()["volumes"])
    pod = _pod("--set", "registrySecret=push")
    (container,) = pod["containers"]
    secret = {"secretName": "push", "items": [{"key": ".dockerconfigjson", "path": "config.json"}]}
    assert {"name": "registry", "secret": secret} in pod["volumes"]
    (mount,) = (each for each in container["volumeMounts"] if each["name"] == "registry")
    assert "subPath" not in mount, "such a file would stay as it was"
    assert {"name": "DOCKER_CONFIG", "value": mount["mountPath"]} in container["env"]


def test_an_engine_elsewhere_needs_no_socket_and_no_group() -> None:
    pod = _pod("--set", "engine.host=tcp://engine:2376", "--set", "engine.socketGroup=null")
    assert not any("hostPath" in volume for volume in pod["volumes"])
    assert "supplementalGroups" not in pod["securityContext"]
    assert {"name": "DOCKER_HOST", "value": "tcp://engine:2376"} in pod["containers"][0]["env"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("registry=", "registry is not set: give the registry"),
        ("images.toolman=", "images.toolman is not set: give an image"),
        ("engine.socketGroup=null", "engine.socketGroup is not set: give the group"),
        ("registry=https://registry.example.com", "does not match pattern"),
        ("images.operator=operator", "does not match pattern"),
        ("build.max=0", "minimum"),
        ("clusterNetworks={10.0.0.1}", "does not match pattern"),
        ("git.protocols={file}", "value must be one of 'https', 'ssh', 'http'"),
        ("bulid.max=1", "additional properties 'bulid' not allowed"),
        ("build.caBundle=/etc/ssl/ca.crt", "does not match pattern"),
    ],
)
def test_a_value_that_is_missing_or_wrong_is_named(value: str, message: str) -> None:
    done = _helm("template", "x", str(CHART), "--kube-version", "1.29.0", *VALUES, "--set", value)
    assert done.returncode != 0
    assert message in done.stderr
    name = value.partition("=")[0]
    assert any(part in done.stderr for part in (name, "/" + name.replace(".", "/"))) or "not allowed" in message


def test_an_older_cluster_is_refused() -> None:
    done = _helm("template", "x", str(CHART), "--kube-version", "1.28.0", *VALUES)
    assert "kubeVersion: >=1.29" in done.stderr


@pytest.mark.requirement("O-01")
def test_networks_of_the_cluster_reach_the_operator_and_are_checked() -> None:
    (container,) = _pod("--set", "clusterNetworks={198.51.100.0/24,2001:db8::/32}")["containers"]
    given = {variable["name"]: variable["value"] for variable in container["env"] if variable.get("value")}
    assert settings.from_environment(given).cluster_networks == ("198.51.100.0/24", "2001:db8::/32")
    with pytest.raises(settings.SettingsError, match="TOOLMAN_CLUSTER_NETWORKS must be networks"):
        settings.from_environment({**given, "TOOLMAN_CLUSTER_NETWORKS": "10.0.0.0/33"})


@pytest.mark.requirement("O-35")
def test_the_read_api_is_there_only_if_wanted_and_with_the_certificate_that_is_named() -> None:
    assert not any(each["metadata"]["name"].endswith("-read-api") for each in _render())
    alone = ("--set", "injection.enabled=false")
    wanted = ("--set", "readApi.enabled=true", "--set", "readApi.tlsSecret=read-api-tls", *alone)
    service = _one(_render(*wanted), "Service")
    assert service["spec"]["ports"] == [{"name": "https", "port": 8443, "targetPort": "read-api"}]
    (container,) = _pod(*wanted)["containers"]
    given = {variable["name"]: variable["value"] for variable in container["env"] if variable.get("value")}
    read = settings.from_environment(given)
    assert (read.read_api_port, read.read_api_key) == (8443, "/etc/mcp-operator/read-api/tls.key")
    assert {"name": "read-api", "secret": {"secretName": "read-api-tls"}} in _pod(*wanted)["volumes"]


@pytest.mark.requirement("O-20")
def test_an_installation_may_deny_by_default() -> None:
    (container,) = _pod("--set", "defaultAccess=Deny")["containers"]
    given = {variable["name"]: variable["value"] for variable in container["env"] if variable.get("value")}
    assert settings.from_environment(given).default_access == "Deny"
    with pytest.raises(settings.SettingsError, match="TOOLMAN_DEFAULT_ACCESS must be one of Allow, Deny"):
        settings.from_environment({**given, "TOOLMAN_DEFAULT_ACCESS": "deny"})


@pytest.mark.requirement("O-15")
def test_the_webhooks_fail_closed_for_labelled_pods_and_delay_nothing_else() -> None:
    documents = _render("--set", "watchNamespaces={team}")
    (mutating,), (keeping, warning) = (
        next(each["webhooks"] for each in documents if each["kind"] == f"{kind}WebhookConfiguration")
        for kind in ("Mutating", "Validating")
    )
    served = {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["team"]}]}
    for webhook in (mutating, keeping, warning):
        assert webhook["sideEffects"] == "None"
        assert webhook["namespaceSelector"] == served
        assert webhook["matchConditions"][0]["name"] == "not-the-operator"
        assert set(webhook["clientConfig"]) == {"service"}, "the operator says whom to trust, and the path"
    for webhook in (mutating, keeping):
        assert webhook["failurePolicy"] == "Fail"
        assert webhook["objectSelector"] == {"matchExpressions": [{"key": names.LABEL_AGENT, "operator": "Exists"}]}
    assert (warning["failurePolicy"], warning["timeoutSeconds"]) == ("Ignore", 2)
    assert mutating["reinvocationPolicy"] == "IfNeeded"
    assert [each["name"] for each in (mutating, keeping, warning)] == [
        names.WEBHOOK_INJECT,
        names.WEBHOOK_KEEP,
        names.WEBHOOK_WARN,
    ]
    assert {each["metadata"]["name"] for each in documents if "webhooks" in each} == {names.WEBHOOKS}


@pytest.mark.requirement("O-15")
def test_the_webhooks_are_served_where_the_api_server_asks_and_nowhere_when_disabled() -> None:
    documents = _render()
    service = next(each for each in documents if each["metadata"]["name"] == "mcp-operator-webhooks" and "spec" in each)
    (container,) = _pod()["containers"]
    given = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert given["TOOLMAN_WEBHOOK_HOSTS"] == f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc"
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports[service["spec"]["ports"][0]["targetPort"]] == int(given["TOOLMAN_WEBHOOK_PORT"])
    without = _render("--set", "injection.enabled=false")
    assert not any("webhooks" in each for each in without)
    (container,) = _pod("--set", "injection.enabled=false")["containers"]
    assert {"name": "TOOLMAN_WEBHOOK_PORT", "value": "0"} in container["env"]

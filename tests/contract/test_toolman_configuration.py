"""What the operator writes, toolman reads; and the Pod's paths, ports and users are those of the configuration."""

from __future__ import annotations

from typing import Any

import pytest
from examples import agent, golden, manifests, policy, running, server
from mcp_operator import layers, names
from mcp_operator.manifests.config import toolman_config
from toolman.policy import decide

from toolman import config, configfile

pytestmark = pytest.mark.requirement("F-06")


def _read(config_map: dict[str, Any]) -> config.Config:
    return configfile.loads(config_map["data"][names.CONFIG_FILE].encode())


@pytest.fixture
def pod() -> dict[str, Any]:
    return golden()["full-pod.yaml"]


@pytest.fixture
def read() -> config.Config:
    return _read(golden()["full-config-map.yaml"])


def _containers(pod: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in pod["spec"]["initContainers"]}


def test_what_is_written_is_read_back() -> None:
    of = agent({"name": "git", "tools": {"allow": ["git_*"]}}, "time")
    opinions = layers.layers({}, of, [server("git", tools={"deny": ["git_push"]})], [policy(deny=["*_secret"])])
    written = toolman_config(of, [running("git"), running("time")], opinions)
    assert configfile.loads(config.dumps(written)) == written
    assert decide(written.layers, "git", "tools", "git_push").source == "MCPServer/git"


def test_the_file_that_toolman_is_told_to_read_is_the_mounted_one(pod: dict[str, Any]) -> None:
    for name in ("toolman", "await-tools"):
        container = _containers(pod)[name]
        mount = next(m for m in container["volumeMounts"] if m["name"] == names.CONFIG_VOLUME)
        where = container["args"][container["args"].index("--config") + 1]
        assert where == f"{mount['mountPath']}/{names.CONFIG_FILE}"


def test_each_servers_pipes_are_where_toolman_mounts_that_servers_volume(
    pod: dict[str, Any], read: config.Config
) -> None:
    mounts = {m["mountPath"]: m["name"] for m in _containers(pod)["toolman"]["volumeMounts"]}
    for each in read.servers:
        assert isinstance(each.upstream, config.Pipes)
        server_container = _containers(pod)[names.server_container(each.name)]
        theirs = next(m for m in server_container["volumeMounts"] if m["mountPath"] == names.PIPES_PATH)
        assert mounts[each.upstream.directory] == theirs["name"]
        assert server_container["command"][3] == theirs["mountPath"]


def test_exactly_the_users_of_the_servers_are_refused_as_callers(pod: dict[str, Any], read: config.Config) -> None:
    users = {
        each["securityContext"]["runAsUser"]
        for name, each in _containers(pod).items()
        if name.startswith(names.SERVER_CONTAINER_PREFIX)
    }
    assert set(read.listen.refuse_uids) == users


def test_the_kubelet_asks_the_admin_port(pod: dict[str, Any], read: config.Config) -> None:
    toolman = _containers(pod)["toolman"]
    assert read.admin is not None
    for probe in ("startupProbe", "livenessProbe"):
        assert toolman[probe]["httpGet"]["port"] == read.admin.port


def test_agents_are_told_the_port_that_toolman_binds_on_loopback(read: config.Config) -> None:
    assert read.listen.loopback
    assert f"http://127.0.0.1:{read.listen.port}/mcp" == names.TOOLMAN_URL


@pytest.mark.parametrize(("written", "expected"), [("Prefixed", "prefixed"), ("Plain", "plain")])
def test_the_naming_is_the_agents_choice(written: str, expected: str) -> None:
    _, config_map = manifests(agent("git", toolNames=written), running("git"))
    assert _read(config_map).naming == expected


def test_the_bytes_depend_on_nothing_but_the_content() -> None:
    policies = [policy("b", deny=["x"]), policy("a", deny=["y"])]
    texts = {
        config.dumps(toolman_config(agent("git"), [running("git")], layers.layers({}, agent("git"), [], order)))
        for order in (policies, policies[::-1])
    }
    assert len(texts) == 1


@pytest.mark.requirement("O-14")
def test_every_file_that_servers_outside_need_is_where_toolman_looks_for_it() -> None:
    read = _read(golden()["outside-config-map.yaml"])
    pod = golden()["outside-pod.yaml"]
    volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
    mounted = {
        f"{mount['mountPath']}/{path}"
        for mount in _containers(pod)["toolman"]["volumeMounts"]
        for source in volumes[mount["name"]].get("projected", {}).get("sources", [])
        for path in _paths(source)
    }
    looked_for = set[str]()
    for upstream in (each.upstream for each in read.servers):
        if isinstance(upstream, config.Http):
            secrets = [*upstream.headers.values(), upstream.token]
            looked_for |= {each.file for each in secrets if isinstance(each, config.Secret)}
            looked_for |= {upstream.ca} if upstream.ca is not None else set()
    assert looked_for == mounted
    assert len(mounted) == 4


def _paths(source: dict[str, Any]) -> list[str]:
    """Give the files that one source of a projected volume makes."""
    if "serviceAccountToken" in source:
        return [source["serviceAccountToken"]["path"]]
    return [item["path"] for kind in source.values() for item in kind["items"]]

"""The Pod: who starts when, who mounts what, who runs as whom, and that the user's part stays the user's."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml
from examples import FULL_TEMPLATE, GOLDEN, agent, golden, manifests, running
from mcp_operator import names

pytestmark = pytest.mark.requirement("F-06")

OURS = ("mcp-install", "toolman", "mcp-server-git", "mcp-server-time", "await-tools")


def _full() -> dict[str, Any]:
    return golden()["full-pod.yaml"]


def _ours(pod: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in pod["spec"]["initContainers"] if each["name"] in OURS}


@pytest.mark.parametrize("name", list(golden()))
def test_the_manifests_are_as_they_were(name: str) -> None:
    """If this change is meant: ``python tests/examples.py``, and read the difference."""
    assert yaml.safe_load((GOLDEN / name).read_text()) == golden()[name]


def test_the_wrapper_toolman_the_servers_and_the_wait_come_first_in_this_order() -> None:
    assert [each["name"] for each in _full()["spec"]["initContainers"]] == [*OURS, "prepare"]


def test_toolman_and_servers_run_beside_the_agent_the_others_end_before_it() -> None:
    restart = {name: each.get("restartPolicy") for name, each in _ours(_full()).items()}
    assert restart == dict.fromkeys(OURS) | dict.fromkeys(("toolman", "mcp-server-git", "mcp-server-time"), "Always")


def test_a_servers_pipes_are_mounted_by_toolman_and_read_only_by_that_server_alone() -> None:
    pod = _full()
    every = [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]
    mounts = {
        each["name"]: mount.get("readOnly", False)
        for each in every
        for mount in each.get("volumeMounts", ())
        if mount["name"] == names.pipes_volume("git")
    }
    assert mounts == {"toolman": False, "mcp-server-git": True}


def test_only_the_installing_container_can_write_what_the_others_run() -> None:
    pod = _full()
    every = [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]
    writers = [
        each["name"]
        for each in every
        for mount in each.get("volumeMounts", ())
        if mount["name"] == names.INSTALL_VOLUME and not mount.get("readOnly")
    ]
    assert writers == ["mcp-install"]


def test_root_in_the_users_containers_cannot_change_what_names_mean_to_the_others() -> None:
    # /etc/hosts and /etc/resolv.conf are one file for all containers of a Pod, and root's.
    contexts: dict[str, dict[str, Any]] = {
        "root": {"runAsUser": 0},
        "any": {"runAsNonRoot": False},
        "user": {"runAsUser": 1000},
        "own": {"runAsUser": 0},
    }
    containers: list[dict[str, Any]] = [
        {"name": name, "image": "i:1", "securityContext": context} for name, context in contexts.items()
    ]
    containers[-1]["volumeMounts"] = [{"name": "names", "mountPath": "/etc//hosts"}]
    template = {"spec": {"containers": containers, "volumes": [{"name": "names", "emptyDir": {}}]}}
    made = manifests(agent("git", template=template), running("git"))[0]["spec"]["containers"]
    found = {
        each["name"]: [mount["mountPath"] for mount in each["volumeMounts"] if mount["mountPath"].startswith("/etc")]
        for each in made
    }
    both = ["/etc/hosts", "/etc/resolv.conf"]
    assert found == {"root": both, "any": both, "user": [], "own": ["/etc//hosts", "/etc/resolv.conf"]}
    mounted = [mount for mount in made[0]["volumeMounts"] if mount["mountPath"] in both]
    assert {(each["name"], each["subPath"], each["readOnly"]) for each in mounted} == {
        (names.INSTALL_VOLUME, "etc/hosts", True),
        (names.INSTALL_VOLUME, "etc/resolv.conf", True),
    }


def test_toolmans_configuration_is_seen_by_our_own_containers_alone() -> None:
    pod = _full()
    every = [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]
    readers = [
        each["name"]
        for each in every
        if any(mount["name"] == names.CONFIG_VOLUME for mount in each.get("volumeMounts", ()))
    ]
    assert readers == ["toolman", "await-tools"]


def test_a_servers_secret_is_in_that_servers_container_alone() -> None:
    pod = _full()
    every = [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]
    assert [each["name"] for each in every if "git-token" in str(each)] == ["mcp-server-git"]
    assert "git-token" not in str(pod["spec"]["volumes"])


def test_every_server_has_a_user_of_its_own_in_the_reserved_range() -> None:
    ours = _ours(_full())
    users = [each["securityContext"]["runAsUser"] for name, each in ours.items() if name.startswith("mcp-server-")]
    assert len(set(users)) == 2
    assert all(names.SERVER_UID_FIRST <= user <= names.SERVER_UID_LAST for user in users)


def test_our_containers_ask_for_and_are_limited_in_memory_and_are_hardened() -> None:
    for each in _ours(_full()).values():
        assert each["resources"]["requests"]["memory"]
        assert each["resources"]["limits"]["memory"]
        assert each["securityContext"]["readOnlyRootFilesystem"]
        assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_a_server_is_started_by_our_spawner_with_its_words_taken_literally() -> None:
    pod, _ = manifests(agent("git"), running("git", command=("serve", "$(X)"), args=["--price", "$5"]))
    assert _ours(pod)["mcp-server-git"]["command"] == [
        "/mcp/bin/busybox",
        "sh",
        "/mcp/lib/spawner.sh",
        "/run/mcp",
        "serve",
        "$$(X)",
        "--price",
        "$$5",
    ]


def test_a_servers_variables_are_literal_and_home_is_writable_unless_it_is_given() -> None:
    variables = [{"name": "A", "value": "$(TOKEN)"}, {"name": "EMPTY"}]
    pod, _ = manifests(agent("git"), running("git", env=variables))
    assert _ours(pod)["mcp-server-git"]["env"] == [
        {"name": "HOME", "value": "/tmp"},  # noqa: S108 - in the container
        {"name": "A", "value": "$$(TOKEN)"},
        {"name": "EMPTY", "value": ""},
    ]


def test_the_users_fields_are_untouched_but_for_what_is_promised() -> None:
    written = FULL_TEMPLATE["spec"]
    made = _full()["spec"]
    added = {"restartPolicy", "enableServiceLinks"}
    assert set(made) == set(written) | added
    for field in set(written) - {"initContainers", "containers", "volumes", "automountServiceAccountToken"}:
        assert made[field] == written[field]
    assert made["volumes"][: len(written["volumes"])] == written["volumes"]
    ours = {"env", "volumeMounts", "securityContext"}
    mine = [*written["initContainers"], *written["containers"]]
    for before, after in zip(mine, [made["initContainers"][-1], *made["containers"]], strict=True):
        assert {k: v for k, v in before.items() if k not in ours} == {k: v for k, v in after.items() if k not in ours}
        for field in ("env", "volumeMounts"):
            assert after[field][: len(before.get(field, ()))] == before.get(field, [])


def test_making_a_pod_changes_nothing_of_what_it_is_made_from() -> None:
    template = copy.deepcopy(FULL_TEMPLATE)
    manifests(agent("git", template=template), running("git"))
    assert template == FULL_TEMPLATE


def test_a_users_own_url_of_toolman_wins() -> None:
    urls = {
        each["name"]: [v["value"] for v in each["env"] if v["name"] == "MCP_TOOLMAN_SERVER_URL"]
        for each in _full()["spec"]["containers"]
    }
    assert urls == {"agent": ["http://localhost:3000/mcp"], "root": ["http://127.0.0.1:3000/mcp"]}


@pytest.mark.requirement("W-11")
@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ([], [str(names.TOOLMAN_UID)]),
        ([{"name": "MCP_TOOLMAN_SERVER_URL", "value": "http://LOCALHOST:3000/mcp"}], [str(names.TOOLMAN_UID)]),
        ([{"name": "MCP_TOOLMAN_SERVER_URL", "value": "http://[::1]:3000/mcp"}], [str(names.TOOLMAN_UID)]),
        ([{"name": "MCP_TOOLMAN_SERVER_URL", "valueFrom": {}}], [str(names.TOOLMAN_UID)]),
        ([{"name": "MCP_TOOLMAN_SERVER_URL", "value": "https://toolman.example.com/mcp"}], []),
        ([{"name": "MCP_TOOLMAN_SERVER_URL", "value": "http://[nonsense"}], []),
        ([{"name": "MCP_TOOLMAN_UID", "value": ""}], [""]),
    ],
)
def test_the_users_containers_are_told_as_whom_toolman_listens_if_it_is_that_of_the_pod(
    variables: list[dict[str, Any]], told: list[str]
) -> None:
    container = {"name": "agent", "image": "agent:1", "env": variables}
    pod, _ = manifests(agent("git", template={"spec": {"containers": [container]}}), running("git"))
    found = pod["spec"]["containers"][0]["env"]
    assert [each["value"] for each in found if each["name"] == "MCP_TOOLMAN_UID"] == told
    assert _ours(pod)["toolman"]["securityContext"]["runAsUser"] == names.TOOLMAN_UID


@pytest.mark.requirement("W-08")
def test_the_installing_container_is_told_what_clients_configurations_must_say() -> None:
    pod, _ = manifests(agent("git"), running("git"))
    agents = pod["spec"]["containers"][0]["env"]
    assert {"MCP_TOOLMAN_SERVER_URL", "MCP_TOOLMAN_UID"} == {variable["name"] for variable in agents}
    assert _ours(pod)["mcp-install"]["env"] == agents


def test_a_token_that_was_asked_for_is_in_the_users_containers_alone() -> None:
    pod = _full()
    every = [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]
    holders = [each["name"] for each in every if any(m["name"] == "mcp-token" for m in each["volumeMounts"])]
    assert holders == ["prepare", "agent", "root"]
    assert pod["spec"]["automountServiceAccountToken"] is False


def test_there_is_no_token_unless_it_is_asked_for() -> None:
    pod, _ = manifests(agent("git"), running("git"))
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert "mcp-token" not in str(pod)


def test_a_volume_of_the_users_where_the_token_would_go_wins() -> None:
    place = "/var/run/secrets/kubernetes.io/serviceaccount"
    container = {"name": "agent", "volumeMounts": [{"name": "own", "mountPath": place}]}
    template = {"spec": {"automountServiceAccountToken": True, "containers": [container]}}
    pod, _ = manifests(agent("git", template=template), running("git"))
    assert [m["name"] for m in pod["spec"]["containers"][0]["volumeMounts"]] == ["own", "mcp"]


def test_the_waiting_container_is_told_the_required_tools() -> None:
    await_tools = _ours(_full())["await-tools"]
    assert await_tools["args"][-4:] == ["--require", "git/git_log", "--require", "time/now"]


def _hashes(pod: dict[str, Any]) -> tuple[str, str]:
    annotations = pod["metadata"]["annotations"]
    return annotations[names.ANNOTATION_POD_HASH], annotations[names.ANNOTATION_CONFIG_HASH]


def test_another_rule_changes_the_configuration_and_not_the_pod() -> None:
    before, _ = manifests(agent({"name": "git", "tools": {"deny": ["a"]}}), running("git"))
    after, _ = manifests(agent({"name": "git", "tools": {"deny": ["b"]}}), running("git"))
    assert _hashes(before)[0] == _hashes(after)[0]
    assert _hashes(before)[1] != _hashes(after)[1]


@pytest.mark.parametrize(
    "changed",
    [
        manifests(agent("git"), running("git", args=["--x"])),
        manifests(agent("git", "time"), running("git"), running("time")),
        manifests(agent("git", requiredTools=["git/a"]), running("git")),
        manifests(agent("git", template={"spec": {"containers": [{"name": "agent", "image": "agent:2"}]}}), running()),
    ],
    ids=["arguments", "server", "required", "template"],
)
def test_what_a_pod_is_made_of_changes_its_hash(changed: tuple[dict[str, Any], dict[str, Any]]) -> None:
    before, _ = manifests(agent("git"), running("git"))
    assert _hashes(before)[0] != _hashes(changed[0])[0]


def test_the_same_input_gives_the_same_hashes() -> None:
    assert _hashes(golden()["pod.yaml"]) == _hashes(golden()["pod.yaml"])


def test_the_pod_and_its_config_map_go_with_the_agent() -> None:
    for manifest in golden().values():
        (owner,) = manifest["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == (
            "MCPAgent",
            "dev",
            "uid-of-dev",
            True,
        )


def test_no_name_in_the_pod_is_too_long_for_the_longest_server() -> None:
    longest = "s" * 50
    pod, _ = manifests(agent(longest, name="a" * 50), running(longest))
    spec = pod["spec"]
    assert all(len(each["name"]) <= 63 for each in (*spec["initContainers"], *spec["volumes"]))

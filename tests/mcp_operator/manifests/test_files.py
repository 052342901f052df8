"""Environment, files and pull secrets of a server: in its own container, by reference, never copied."""

from __future__ import annotations

from typing import Any

import pytest
from examples import agent, manifests, running, server
from mcp_operator.manifests import files
from mcp_operator.models.run import Run

pytestmark = pytest.mark.requirement("O-05")

RUN: dict[str, Any] = {
    "envFrom": [{"prefix": "DB_", "secretRef": {"name": "database"}}, {"configMapRef": {"name": "settings"}}],
    "files": [
        {"path": "/etc/app/key.pem", "secretKeyRef": {"name": "tls", "key": "tls.key"}},
        {"path": "/etc/app/config.yaml", "configMapKeyRef": {"name": "settings", "key": "config"}},
        {"path": "/etc/app/note", "content": "hello"},
    ],
}


def _every(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]


def test_whole_secrets_and_config_maps_are_environment_of_that_server_alone() -> None:
    pod, _ = manifests(agent("git", "time"), running("git", **RUN), running("time"))
    holders = {each["name"]: each["envFrom"] for each in _every(pod) if "envFrom" in each}
    assert holders == {
        "mcp-server-git": [
            {"prefix": "DB_", "secretRef": {"name": "database"}},
            {"configMapRef": {"name": "settings"}},
        ],
    }


def test_files_are_mounted_one_by_one_and_read_only_in_that_server_alone() -> None:
    pod, _ = manifests(agent("git", "time"), running("git", **RUN), running("time"))
    mounts = {
        each["name"]: [mount for mount in each.get("volumeMounts", ()) if mount["name"] == "mcp-files-git"]
        for each in _every(pod)
    }
    assert mounts.pop("mcp-server-git") == [
        {"name": "mcp-files-git", "mountPath": path, "subPath": f"file-{index}", "readOnly": True}
        for index, path in enumerate(("/etc/app/key.pem", "/etc/app/config.yaml", "/etc/app/note"))
    ]
    assert not any(mounts.values())


def test_the_volume_of_files_names_secrets_and_config_maps_and_holds_no_value() -> None:
    (volume,) = files.volumes("git", Run.model_validate(RUN))
    assert volume["projected"]["sources"] == [
        {"secret": {"name": "tls", "items": [{"key": "tls.key", "path": "file-0"}]}},
        {"configMap": {"name": "settings", "items": [{"key": "config", "path": "file-1"}]}},
        {"configMap": {"name": "git-files", "items": [{"key": "file-2", "path": "file-2"}]}},
    ]


def test_files_written_in_the_server_are_in_a_config_map_that_goes_with_it() -> None:
    made = files.config_map(server("git", run=RUN))
    assert made is not None
    assert made["data"] == {"file-2": "hello"}
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("MCPServer", "uid-of-git", True)
    assert files.config_map(server("git")) is None


def test_the_size_of_what_is_written_is_counted_in_bytes() -> None:
    run = Run.model_validate({"files": [{"path": "/etc/a", "content": "ä" * 10}]})
    assert files.size(run) == 20


def test_pull_secrets_of_servers_come_behind_the_users_and_never_twice() -> None:
    template = {"spec": {"containers": [{"name": "agent", "image": "a"}], "imagePullSecrets": [{"name": "mine"}]}}
    one = running("git")
    with_pull = [type(one)(**{**vars(one), "pull_secrets": ("mine", "theirs")})]
    pod, _ = manifests(agent("git", template=template), *with_pull)
    assert pod["spec"]["imagePullSecrets"] == [{"name": "mine"}, {"name": "theirs"}]
    assert "imagePullSecrets" not in manifests(agent("git"), running("git"))[0]["spec"]

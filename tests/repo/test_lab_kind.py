"""kind with stand-ins for ``kind`` and ``docker``: its node image cannot be had everywhere that tests run."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from lab import kind, settings
from lab.errors import LabError

if TYPE_CHECKING:
    from pathlib import Path

KIND = """#!/bin/sh
echo "kind $*" >> "$CALLS"
case "$1 $2" in
"get clusters") cat "$CLUSTERS" ;;
"get nodes") echo toolman-lab-control-plane ;;
"get kubeconfig") echo exported ;;
"create cluster") while [ "$1" != --kubeconfig ]; do shift; done; echo created > "$2" ;;
esac
"""
DOCKER = """#!/bin/sh
echo "docker $*" >> "$CALLS"
case "$1 $2" in
"network inspect") echo "$NETWORK" ;;
"inspect --format") echo "$CONTAINER" ;;
"exec -i") cat >> "$CALLS" ;;
esac
"""
CONTAINER = {"NetworkSettings": {"Ports": {"5000/tcp": [{"HostPort": "5001"}]}}, "State": {"Running": True}}


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in (("kind", KIND), ("docker", DOCKER)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "clusters").write_text("somebody-elses\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("CONTAINER", json.dumps(CONTAINER))
    monkeypatch.setenv("CLUSTERS", str(tmp_path / "clusters"))
    return tmp_path / "calls"


@pytest.fixture
def chosen(tmp_path: Path) -> settings.Settings:
    return settings.Settings(cache=tmp_path / "cache", base_images={})


def test_the_cluster_has_a_name_and_a_kubeconfig_of_its_own(calls: Path, chosen: settings.Settings) -> None:
    kubeconfig = kind.up(chosen, "registry.example.com")
    assert kubeconfig == chosen.cache / "kind/kubeconfig"
    assert kubeconfig.read_text() == "created\n"
    assert kubeconfig.stat().st_mode & 0o777 == 0o600
    created = next(line for line in calls.read_text().splitlines() if line.startswith("kind create"))
    assert created.startswith(f"kind create cluster --name toolman-lab --kubeconfig {kubeconfig} ")


def test_the_node_sees_the_engines_socket(calls: Path, chosen: settings.Settings) -> None:
    assert not calls.exists()
    kind.up(chosen, "registry.example.com")
    config = json.loads((chosen.cache / "kind/config.json").read_text())
    mount = {"hostPath": "/var/run/docker.sock", "containerPath": "/var/run/docker.sock"}
    assert config["nodes"] == [{"role": "control-plane", "extraMounts": [mount]}]


def test_a_cluster_that_is_there_is_used(calls: Path, chosen: settings.Settings, tmp_path: Path) -> None:
    (tmp_path / "clusters").write_text("somebody-elses\ntoolman-lab\n")
    assert kind.up(chosen, "registry.example.com").read_text() == "exported\n"
    assert "kind create" not in calls.read_text()


def test_the_nodes_pull_from_our_registry_by_the_name_that_the_engine_pushes_to(
    calls: Path, chosen: settings.Settings
) -> None:
    kind.up(chosen, "127.0.0.1:5001")
    done = calls.read_text()
    assert "docker network connect kind toolman-registry\n" in done
    folder = "/etc/containerd/certs.d/127.0.0.1:5001"
    assert f"docker exec toolman-lab-control-plane mkdir -p {folder}\n" in done
    assert f"cp /dev/stdin {folder}/hosts.toml\n" + '[host."http://toolman-registry:5000"]\n' in done


def test_a_registry_of_the_persons_is_not_touched(calls: Path, chosen: settings.Settings) -> None:
    kind.up(chosen, "registry.example.com")
    assert "network connect" not in calls.read_text()


def test_only_our_cluster_is_deleted(calls: Path, chosen: settings.Settings, tmp_path: Path) -> None:
    kind.down(chosen)
    assert "kind delete" not in calls.read_text()
    (tmp_path / "clusters").write_text("toolman-lab\n")
    kind.down(chosen)
    assert "kind delete cluster --name toolman-lab --kubeconfig" in calls.read_text()


@pytest.mark.usefixtures("calls")
def test_this_machine_is_the_ipv4_gateway_of_kinds_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("NETWORK", '[{"Gateway": "fc00:f853:ccd:e793::1"}, {"Gateway": "172.18.0.1"}]')
    assert kind.node_address() == "172.18.0.1"
    monkeypatch.setenv("NETWORK", '[{"Subnet": "fc00::/64"}]')
    with pytest.raises(LabError, match="set TOOLMAN_NODE_ADDRESS"):
        kind.node_address()


@pytest.mark.usefixtures("calls")
def test_an_engine_in_a_virtual_machine_knows_this_machine_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert kind.node_address() == "host.docker.internal"

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from agent_world import World
from mcp_operator import names

PLACE = ("configmaps", "team", names.config_map("dev"))


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("text", ["", "no json", '{"version": 2}', '{"unknown": true}'])
def test_a_configuration_that_cannot_be_read_is_written_anew(world: World, text: str) -> None:
    world.running()
    world.cluster.objects[PLACE]["data"] = {names.CONFIG_FILE: text}
    world.look()
    assert [server["name"] for server in world.config["servers"]] == ["files"]


def test_what_somebody_writes_into_the_configuration_is_put_back(world: World) -> None:
    world.running()
    before = world.config
    changed = {**before, "layers": []}
    world.cluster.objects[PLACE]["data"][names.CONFIG_FILE] = str(changed)
    world.look()
    assert world.config == before
    assert world.condition("Ready")[0] == "True"


@pytest.mark.requirement("O-22")
def test_a_config_map_without_our_label_gets_it_whatever_it_says(world: World) -> None:
    # Without it neither the watches nor the admission policies know it.
    world.running()
    del world.cluster.objects[PLACE]["metadata"]["labels"][names.MANAGED_BY]
    world.look()
    assert world.cluster.objects[PLACE]["metadata"]["labels"][names.MANAGED_BY] == names.MANAGER


@pytest.mark.requirement("O-20")
def test_a_config_map_that_no_policy_could_change_is_told_and_no_pod_is_made(world: World) -> None:
    world.running()
    made = world.cluster.objects[PLACE]
    world.cluster.objects.pop(("pods", "team", "dev"))
    made["immutable"] = True
    world.look()
    assert world.condition("PodReady") == ("False", "ConfigMapNameTaken")
    assert ("pods", "team", "dev") not in world.cluster.objects


@pytest.mark.requirement("O-05")
@pytest.mark.parametrize(
    ("owner", "reason"),
    [
        (None, "ConfigMapNameTaken"),
        ({"kind": "MCPServer", "name": "files", "uid": "earlier", "controller": True}, "PodTerminating"),
    ],
)
def test_a_config_map_that_is_not_the_servers_is_never_overwritten_with_its_files(
    world: World, owner: dict[str, Any] | None, reason: str
) -> None:
    world.server("files", run={"files": [{"path": "/etc/x", "content": "hello"}]})
    foreign = {"metadata": {"name": "files-files", "ownerReferences": [owner] if owner else []}, "data": {"mine": "1"}}
    world.cluster.objects["configmaps", "team", "files-files"] = foreign
    world.look()
    assert world.condition("PodReady") == ("False", reason)
    assert foreign["data"] == {"mine": "1"}
    assert ("pods", "team", "dev") not in world.cluster.objects


@pytest.mark.requirement("O-14")
def test_a_shared_server_is_reached_with_a_token_and_the_authority_that_its_status_names(world: World) -> None:
    world.outside("near")
    stored = world.cluster.objects["mcpservers", "team", "near"]
    stored["spec"] = {"source": {"git": {"url": "https://git.test/near"}}, "run": {"placement": "Shared"}}
    stored["status"]["endpoint"] |= {"caConfigMap": "near-ca", "audience": "toolman.dev/mcpserver/u"}
    world.agent("files", "near")
    world.running()
    upstream = world.config["servers"][1]["upstream"]
    assert upstream["token"] == {"file": "/run/toolman/upstreams/near/token"}
    assert upstream["ca"] == "/run/toolman/upstreams/near/ca.crt"
    assert names.server_container("near") not in str(world.pod["spec"]["initContainers"])


@pytest.mark.requirement("O-10")
def test_a_shared_server_without_an_endpoint_is_told(world: World) -> None:
    world.server("near", run={"placement": "Shared"})
    world.agent("files", "near")
    world.look()
    assert "near: it has no endpoint yet" in world.message()


FIRST_READERS = """
import sys, threading
from mcp_operator import names
from mcp_operator.reconcile import agent_config
sys.setswitchinterval(1e-6)
text = '{"servers": [{"name": "x", "upstream": {"kind": "pipes", "directory": "/run/mcp/x"}}]}'
together = threading.Barrier(8)
def read():
    together.wait()
    assert agent_config.written({"data": {names.CONFIG_FILE: text}}).servers[0].name == "x"
threads = [threading.Thread(target=read) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


@pytest.mark.requirement("O-30")
def test_many_workers_may_be_the_first_to_read_a_configuration() -> None:
    # msgspec ended the process in two of three such runs when they were also the first to decode into the class.
    for _ in range(5):
        ended = subprocess.run([sys.executable, "-c", FIRST_READERS], capture_output=True, timeout=120, check=False)
        assert (ended.returncode, ended.stderr.decode()) == (0, "")

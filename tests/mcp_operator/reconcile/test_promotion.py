from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fake_cluster import AGENT
from mcp_operator.reconcile import manifests_store
from mcp_operator.workqueue import Key

if TYPE_CHECKING:
    from server_world import World

pytestmark = pytest.mark.requirement("O-03")

MANUAL = {"tools": {"changes": "Manual"}}
PLACE = ("configmaps", "team", "one-manifest")


def held(world: World, *tools: str, **spec: object) -> str:
    """Have two tools in service and a build with others; give the hash of the others."""
    uid = world.apply(**{**MANUAL, **spec})
    world.build(uid)
    world.builder.tools = tools or ("read", "delete")
    world.builder.commit = "b" * 40
    world.clock.forward(300)
    world.build(uid)
    return str(world.status["held"]["toolsHash"])


def test_all_tools_are_in_a_config_map_of_the_servers_own(world: World) -> None:
    uid = world.apply()
    world.build(uid)
    config_map = world.cluster.objects[PLACE]
    assert world.status["manifest"] == "one-manifest"
    assert config_map["metadata"]["ownerReferences"][0]["uid"] == uid
    tools = manifests_store.read(world.cluster, "team", "one", world.status["toolsHash"])
    assert [(tool.name, tool.hash, tool.read_only) for tool in tools or ()] == [
        ("read", "sha256:read-1", True),
        ("write", "sha256:write-1", None),
    ]


def test_the_first_tools_of_a_server_need_no_approval(world: World) -> None:
    world.build(world.apply(**MANUAL))
    assert world.condition("Ready") == ("True", "Succeeded")
    assert world.condition("AwaitingApproval")[0] == "absent"


def test_other_tools_wait_and_the_last_good_image_stays_in_service(world: World) -> None:
    approved = held(world)
    status = world.status
    assert status["source"]["commit"] == "a" * 40
    assert [tool["name"] for tool in status["tools"]] == ["read", "write"]
    assert (status["held"]["added"], status["held"]["removed"]) == (["delete"], ["write"])
    assert status["held"]["source"]["commit"] == "b" * 40
    assert world.condition("Ready") == ("True", "ChangesHeld")
    assert world.condition("AwaitingApproval") == ("True", "ChangesHeld")
    assert world.condition("Stalled")[0] == "absent"
    command = f"kubectl annotate mcps one -n team --overwrite toolman.dev/approve={approved}"
    assert status["held"]["approve"] == command
    assert "1 added (delete); 1 removed (write)" in world.message("AwaitingApproval")
    assert world.message("AwaitingApproval").endswith(command)
    assert status["summary"] == "Ready, new tools await approval"
    assert world.cluster.reasons[-2:] == ["ChangesHeld", "Ready"]
    assert manifests_store.read(world.cluster, "team", "one", status["toolsHash"]) is not None


def test_a_tool_whose_definition_changed_is_named(world: World) -> None:
    uid = world.apply(**MANUAL)
    world.build(uid)
    world.builder.definitions = "2"
    world.builder.commit = "b" * 40
    world.clock.forward(300)
    world.build(uid)
    assert world.status["held"]["changed"] == ["read", "write"]


def test_what_was_approved_goes_into_service_as_it_was_verified(world: World) -> None:
    world.cluster.add(AGENT, "dev", {"servers": [{"name": "one"}]})
    approved = held(world)
    world.annotate(approve=approved)
    world.woken.clear()
    world.look()
    assert len(world.builder.requests) == 2
    assert world.status["source"]["commit"] == "b" * 40
    assert world.status["toolsHash"] == approved
    assert "held" not in world.status
    assert world.condition("Ready") == ("True", "Succeeded")
    assert world.condition("AwaitingApproval")[0] == "absent"
    assert Key("MCPAgent", "team", "dev") in world.woken
    found = manifests_store.read(world.cluster, "team", "one", approved)
    assert [tool.name for tool in found or ()] == ["read", "delete"]


def test_what_waits_survives_a_restart_of_the_operator(world: World) -> None:
    approved = held(world)
    writes = len(world.cluster.writes)
    world.restart()
    world.look()
    assert len(world.cluster.writes) == writes
    assert len(world.builder.requests) == 2
    world.annotate(approve=approved)
    world.restart()
    world.look()
    assert world.status["toolsHash"] == approved
    assert len(world.builder.requests) == 2


def test_approving_something_else_does_nothing_and_says_so(world: World) -> None:
    older = held(world)
    world.builder.tools = ("read", "erase")
    world.builder.commit = "c" * 40
    world.clock.forward(300)
    world.build("uid-1")
    world.annotate(approve=older)
    world.look()
    assert world.status["source"]["commit"] == "a" * 40
    assert world.condition("Ready") == ("True", "ChangesHeld")
    assert "is not what waits" in world.message("AwaitingApproval")


def test_with_the_tools_of_the_one_in_service_nothing_waits(world: World) -> None:
    held(world)
    world.builder.tools = ("read", "write")
    world.builder.commit = "c" * 40
    world.clock.forward(300)
    world.build("uid-1")
    assert world.status["source"]["commit"] == "c" * 40
    assert world.condition("AwaitingApproval")[0] == "absent"


def test_tools_that_were_approved_before_need_no_further_approval(world: World) -> None:
    approved = held(world)
    world.annotate(approve=approved)
    world.look()
    world.builder.commit = "c" * 40
    world.clock.forward(300)
    world.build("uid-1")
    assert world.status["source"]["commit"] == "c" * 40


def test_without_manual_what_waits_goes_into_service(world: World) -> None:
    approved = held(world)
    world.apply()
    world.look()
    assert world.status["toolsHash"] == approved
    assert len(world.builder.requests) == 2


def test_a_list_that_somebody_changed_or_deleted_is_made_anew(world: World) -> None:
    uid = world.apply()
    world.build(uid)
    data = world.cluster.objects[PLACE]["data"]
    data["tools.json"] = data["tools.json"].replace("sha256:read-1", "sha256:evil")
    assert manifests_store.read(world.cluster, "team", "one", world.status["toolsHash"]) is None
    world.build(uid)
    assert manifests_store.read(world.cluster, "team", "one", world.status["toolsHash"]) is not None
    del world.cluster.objects[PLACE]
    world.build(uid)
    assert manifests_store.read(world.cluster, "team", "one", world.status["toolsHash"]) is not None
    assert world.condition("Ready") == ("True", "Succeeded")


def test_what_waits_is_made_anew_when_its_list_was_changed(world: World) -> None:
    approved = held(world)
    data = world.cluster.objects[PLACE]["data"]
    data["held.json"] = data["held.json"].replace("sha256:delete-1", "sha256:evil")
    world.annotate(approve=approved)
    world.build("uid-1")
    assert len(world.builder.requests) == 3
    assert world.status["toolsHash"] == approved


def test_somebody_elses_config_map_is_left_alone(world: World) -> None:
    foreign = {"metadata": {"name": "one-manifest", "namespace": "team"}, "data": {"a": "b"}}
    world.cluster.objects[PLACE] = foreign
    uid = world.apply()
    world.build(uid)
    assert world.condition("Verified") == ("False", "ManifestNameTaken")
    assert world.cluster.objects[PLACE] == foreign
    del world.cluster.objects[PLACE]
    world.look()
    assert world.condition("Ready") == ("True", "Succeeded")
    assert len(world.builder.requests) == 1

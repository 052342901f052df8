from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fake_cluster import AGENT, POLICY
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.reconcile import manifests_store
from mcp_operator.reconcile.revisions import INTERVAL
from mcp_operator.remote import Target
from mcp_operator.workqueue import Key

if TYPE_CHECKING:
    from server_world import World

pytestmark = pytest.mark.requirement("O-01")

URL = "https://mcp.example.com/mcp"
HEADER = {"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": "far", "key": "token"}}}


def apply(world: World, *, tools: dict[str, Any] | None = None, **remote: object) -> str:
    return world.apply(source={"remote": {"url": URL, **remote}}, tools=tools or {})


def trouble(reason: str, *, transient: bool = False) -> BuildError:
    return BuildError(reason, "it is so", step=Step.VERIFY, hint="Do this.", transient=transient)


def test_a_remote_server_is_greeted_and_its_endpoint_put_into_service(world: World) -> None:
    apply(world)
    assert world.look() == INTERVAL
    status = world.status
    assert status["endpoint"] == {"url": URL, "transport": "streamable-http"}
    assert (status["sourceKind"], status["toolCount"], status["summary"]) == ("remote", 2, "Ready")
    assert status["protocol"]["serverInfo"] == "far 2.0"
    assert [world.condition(kind)[0] for kind in ("SourceReady", "Verified", "Ready")] == ["True"] * 3
    assert world.condition("Built")[0] == "absent"
    assert manifests_store.read(world.cluster, "team", "one", status["toolsHash"]) is not None
    assert not world.builder.requests
    assert world.cluster.reasons == ["ToolsChanged", "Ready"]


def test_looking_again_writes_nothing_and_asks_only_after_a_while(world: World) -> None:
    apply(world)
    world.look()
    writes = len(world.cluster.writes)
    world.look()
    assert (len(world.cluster.writes), world.builder.questions) == (writes, 1)
    world.clock.forward(INTERVAL)
    world.look()
    world.look()
    assert (len(world.cluster.writes), world.builder.questions) == (writes, 2)


def test_headers_come_from_secrets_and_go_nowhere_else(world: World) -> None:
    world.cluster.secrets["team", "far"] = {"token": b"Bearer hunter2hunter2\n"}
    world.cluster.objects["configmaps", "team", "ca"] = {"metadata": {"name": "ca"}, "data": {"ca.crt": "PEM"}}
    apply(world, headers=[HEADER], caRef={"name": "ca", "key": "ca.crt"})
    world.look()
    (asked,) = world.builder.asked
    assert isinstance(asked, Target)
    assert asked.headers == {"Authorization": "Bearer hunter2hunter2"}
    assert asked.authorities == "PEM"
    shown = str(world.cluster.objects) + str(world.cluster.events) + repr(asked)
    assert "hunter2" not in shown


@pytest.mark.requirement("O-05")
@pytest.mark.parametrize(
    ("data", "reason", "said"),
    [
        (None, "SecretMissing", "kubectl create secret generic far -n team --from-literal=token=VALUE"),
        ({"other": b"x"}, "SecretMissing", "Secret far has no key token"),
        ({"token": b"a\r\nHost: evil"}, "SecretInvalid", "key token has line breaks"),
        ({"token": b"\xff"}, "SecretInvalid", "key token is empty, too long or no text"),
    ],
)
def test_a_header_that_is_missing_or_unfit_is_told_by_secret_and_key(
    world: World, data: dict[str, bytes] | None, reason: str, said: str
) -> None:
    if data is not None:
        world.cluster.secrets["team", "far"] = data
    apply(world, headers=[HEADER])
    world.look()
    assert world.condition("SourceReady") == ("False", reason)
    assert said in world.message("Ready")
    assert world.builder.questions == 0


def test_missing_authorities_are_waited_for(world: World) -> None:
    apply(world, caRef={"name": "ca", "key": "ca.crt"})
    world.look()
    assert world.condition("SourceReady") == ("False", "ConfigMapMissing")
    world.cluster.objects["configmaps", "team", "ca"] = {"metadata": {"name": "ca"}, "data": {"else": ""}}
    world.clock.forward(30)
    world.look()
    assert "ConfigMap ca has no key ca.crt" in world.message("Ready")


def test_a_server_that_is_down_is_not_ready_and_agents_keep_its_endpoint(world: World) -> None:
    apply(world)
    world.look()
    world.builder.resolve_error = trouble("RemoteUnreachable", transient=True)
    world.clock.forward(INTERVAL)
    world.look()
    assert world.condition("Ready") == ("False", "RemoteUnreachable")
    assert world.condition("Reconciling") == ("True", "RemoteUnreachable")
    assert world.status["endpoint"]["url"] == URL
    assert world.status["toolCount"] == 2
    assert "RemoteUnreachable" in world.cluster.reasons
    world.builder.resolve_error = None
    world.clock.forward(10)
    world.look()
    assert world.condition("Ready") == ("True", "Succeeded")


def test_what_answers_and_is_no_mcp_server_is_told_as_not_verified(world: World) -> None:
    world.builder.resolve_error = trouble("RemoteRefused")
    apply(world)
    world.look()
    assert world.condition("SourceReady")[0] == "True"
    assert world.condition("Verified") == ("False", "RemoteRefused")
    assert world.condition("Stalled") == ("True", "RemoteRefused")


@pytest.mark.parametrize("how", ["address", "policy"])
def test_a_server_where_none_may_be_is_taken_away_from_agents(world: World, how: str) -> None:
    world.cluster.add(AGENT, "dev", {"servers": [{"name": "one"}]})
    apply(world)
    world.look()
    if how == "policy":
        world.cluster.add(POLICY, "none", {"sources": {"allow": ["git:*"]}})
    world.builder.resolve_error = trouble("AddressRefused")
    world.clock.forward(INTERVAL)
    world.woken.clear()
    world.look()
    assert world.condition("SourceReady") == ("False", "AddressRefused" if how == "address" else "SourceNotAllowed")
    assert "endpoint" not in world.status
    assert Key("MCPAgent", "team", "dev") in world.woken


@pytest.mark.parametrize(("glob", "inside"), [("remote:https://mcp.example.com/*", True), ("remote:https://*", False)])
def test_only_a_policy_that_names_the_host_lets_it_be_inside_of_the_cluster(
    world: World,
    glob: str,
    inside: bool,  # noqa: FBT001 - a column of the table
) -> None:
    world.cluster.add(POLICY, "sources", {"sources": {"allow": [glob]}})
    apply(world)
    world.look()
    (asked,) = world.builder.asked
    assert isinstance(asked, Target)
    assert asked.inside is inside
    assert world.status["endpoint"].get("inside", False) is inside


def test_a_policy_that_takes_the_inside_away_has_the_server_asked_for_anew(world: World) -> None:
    world.cluster.add(POLICY, "sources", {"sources": {"allow": ["remote:https://mcp.example.com/*"]}})
    apply(world)
    world.look()
    world.cluster.add(POLICY, "sources", {"sources": {"allow": ["remote:*"]}})
    world.look()
    assert [getattr(asked, "inside", None) for asked in world.builder.asked] == [True, False]
    assert "inside" not in world.status["endpoint"]


def test_what_a_policy_takes_away_does_not_wait_for_a_server_that_does_not_answer(world: World) -> None:
    world.cluster.add(POLICY, "sources", {"sources": {"allow": ["remote:https://mcp.example.com/*"]}})
    apply(world)
    world.look()
    assert world.status["endpoint"]["inside"] is True
    world.cluster.add(POLICY, "sources", {"sources": {"allow": ["remote:*"]}})
    world.builder.resolve_error = trouble("RemoteUnreachable", transient=True)
    world.look()
    assert "inside" not in world.status["endpoint"]


@pytest.mark.requirement("O-03")
def test_other_tools_of_a_remote_server_are_told_or_wait_for_approval(world: World) -> None:
    apply(world, tools={"changes": "Manual"})
    world.look()
    first = world.status["toolsHash"]
    world.builder.tools = ("read", "delete")
    world.clock.forward(INTERVAL)
    world.look()
    assert world.status["toolsHash"] == first
    assert world.condition("Ready") == ("True", "ChangesHeld")
    assert world.status["held"]["added"] == ["delete"]
    writes = len(world.cluster.writes)
    world.clock.forward(INTERVAL)
    world.look()
    assert len(world.cluster.writes) == writes
    world.annotate(approve=world.status["held"]["toolsHash"])
    world.look()
    assert [tool["name"] for tool in world.status["tools"]] == ["read", "delete"]
    assert world.condition("AwaitingApproval")[0] == "absent"


@pytest.mark.requirement("O-03")
def test_a_remote_server_that_goes_back_to_its_tools_waits_for_nothing(world: World) -> None:
    apply(world, tools={"changes": "Manual"})
    world.look()
    world.builder.tools = ("delete",)
    world.clock.forward(INTERVAL)
    world.look()
    assert "held" in world.status
    world.builder.tools = ("read", "write")
    world.clock.forward(INTERVAL)
    world.look()
    assert "held" not in world.status
    assert world.condition("Ready") == ("True", "Succeeded")


def test_from_a_repository_to_a_remote_server_and_back(world: World) -> None:
    uid = world.apply()
    world.build(uid)
    apply(world)
    world.look()
    assert not world.status.keys() & {"image", "build", "detected"}, "nothing was built of what is in service"
    assert world.status["endpoint"]["url"] == URL
    world.apply()
    world.build(uid)
    assert "endpoint" not in world.status
    assert world.status["image"]["reference"]


def test_another_url_is_put_into_service_even_with_the_same_tools(world: World) -> None:
    apply(world)
    world.look()
    apply(world, transport="sse")
    world.look()
    assert world.status["endpoint"] == {"url": URL, "transport": "sse"}

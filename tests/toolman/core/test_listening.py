from __future__ import annotations

import json

import pytest
from gateway_world import Client, offers, settings, view
from toolman.core.listening import Filter, Listener, honoured, read_filter

from toolman import jsonrpc

pytestmark = [pytest.mark.requirement("T-01"), pytest.mark.requirement("T-03")]

EVERYTHING = Filter(
    tools_list_changed=True,
    prompts_list_changed=True,
    resources_list_changed=True,
    resource_subscriptions=("x:1", "y:1"),
)


def test_a_filter_is_read_as_it_is_on_the_wire() -> None:
    text = b'{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["x:1"],"other":1},"_meta":{}}'
    assert read_filter(text) == Filter(tools_list_changed=True, resource_subscriptions=("x:1",))
    assert read_filter(b'{"notifications":{}}') == Filter()


@pytest.mark.parametrize(
    "text", [b"{}", b'{"notifications":1}', b'{"notifications":{"toolsListChanged":"yes"}}', b"[]"]
)
def test_what_cannot_be_read_is_refused(text: bytes) -> None:
    with pytest.raises(jsonrpc.Malformed) as refused:
        read_filter(text)
    assert refused.value.code == jsonrpc.INVALID_PARAMS


def test_what_there_is_is_honoured() -> None:
    everything = view(settings("s"), {"s": offers(prompts=["p"], resources=["x:1", "y:1"])})
    assert honoured(EVERYTHING, everything) == EVERYTHING
    tools = view(settings("s"), {"s": offers(hello={"capabilities": b'{"tools":{}}'})})
    assert honoured(EVERYTHING, tools) == Filter(tools_list_changed=True)
    nothing = view(settings("s", "t"), {"s": offers(), "t": offers()})
    assert honoured(EVERYTHING, nothing).resource_subscriptions == ()


def test_each_message_carries_the_subscription_as_the_client_wrote_its_id() -> None:
    client = Client()
    closed: list[Listener] = []
    identifier = b'"listen:0"'
    listener = Listener(client, identifier, Filter(tools_list_changed=True), client.send, closed.append)
    listener.acknowledge()
    listener.tell(b"notifications/x", {}, {})
    assert client.heard[0] == {
        "jsonrpc": "2.0",
        "method": "notifications/subscriptions/acknowledged",
        "params": {
            "notifications": {"toolsListChanged": True},
            "_meta": {"io.modelcontextprotocol/subscriptionId": "listen:0"},
        },
    }
    assert client.heard[1]["params"]["_meta"] == {"io.modelcontextprotocol/subscriptionId": "listen:0"}
    assert json.loads(listener.result) == {
        "resultType": "complete",
        "_meta": {"io.modelcontextprotocol/subscriptionId": "listen:0"},
    }
    listener.close()
    assert closed == [listener]

from typing import Any

import pytest
from wrapper_harness import Request, modern, serving, wrapping

REGION = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
BROKEN = {"type": "object", "properties": {"region": {"type": "number", "x-mcp-header": "Region"}}}
MISMATCH = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32020,"message":"headers differ"}}'


def tool(name: str, schema: object) -> dict[str, Any]:
    return {"name": name, "inputSchema": schema}


class Marked:
    """Serves pages of tools, and calls only to those who send the header."""

    def __init__(self, *pages: list[dict[str, Any]]) -> None:
        self.pages = pages

    def __call__(self, request: Request) -> None:
        params = request.message.get("params", {})
        if request.method == "tools/list":
            page = int(params.get("cursor") or 0)
            more = {"nextCursor": str(page + 1)} if page + 1 < len(self.pages) else {}
            request.result({"resultType": "complete", "tools": self.pages[page], **more})
        elif request.header("Mcp-Param-Region") != params["arguments"].get("region"):
            request.answer(400, MISMATCH)
        else:
            request.result({"region": request.header("Mcp-Param-Region")})


@pytest.mark.requirement("W-03")
def test_arguments_that_a_listed_tool_marks_are_sent_as_headers() -> None:
    with serving(Marked([tool("w", REGION)])) as server, wrapping("--url", server.url) as wrapper:
        assert len(wrapper.ask(modern(1, "tools/list"))["result"]["tools"]) == 1
        answer = wrapper.ask(modern(2, "tools/call", name="w", arguments={"region": "eu"}))
        assert answer["result"] == {"region": "eu"}
        assert server.asked() == ["tools/list", "tools/call"]


@pytest.mark.requirement("W-03")
def test_a_call_whose_headers_were_not_right_is_made_again_after_the_tools_were_listed_anew() -> None:
    pages = [tool("other", {})], [tool("w", REGION)]
    with serving(Marked(*pages)) as server, wrapping("--url", server.url) as wrapper:
        wrapper.say(*(modern(n, "tools/call", name="w", arguments={"region": "eu"}) for n in range(20)))
        assert sorted(wrapper.hear()["result"]["region"] for _ in range(20)) == ["eu"] * 20
        assert wrapper.ask(modern(20, "tools/call", name="w", arguments={}))["result"] == {"region": None}
        listed = server.wait_for("tools/list", 2)
        assert listed.message["params"]["cursor"] == "1"
        assert listed.message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"
        assert listed.header("Mcp-Method") == "tools/list"


@pytest.mark.requirement("W-03")
@pytest.mark.parametrize("pages", [[[tool("w", {})]], [[tool("w", BROKEN)]], []])
def test_a_call_that_would_be_made_with_the_same_headers_gets_the_error_instead(pages: list[Any]) -> None:
    def reply(request: Request) -> None:
        if request.method == "tools/list" and not pages:
            request.answer(500)
        elif request.method == "tools/list":
            request.result({"tools": pages[0], "nextCursor": "again"})
        else:
            request.answer(400, MISMATCH)

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        answer = wrapper.ask(modern("x", "tools/call", name="w", arguments={"region": "eu"}))
        assert (answer["id"], answer["error"]["code"]) == ("x", -32020)
        assert server.asked().count("tools/call") == 1
        assert server.asked().count("tools/list") <= 2


def test_a_cancelled_call_is_not_made_again() -> None:
    def reply(request: Request) -> None:
        if request.method == "tools/list":
            held.append(request)
        elif request.message["id"] == 1:
            request.answer(400, MISMATCH)
        else:
            request.result({})

    held: list[Request] = []
    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.say(modern(1, "tools/call", name="w", arguments={"region": "eu"}))
        server.wait_for("tools/list")
        wrapper.say({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})
        wrapper.ask(modern(2, "prompts/get", name="p"))
        held[0].result({"tools": [tool("w", REGION)]})
        wrapper.ask(modern(3, "prompts/get", name="p"))
        assert server.asked().count("tools/call") == 1
        assert wrapper.end() == []


@pytest.mark.requirement("W-03")
@pytest.mark.parametrize("filler", ["", "x" * 400_000])
def test_tools_that_clients_must_not_show_are_left_out_and_the_others_stay_as_they_are(filler: str) -> None:
    good = b'{"name":"good","n":1.10,  "big":9007199254740993}'
    bad = b'{"name":"bad","inputSchema":{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}}'
    tools = b'{"name":"first","description":"%b"},%b , %b' % (filler.encode(), bad, good)

    def reply(request: Request) -> None:
        request.answer(200, b'{"jsonrpc":"2.0","id":1,"result":{"tools":[%b],"ttlMs":0}}' % tools)

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.say(modern(1, "tools/list"))
        first = b'{"name":"first","description":"%b"}' % filler.encode()
        expected = b'{"jsonrpc":"2.0","id":1,"result":{"tools":[%b,%b],"ttlMs":0}}\n' % (first, good)
        assert wrapper.line() == expected
        wrapper.end()
        assert "bad is left out" in wrapper.log

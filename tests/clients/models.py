"""The APIs of three model vendors on the loopback, as far as a client needs them to call one tool and end.

A model that is asked for the first time calls the tool whose name ends as given; asked again, with the result, it says
something and is done. Results are kept for tests to look at.
"""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    Message = dict[str, Any]

DONE = "that is all"


class Models:
    """A model that wants one tool.

    Attributes:
        tool: How its name ends; clients put a prefix before it.
        arguments: What it is called with.
        results: What clients gave back, as text, in order.
    """

    def __init__(self, tool: str, arguments: Message) -> None:
        self.tool = tool
        self.arguments = arguments
        self.results: list[str] = []

    def anthropic(self, request: Message) -> list[Message]:
        """Give the events of a Messages API's stream. Claude Code offers tools only after they are searched for."""
        blocks = [b for m in request["messages"] if isinstance(m["content"], list) for b in m["content"]]
        called = [block["name"] for block in blocks if block["type"] == "tool_use"]
        offered = [tool["name"] for tool in request.get("tools", ())]
        wanted = f"mcp__toolman__{self.tool}"
        if wanted in called:
            self.results.append(_last_result(blocks))
        if wanted in called or not offered:
            return _anthropic_events(request, {"type": "text", "text": DONE})
        if wanted in offered or "ToolSearch" in called:
            use = {"name": wanted, "input": self.arguments}
        else:
            use = {"name": "ToolSearch", "input": {"query": f"select:{wanted}", "max_results": 5}}
        return _anthropic_events(request, {"type": "tool_use", "id": f"toolu_{len(called)}", **use})

    def openai(self, request: Message) -> list[Message]:
        """Give the events of a Responses API's stream."""
        outputs = [item for item in request["input"] if item.get("type") == "function_call_output"]
        self.results += [json.dumps(item["output"]) for item in outputs]
        item: Message = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "status": "completed"}
        item |= {"namespace": "mcp__toolman", "name": self.tool, "arguments": json.dumps(self.arguments)}
        if outputs:
            content = [{"type": "output_text", "text": DONE, "annotations": []}]
            item = {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed", "content": content}
        usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        response = {"id": "resp_1", "status": "completed", "output": [item], "usage": usage}
        return [
            {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress", "output": []}},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": response},
        ]

    def gemini(self, request: Message) -> Message:
        """Give one response of generateContent."""
        declared = _declared(request)
        parts = [part for content in request["contents"] for part in content["parts"]]
        answers = [part["functionResponse"] for part in parts if "functionResponse" in part]
        self.results += [json.dumps(answer["response"]) for answer in answers]
        wanted = [name for name in declared if name.endswith(self.tool)]
        if wanted and not answers:
            part: Message = {"functionCall": {"name": wanted[0], "args": self.arguments}}
        else:  # without tools it is asked which of its models should answer
            choice = {"reasoning": "none", "model_choice": "flash", "next_speaker": "user"}
            part = {"text": DONE if declared else json.dumps(choice)}
        candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
        return {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 1, "totalTokenCount": 2}}


def _last_result(blocks: list[Message]) -> str:
    return json.dumps([block["content"] for block in blocks if block["type"] == "tool_result"][-1])


def _declared(request: Message) -> list[str]:
    return [function["name"] for tool in request.get("tools", ()) for function in tool.get("functionDeclarations", ())]


def _anthropic_events(request: Message, block: Message) -> list[Message]:
    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": request["model"], "content": []}
    if block["type"] == "text":
        start, delta, why = {"type": "text", "text": ""}, {"type": "text_delta", "text": block["text"]}, "end_turn"
    else:
        start, why = block | {"input": {}}, "tool_use"
        delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
    return [
        {"type": "message_start", "message": message | {"stop_reason": None, "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": start},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": why, "stop_sequence": None}, "usage": usage},
        {"type": "message_stop"},
    ]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    models: Models

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer(b"{}", "application/json")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or b"{}")
        if "/messages" in self.path and "count_tokens" not in self.path:
            self._stream(self.models.anthropic(request))
        elif self.path.endswith("/responses"):
            self._stream(self.models.openai(request))
        elif "streamGenerateContent" in self.path:
            self._answer(
                b"data: " + json.dumps(self.models.gemini(request)).encode() + b"\r\n\r\n", "text/event-stream"
            )
        elif "generateContent" in self.path:
            self._answer(json.dumps(self.models.gemini(request)).encode(), "application/json")
        else:
            self._answer(b'{"input_tokens":1,"totalTokens":1}', "application/json")

    def _stream(self, events: list[Message]) -> None:
        text = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
        self._answer(text.encode(), "text/event-stream")

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextlib.contextmanager
def serving(models: Models) -> Iterator[str]:
    """Serve all three APIs for as long as the block runs; give the URL below which they are."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"models": models}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)

"""A raw MCP server over stdio: says exactly the bytes that a test wrote down, and keeps what it is told. No models.

usage: mirror.py FOLDER ERA. In FOLDER a test puts, as JSON text:

    list            the result of tools/list
    NAME.result     of a call of the tool NAME, or of an extension's method (its slashes as dots)
    NAME.error      the same, as an error
    NAME.progress   lines, each further members of the params of a progress notification before the result

and finds every line that arrived in FOLDER/received. Calls of ``together`` are answered when two of them are there,
their progress interleaved; the result is what each was called with.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

FOLDER, ERA = Path(sys.argv[1]), sys.argv[2]
VERSION = {"legacy": "2025-11-25", "modern": "2026-07-28"}[ERA]
CAPABILITIES: dict[str, Any] = {"tools": {}, "extensions": {"com.example/notes": {}}}
INFO = {"name": "mirror", "version": "1"}
SUPPORTED = {"supported": [VERSION], "requested": ""}
STEPS = 5

waiting: list[dict[str, Any]] = []


def say(line: str) -> None:
    os.write(1, line.encode("utf-8", "surrogatepass") + b"\n")


def answer(identifier: object, member: str, raw: str) -> None:
    say(f'{{"jsonrpc":"2.0","id":{json.dumps(identifier)},"{member}":{raw}}}')


def handshake(request: dict[str, Any]) -> tuple[str, object]:
    """Answer what a client begins with, each era knowing nothing of the other."""
    if ERA == "modern" and request["method"] == "server/discover":
        common = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
        meta = {"io.modelcontextprotocol/serverInfo": INFO}
        return "result", {**common, "supportedVersions": [VERSION], "capabilities": CAPABILITIES, "_meta": meta}
    if ERA == "legacy" and request["method"] == "initialize":
        return "result", {"protocolVersion": VERSION, "capabilities": CAPABILITIES, "serverInfo": INFO}
    if request["method"] == "ping":
        return "result", {}
    if ERA == "modern" and request["method"] == "initialize":
        return "error", {"code": -32022, "message": "Unsupported protocol version", "data": SUPPORTED}
    return "error", {"code": -32601, "message": "Method not found"}


def progress(request: dict[str, Any], more: str) -> None:
    token = json.dumps(request["params"]["_meta"]["progressToken"])
    say(f'{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},{more}}}}}')


def together(request: dict[str, Any]) -> None:
    waiting.append(request)
    if len(waiting) < 2:
        return
    for step in range(STEPS):
        for one in waiting:
            who = json.dumps(one["params"]["arguments"]["who"])
            progress(one, f'"progress":{step},"message":{who}')
    for one in waiting:
        found = {"content": [{"type": "text", "text": one["params"]["arguments"]["who"]}]}
        answer(one["id"], "result", json.dumps({**found, "resultType": "complete"} if ERA == "modern" else found))
    waiting.clear()


def scripted(request: dict[str, Any]) -> None:
    method, params = request["method"], request.get("params") or {}
    name = params.get("name", "") if method == "tools/call" else method.replace("/", ".")
    if method == "tools/list":
        answer(request["id"], "result", (FOLDER / "list").read_text("utf-8"))
        return
    if name == "together":
        together(request)
        return
    progressing = FOLDER / f"{name}.progress"
    if progressing.exists():
        for line in progressing.read_text("utf-8").split("\n"):
            progress(request, line)
    for member in ("result", "error"):
        if (FOLDER / f"{name}.{member}").exists():
            answer(request["id"], member, (FOLDER / f"{name}.{member}").read_text("utf-8"))
            return
    member, value = handshake(request)
    answer(request["id"], member, json.dumps(value))


def main() -> None:
    with (FOLDER / "received").open("ab", buffering=0) as received:
        for line in iter(sys.stdin.buffer.readline, b""):
            received.write(line)
            request = json.loads(line)
            if "id" in request and "method" in request:
                scripted(request)


main()

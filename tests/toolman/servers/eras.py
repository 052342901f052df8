"""An MCP server over stdio that speaks the eras that its arguments name, with odd habits if they are named, too.

    eras.py [legacy] [modern] [lock] [shy] [mute] [no-listen] [no-tools] [untold] [slow]

``lock``: the first request decides on the era. ``shy``: ends at a request that is not ``initialize``. ``mute``: is
silent to what it does not know. ``no-listen``: has no subscriptions. ``no-tools`` and the like: that list fails.
``untold``: does not tell when its tools change. ``slow``: takes a moment to start. Standard library only.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

ERAS = {era for era in ("legacy", "modern") if era in sys.argv}
HABITS = set(sys.argv[1:]) - ERAS
SLOW = 0.5
META = "io.modelcontextprotocol/"
CAPABILITIES: dict[str, Any] = {
    "tools": {"listChanged": True},
    "prompts": {"listChanged": True},
    "resources": {"listChanged": True, "subscribe": True},
    "logging": {},
}
if "untold" in HABITS:
    CAPABILITIES["tools"] = {}
TOOL: dict[str, Any] = {"inputSchema": {"type": "object"}}

seen: list[dict[str, Any]] = []
listens: list[Any] = []
state: dict[str, Any] = {"uris": []}


def send(**message: object) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0"} | message) + "\n")
    sys.stdout.flush()


def answer(message: dict[str, Any], result: dict[str, Any]) -> None:
    if is_modern(message):
        result = {"resultType": "complete", "ttlMs": 10, "cacheScope": "private"} | result
    send(id=message["id"], result=result)


def refuse(message: dict[str, Any], code: int, text: str, **data: object) -> None:
    send(id=message["id"], error={"code": code, "message": text} | ({"data": data} if data else {}))


def is_modern(message: dict[str, Any]) -> bool:
    return META + "protocolVersion" in message.get("params", {}).get("_meta", {})


def tell(method: str, **params: object) -> None:
    """Send a notification: in the modern era once for each subscription."""
    for number in listens or [None]:
        meta = {} if number is None else {"_meta": {META + "subscriptionId": number}}
        send(method=method, params=params | meta)


def call(message: dict[str, Any]) -> None:
    params = message["params"]
    arguments = params.get("arguments", {})
    match params["name"]:
        case "seen":
            answer(message, {"content": [{"type": "text", "text": json.dumps(seen)}]})
        case "tell":
            tell(arguments["method"], **arguments.get("params", {}))
            answer(message, {"content": []})
        case "log":
            send(method="notifications/message", params={"level": "info", "data": arguments["data"]})
            answer(message, {"content": []})
        case "end-listening":
            number = listens.pop()
            send(id=number, result={"resultType": "complete", "_meta": {META + "subscriptionId": number}})
            answer(message, {"content": []})
        case "die":
            os.abort()


def listing(message: dict[str, Any], member: str, items: list[dict[str, Any]]) -> None:
    if f"no-{member}" in HABITS:
        refuse(message, -32603, f"no {member} today")
    else:
        answer(message, {member: items})


def serve(message: dict[str, Any]) -> None:
    match message["method"]:
        case "tools/list":
            listing(message, "tools", [TOOL | {"name": name} for name in ("seen", "tell", "log", "die")])
        case "prompts/list":
            listing(message, "prompts", [{"name": "greet"}])
        case "resources/list":
            listing(message, "resources", [{"uri": "file:///a", "name": "a"}])
        case "resources/templates/list":
            listing(message, "resourceTemplates", [{"uriTemplate": "file:///{x}", "name": "x"}])
        case "tools/call":
            call(message)
        case "resources/subscribe" | "resources/unsubscribe" | "logging/setLevel" if not is_modern(message):
            answer(message, {})
        case "subscriptions/listen" if is_modern(message) and "no-listen" not in HABITS:
            listens.append(message["id"])
            params = {"notifications": {}, "_meta": {META + "subscriptionId": message["id"]}}
            send(method="notifications/subscriptions/acknowledged", params=params)
        case _:
            if "mute" not in HABITS:
                refuse(message, -32601, "Method not found")


def receive(message: dict[str, Any]) -> None:
    seen.append(message)
    if message.get("method") == "notifications/cancelled":
        listens[:] = [number for number in listens if number != message["params"]["requestId"]]
    if "method" not in message or "id" not in message:
        return
    if "shy" in HABITS and len(seen) == 1 and message["method"] != "initialize":
        sys.stderr.write("expected initialize\n")
        sys.exit(1)
    era = "modern" if is_modern(message) else "legacy"
    if "lock" in HABITS and state.setdefault("era", era) != era:
        refuse(message, -32022 if state["era"] == "modern" else -32600, "wrong era", supported=["2026-07-28"])
    elif era not in ERAS:
        if era == "legacy":
            refuse(message, -32022, "Unsupported", supported=["2026-07-28"], requested="2025-11-25")
        elif "mute" not in HABITS:
            refuse(message, -32601, "Method not found")
    elif message["method"] == "initialize":
        info = {"name": "eras", "version": "1"}
        result = {"protocolVersion": "2025-11-25", "capabilities": CAPABILITIES, "serverInfo": info}
        answer(message, result | {"instructions": "be kind"})
    elif message["method"] == "server/discover":
        meta = {META + "serverInfo": {"name": "eras", "version": "1"}}
        answer(message, {"supportedVersions": ["2026-07-28"], "capabilities": CAPABILITIES, "_meta": meta})
    else:
        serve(message)


if __name__ == "__main__":
    if "slow" in HABITS:
        time.sleep(SLOW)
    for line in sys.stdin.buffer:
        receive(json.loads(line))

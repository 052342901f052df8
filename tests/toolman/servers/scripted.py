"""An MCP server over stdio whose tools do what tests need, good and bad. Standard library only."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

RICH = (
    r'{"content":[],"structuredContent":{"big":9007199254740993,"z":1,"a":null,"tiny":1.0e-7,"text":"'
    "\u2028\u00e9"
    r'","half":"\ud83d"},"x-unknown":{"b":1,"a":2},"_meta":{"k":"v"}}'
)
"""A result that does not survive being parsed and written again by most."""

TOOL = {
    "name": "",
    "x-unknown": [1, 9007199254740993],
    "inputSchema": {"type": "object", "default": None, "$defs": {"a": {"$anchor": "x"}}},
    "annotations": {"readOnlyHint": True, "x-hint": None},
}

PYTHONS_OWN = 1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1)
"""Signals that Python itself ignores."""

tools = ["echo", "rich", "fail", "progress", "wait", "die", "change", "ask", "daemon", "state", "flood", "huge", "mute"]
cancelled: list[dict[str, Any]] = []
answers: list[dict[str, Any]] = []
waiting: list[Any] = []


def say(message: str) -> None:
    sys.stdout.buffer.write(message.encode() + b"\n")
    sys.stdout.buffer.flush()


def send(**message: object) -> None:
    say(json.dumps({"jsonrpc": "2.0"} | message))


def reply(identifier: object, result: str) -> None:
    say('{"jsonrpc":"2.0","id":' + json.dumps(identifier) + ',"result":' + result + "}")


def text(value: object) -> str:
    return json.dumps({"content": [{"type": "text", "text": value if isinstance(value, str) else json.dumps(value)}]})


def call(line: str, message: dict[str, Any]) -> None:
    identifier, params = message["id"], message["params"]
    arguments = params.get("arguments") or {}
    match params["name"]:
        case "rich":
            reply(identifier, RICH)
        case "fail":
            send(id=identifier, error={"code": -32042, "message": "as it is", "data": {"n": 9007199254740993}})
        case "progress":
            token = params["_meta"]["progressToken"]
            for step in range(arguments.get("steps", 5)):
                progress = {"progressToken": token, "progress": step, "x-unknown": step}
                send(method="notifications/progress", params=progress)
            reply(identifier, text({"token": token}))
        case "wait":
            waiting.append(identifier)
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "change":
            tools[:] = arguments["tools"]
            for _ in range(arguments.get("times", 1)):
                send(method="notifications/tools/list_changed")
            reply(identifier, text("changed"))
        case "ask":
            send(id="q", method=arguments["method"], params={})
            answers.append({"for": identifier})
        case "daemon":
            child = subprocess.Popen(["sleep", "1000"], start_new_session=arguments.get("session", False))
            reply(identifier, text({"pid": child.pid}))
        case "state":
            reply(identifier, text(state()))
        case "flood":
            while True:
                sys.stdout.buffer.write(b"x" * 1_000_000)
        case "huge":
            reply(identifier, text("x" * arguments["size"]))
        case "mute":
            while True:
                time.sleep(1000)
        case _:
            reply(identifier, text(line.rstrip("\n")))


def state() -> dict[str, Any]:
    status = dict(entry.split(":\t", 1) for entry in open("/proc/self/status").read().splitlines() if ":\t" in entry)  # noqa: PTH123, SIM115
    return {
        "pid": os.getpid(),
        "group": os.getpgid(0),
        "session": os.getsid(0),
        "ignored": int(status["SigIgn"], 16) & ~PYTHONS_OWN,
        "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd")),  # noqa: PTH208
        "cancelled": cancelled,
        "environment": dict(os.environ),
        "directory": os.getcwd(),  # noqa: PTH109
        "arguments": sys.argv[1:],
    }


def receive(line: str, message: dict[str, Any]) -> None:
    match message.get("method"):
        case "initialize":
            result = {
                "protocolVersion": os.environ.get("SERVER_VERSION", "2025-11-25"),
                "capabilities": {"tools": {"listChanged": True}},
                "serverInfo": {"name": "scripted", "version": "1"},
            }
            reply(message["id"], json.dumps(result))
        case "tools/list":
            page(message)
        case "tools/call":
            call(line, message)
        case "notifications/cancelled":
            cancelled.append(message["params"])
        case None:
            reply(answers.pop()["for"], text(message))


def page(message: dict[str, Any]) -> None:
    """Lists two tools a page; the cursor of the second page is the empty string, which is a cursor, too."""
    cursor = message.get("params", {}).get("cursor")
    start = 0 if cursor is None else int(cursor or 2)
    following = start + 2
    result: dict[str, Any] = {"tools": [TOOL | {"name": name} for name in tools[start:following]]}
    if following < len(tools):
        result["nextCursor"] = "" if following == 2 else str(following)
    reply(message["id"], json.dumps(result))


if __name__ == "__main__":
    if "SERVER_TOOLS" in os.environ:
        tools = os.environ["SERVER_TOOLS"].split(",")
    sys.stderr.write("scripted server is here\n")
    sys.stderr.flush()
    for entry in sys.stdin.buffer:
        decoded = entry.decode()
        receive(decoded, json.loads(decoded))

"""An MCP server over stdio whose tools do what tests need, good and bad. Standard library only."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

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

tools: list[str] = []
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


def progress(identifier: object, params: dict[str, Any], steps: int = 5) -> None:
    token = params["_meta"]["progressToken"]
    for step in range(steps):
        send(method="notifications/progress", params={"progressToken": token, "progress": step, "x-unknown": step})
    reply(identifier, text({"token": token}))


def change(identifier: object, names: list[str], times: int = 1) -> None:
    tools[:] = names
    for _ in range(times):
        send(method="notifications/tools/list_changed")
    reply(identifier, text("changed"))


def ask(identifier: object, method: str) -> None:
    send(id="q", method=method, params={})
    answers.append({"for": identifier})


def wait(identifier: object, seconds: float | None = None) -> None:
    waiting.append(identifier)
    if seconds is not None:
        threading.Timer(seconds, reply, (identifier, text("at last"))).start()


def daemon(identifier: object, *, session: bool = False) -> None:
    reply(identifier, text({"pid": subprocess.Popen(["sleep", "1000"], start_new_session=session).pid}))


def orphan(identifier: object) -> None:
    subprocess.run(["/bin/sh", "-c", "sleep 1000 >/dev/null 2>&1 &"], check=True)
    reply(identifier, text("made"))


def flood() -> None:
    while True:
        sys.stdout.buffer.write(b"x" * 1_000_000)


def mute(path: str = "") -> None:
    """Be silent for ever; a file says that this has begun."""
    if path:
        open(path, "w").close()  # noqa: PTH123
    while True:
        time.sleep(1000)


ERROR = {"code": -32042, "message": "as it is", "data": {"n": 9007199254740993}}
CALLS: dict[str, Callable[..., None]] = {
    "rich": lambda i, _: reply(i, RICH),
    "fail": lambda i, _: send(id=i, error=ERROR),
    "progress": lambda i, p: progress(i, p, **p.get("arguments", {})),
    "wait": lambda i, p: wait(i, **p.get("arguments", {})),
    "die": lambda *_: os.kill(os.getpid(), signal.SIGKILL),
    "change": lambda i, p: change(i, p["arguments"]["tools"], p["arguments"].get("times", 1)),
    "ask": lambda i, p: ask(i, p["arguments"]["method"]),
    "daemon": lambda i, p: daemon(i, **p["arguments"]),
    "orphan": lambda i, _: orphan(i),
    "state": lambda i, _: reply(i, text(state())),
    "flood": lambda *_: flood(),
    "huge": lambda i, p: reply(i, text("x" * p["arguments"]["size"])),
    "mute": lambda _, p: mute(**p.get("arguments", {})),
}


def state() -> dict[str, Any]:
    status = dict(entry.split(":\t", 1) for entry in open("/proc/self/status").read().splitlines() if ":\t" in entry)  # noqa: PTH123, SIM115
    return {
        "pid": os.getpid(),
        "group": os.getpgid(0),
        "session": os.getsid(0),
        "ignored": int(status["SigIgn"], 16) & ~PYTHONS_OWN,
        "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd")),  # noqa: PTH208
        "cancelled": cancelled,
        "waiting": len(waiting),
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
            params, identifier = message["params"], message["id"]
            if params["name"] in CALLS:
                CALLS[params["name"]](identifier, params)
            else:
                reply(identifier, text(line.rstrip("\n")))
        case "notifications/cancelled":
            cancelled.append(message["params"])
        case None:
            reply(answers.pop()["for"], text(message))
        case _ if "id" in message:
            send(id=message["id"], error={"code": -32601, "message": "Method not found"})


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
    tools += os.environ["SERVER_TOOLS"].split(",") if "SERVER_TOOLS" in os.environ else ["echo", *CALLS]
    sys.stderr.write("scripted server is here\n")
    sys.stderr.flush()
    for entry in sys.stdin.buffer:
        decoded = entry.decode()
        receive(decoded, json.loads(decoded))

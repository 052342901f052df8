"""Runs inside the agent's container, sent there as text: looks for ways around toolman and prints JSON.

Argument: ``{"allowed": NAME, "hidden": NAME, "secret": TEXT}``. Standard library only.
"""

from __future__ import annotations

import http.client
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

HOST, PORT, PATH = "127.0.0.1", 3000, "/mcp"
SECONDS = 10
LISTEN_STATE = "0A"
VERSION = "2025-06-18"
LARGEST = 2**20
SEARCHED = ("/etc", "/run", "/var", "/tmp", "/mcp", "/home", "/dev")  # noqa: S108 - looked into, not written
NO_FILES = ("/proc", "/sys")

HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": VERSION,
        "capabilities": {},
        "clientInfo": {"name": "probe", "version": "1"},
    },
}


def post(body: str, session: str | None) -> tuple[int, str, str | None]:
    """Send one message; gives the status, the answer's JSON text and the session."""
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    if session:
        headers |= {"Mcp-Session-Id": session, "MCP-Protocol-Version": VERSION}
    connection = http.client.HTTPConnection(HOST, PORT, timeout=SECONDS)
    try:
        connection.request("POST", PATH, body, headers)
        response = connection.getresponse()
        text = response.read().decode()
        if "event-stream" in (response.getheader("Content-Type") or ""):
            text = "".join(line[5:].strip() for line in text.splitlines() if line.startswith("data:"))
        return response.status, text, response.getheader("Mcp-Session-Id") or session
    finally:
        connection.close()


def calls(allowed: str, hidden: str) -> dict[str, str]:
    """Try the hidden tool's name in raw messages; gives the answer to each."""
    session = post(json.dumps(HELLO), None)[2]
    post('{"jsonrpc":"2.0","method":"notifications/initialized"}', session)
    plain, good = json.dumps(hidden), json.dumps(allowed)
    escaped = '"' + "".join(f"\\u{ord(letter):04x}" for letter in hidden) + '"'
    params = {
        "as it is": f'"name":{plain}',
        "with its letters escaped": f'"name":{escaped}',
        "after an allowed name": f'"name":{good},"name":{plain}',
        "before an allowed name": f'"name":{plain},"name":{good}',
        "beside one in another case": f'"name":{good},"Name":{plain}',
        "without its prefix": f'"name":{json.dumps(hidden.rpartition("__")[2])}',
    }
    answers = {}
    for way, words in params.items():
        body = f'{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{{words},"arguments":{{}}}}}}'
        status, text, _ = post(body, session)
        answers[way] = f"{status} {text}"
    return answers


def listening() -> list[int]:
    """Give the TCP ports on which anybody in this Pod listens."""
    ports = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        ports |= {int(line.split()[1].rpartition(":")[2], 16) for line in lines if line.split()[3] == LISTEN_STATE}
    return sorted(ports)


def unix_sockets() -> list[str]:
    """Give the names of unix sockets that this container could connect to."""
    lines = Path("/proc/net/unix").read_text().splitlines()[1:]
    return sorted({fields[7] for fields in map(str.split, lines) if len(fields) > 7})


def pipes() -> list[str]:
    """Give every named pipe that can be found."""
    found = []
    for folder, folders, names in os.walk("/"):
        folders[:] = [name for name in folders if os.path.join(folder, name) not in NO_FILES]  # noqa: PTH118 - a walk
        for name in names:
            path = Path(folder, name)
            try:
                if stat.S_ISFIFO(path.lstat().st_mode):
                    found.append(str(path))
            except OSError:
                continue
    return found


def processes() -> list[str]:
    """Give the command lines of all processes that can be seen."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()[:80])
        except OSError:
            continue
    return found


def secrets(needle: str) -> list[str]:
    """Give every environment and file in which the secret can be read."""
    found = []
    candidates = list(Path("/proc").glob("[0-9]*/environ"))
    for top in SEARCHED:
        candidates += [Path(folder, name) for folder, _, names in os.walk(top) for name in names]
    for path in candidates:
        try:
            mode = path.stat().st_mode
            if stat.S_ISREG(mode) and needle.encode() in path.open("rb").read(LARGEST):
                found.append(str(path))
        except OSError:
            continue
    return found


def main() -> None:
    """Probe and print."""
    given: dict[str, Any] = json.loads(sys.argv[1])
    found = {
        "calls": calls(given["allowed"], given["hidden"]),
        "listening": listening(),
        "unix_sockets": unix_sockets(),
        "pipes": pipes(),
        "processes": processes(),
        "secrets": secrets(given["secret"]),
        "token": Path("/var/run/secrets/kubernetes.io").exists(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()

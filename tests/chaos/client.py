"""Runs in an agent's container, sent there as text: calls without pause, and a line for what became of each call.

Every lane calls one tool, one call after the other, with a number that no other call has. Some lanes speak HTTP in a
session of their own, some share one, some speak through one ``mcp-wrapper``. Standard library only.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import queue
import subprocess
import sys
import threading
import time
import urllib.parse
from typing import Any, NamedTuple

URL = urllib.parse.urlsplit(os.environ.get("MCP_TOOLMAN_SERVER_URL", "http://127.0.0.1:3000/mcp"))
WRAPPER = "/mcp/bin/mcp-wrapper"
VERSION = "2025-06-18"
HUNG = 20.0
"""Seconds without an answer after which a call counts as hung."""
PAUSE = 0.04
"""Seconds between two calls of a lane, so that they do not take the machine from what they measure."""
RETRY = 0.1
"""Seconds until a connection that was refused is tried again."""
BUSY = 0.25
"""Seconds that a call takes in the server, on average, on lanes that are to have one on its way at any time."""
HELLO = {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": {"name": "chaos", "version": "1"}}

_printing = threading.Lock()


class LostError(Exception):
    """There is no answer; the text says why."""


class RefusedError(Exception):
    """Nobody listens: the call did not run, and the client tries again."""


class ForgottenError(Exception):
    """The session is gone: the call did not run, and the client opens another one."""


class Lane(NamedTuple):
    """One after the other."""

    name: str
    server: str
    seconds: float = 0.0


class Session:
    """A session over HTTP, which several lanes may share. Each call has a connection of its own thread."""

    def __init__(self) -> None:
        self._identifier = ""
        self._opening = threading.Lock()
        self._own = threading.local()
        self.renewed = 0

    def call(self, number: int, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Make one call; opens a session where there is none."""
        session = self._open()
        params = {"name": name, "arguments": arguments}
        status, _, body = self._post(
            {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}, session
        )
        if status == 404:
            with self._opening:
                if self._identifier == session:
                    self._identifier = ""
                    self.renewed += 1
            raise ForgottenError
        return _message(status, body)

    def _open(self) -> str:
        with self._opening:
            if not self._identifier:
                hello = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HELLO}
                status, identifier, body = self._post(hello, "")
                _message(status, body)
                self._post({"jsonrpc": "2.0", "method": "notifications/initialized"}, identifier)
                self._identifier = identifier
            return self._identifier

    def _post(self, message: dict[str, Any], session: str) -> tuple[int, str, str]:
        connection = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = http.client.HTTPConnection(URL.hostname or "", URL.port, timeout=HUNG)
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        if session:
            headers |= {"Mcp-Session-Id": session, "MCP-Protocol-Version": VERSION}
        try:
            connection.request("POST", URL.path, json.dumps(message), headers)
            response = connection.getresponse()
            return response.status, response.getheader("Mcp-Session-Id") or "", response.read().decode()
        except (OSError, http.client.HTTPException) as problem:
            connection.close()
            self._own.connection = None
            if isinstance(problem, TimeoutError):
                raise
            if isinstance(problem, ConnectionRefusedError):
                raise RefusedError from None
            raise LostError(f"toolman: {type(problem).__name__}") from None


def _message(status: int, body: str) -> dict[str, Any]:
    if body.startswith(("event:", "data:", ":", "id:")):
        body = next((line[5:] for line in reversed(body.splitlines()) if line.startswith("data:")), "")
    try:
        found: dict[str, Any] = json.loads(body)
    except ValueError:
        raise LostError(f"HTTP {status}: {body[:200]}") from None
    return found


class Wrapper:
    """The same through ``mcp-wrapper``, which is started once and has no second chance."""

    renewed = 0

    def __init__(self) -> None:
        self._process = subprocess.Popen([WRAPPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._waiting: dict[int, queue.Queue[dict[str, Any]]] = {}
        self._writing = threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()
        self._ask({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HELLO})
        self._write({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def call(self, number: int, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Make one call."""
        params = {"name": name, "arguments": arguments}
        return self._ask({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params})

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        answer: queue.Queue[dict[str, Any]] = queue.Queue()
        self._waiting[message["id"]] = answer
        self._write(message)
        try:
            return answer.get(timeout=HUNG)
        except queue.Empty:
            raise TimeoutError from None
        finally:
            del self._waiting[message["id"]]

    def _write(self, message: dict[str, Any]) -> None:
        if self._process.stdin is None or self._process.poll() is not None:
            raise LostError("mcp-wrapper has ended")
        with self._writing:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            message = json.loads(line)
            waiting = self._waiting.get(message.get("id"))
            if waiting is not None:
                waiting.put(message)


def say(**record: object) -> None:
    """Write one line."""
    with _printing:
        print(json.dumps(record), flush=True)


def run(lane: Lane, way: Session | Wrapper, numbers: itertools.count[int]) -> None:
    """Call for ever."""
    while True:
        number = next(numbers)
        sent = time.time()
        outcome, why = _once(lane, way, number)
        say(lane=lane.name, server=lane.server, number=number, sent=sent, ended=time.time(), outcome=outcome, why=why)
        time.sleep(PAUSE)


def _once(lane: Lane, way: Session | Wrapper, number: int) -> tuple[str, str]:
    """Make one call and say what became of it."""
    arguments = {"number": number, "seconds": lane.seconds}
    try:
        answer = _insist(way, number, f"{lane.server}__echo", arguments)
    except TimeoutError:
        return "hung", f"nothing within {HUNG:g} s"
    except LostError as problem:
        return "error", str(problem)
    if "error" in answer:
        return "error", f"{answer['error']['code']}: {answer['error']['message']}"
    try:
        content = json.loads(answer["result"]["content"][0]["text"])
    except (KeyError, IndexError, ValueError):
        return "wrong", json.dumps(answer)[:300]
    if answer["id"] != number or content["number"] != number:
        return "wrong", json.dumps(answer)[:300]
    return "answered", content["instance"]


def _insist(way: Session | Wrapper, number: int, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Make a call; what surely did not run is made again."""
    until = time.monotonic() + HUNG
    while True:
        try:
            return way.call(number, name, arguments)
        except ForgottenError:
            continue
        except RefusedError:
            if time.monotonic() > until:
                raise LostError("toolman: refused") from None
            time.sleep(RETRY)


def main(servers: list[str]) -> None:
    """Call the tools of some servers until ended."""
    numbers = itertools.count(1)
    wrapper, together = Wrapper(), Session()
    for server in servers:
        ways: list[tuple[Lane, Session | Wrapper]] = [
            (Lane(f"{server}, one by one", server), Session()),
            (Lane(f"{server}, wrapper", server), wrapper),
            *((Lane(f"{server}, at once {n}", server, BUSY * n / 2), together) for n in (1, 2, 3)),
        ]
        for lane, way in ways:
            threading.Thread(target=run, args=(lane, way, numbers)).start()


if __name__ == "__main__":
    main(sys.argv[1:])

"""Running toolman as people do, a process with a command line, and speaking to it over real HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SERVERS = Path(__file__).parent / "toolman" / "servers"
SCRIPTED = [sys.executable, str(SERVERS / "scripted.py")]
SERVER: dict[str, Any] = runpy.run_path(SCRIPTED[1])
"""The scripted server's constants."""
LIMIT = 20.0
"""Seconds after which whatever is waited for is taken to have failed."""

HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


Found = TypeVar("Found")


def until(look: Callable[[], Found]) -> Found:
    """Look again and again until there is something, and give it."""
    end = time.monotonic() + LIMIT
    while not (found := look()):
        assert time.monotonic() < end, f"did not come true within {LIMIT} s: {look}"
        select.select([], [], [], 0.02)
    return found


class Toolman:
    """A running toolman."""

    def __init__(self, folder: Path, arguments: Sequence[str], environment: dict[str, str] | None = None) -> None:
        folder.mkdir(exist_ok=True)
        self.audit_file = folder / "stdout"
        self.log_file = folder / "stderr"
        with self.audit_file.open("wb") as out, self.log_file.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "toolman", *arguments],
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
                env=os.environ | (environment or {}),
            )

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def audit(self) -> list[dict[str, Any]]:
        """Give the audit log's records."""
        return [json.loads(line) for line in self.audit_file.read_text().splitlines()]

    def said(self, text: str, times: int = 1) -> None:
        """Wait until a text is in the log."""
        until(lambda: self.log.count(text) >= times or self.process.poll() is not None)
        assert self.log.count(text) >= times, self.log

    def end(self) -> int:
        """End it politely; give its exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(LIMIT)
        finally:
            self.process.kill()


class Client:
    """A legacy MCP client that shows what is on the wire."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.http = httpx.Client(base_url=f"http://{host}:{port}", timeout=LIMIT, headers=HEADERS)
        self.number = 0

    def post(self, body: bytes | str | dict[str, Any], **headers: str) -> httpx.Response:
        """Send a body as it is."""
        content = json.dumps(body) if isinstance(body, dict) else body
        return self.http.post("/mcp", content=content, headers=headers)

    def initialize(self, version: str = "2025-11-25") -> Client:
        """Open a session."""
        params = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
        response = self.post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
        assert response.status_code == 200, response.text
        self.http.headers["Mcp-Session-Id"] = response.headers["Mcp-Session-Id"]
        self.http.headers["MCP-Protocol-Version"] = response.json()["result"]["protocolVersion"]
        assert self.post({"jsonrpc": "2.0", "method": "notifications/initialized"}).status_code == 202
        return self

    def request(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a request and give the response."""
        self.number += 1
        message: dict[str, Any] = {"jsonrpc": "2.0", "id": self.number, "method": method}
        if params is not None:
            message["params"] = params
        answer: dict[str, Any] = self.post(message).json()
        assert answer["id"] == self.number
        return answer

    def tools(self) -> list[str]:
        """Give the names of the visible tools."""
        return [tool["name"] for tool in self.request("tools/list")["result"]["tools"]]

    def call(self, tool: str, **arguments: object) -> dict[str, Any]:
        """Call a tool; give its result or raise its error."""
        answer = self.request("tools/call", {"name": tool, "arguments": arguments})
        assert "result" in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def ask(self, tool: str, **arguments: object) -> Any:  # noqa: ANN401 - whatever JSON holds
        """Call a tool that answers with JSON in a text."""
        return json.loads(self.call(tool, **arguments)["content"][0]["text"])

    @contextlib.contextmanager
    def events(self) -> Iterator[Iterator[dict[str, Any]]]:
        """Open the GET stream; give its messages."""
        with self.http.stream("GET", "/mcp") as response:
            assert response.status_code == 200, response.read()
            lines = response.iter_lines()
            assert next(lines)  # it is open now
            data = (line.removeprefix("data:").strip() for line in lines if line.startswith("data:"))
            yield (json.loads(text) for text in data if text)


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Starter:
    """Starts toolmans on free ports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: list[Toolman] = []
        self.clients: list[Client] = []

    def start(self, *arguments: str, **environment: str) -> Toolman:
        """Start one with these arguments."""
        toolman = Toolman(self.folder / f"toolman{len(self.running)}", arguments, environment)
        self.running.append(toolman)
        return toolman

    def client(self, port: int, host: str = "127.0.0.1") -> Client:
        """Make a client."""
        client = Client(port, host)
        self.clients.append(client)
        return client

    def run(self, *options: str, command: list[str] | None = None, **environment: str) -> tuple[Toolman, Client]:
        """Start ``toolman run``; give it with a client in a session."""
        port = ports.free()
        toolman = self.start("run", "--port", str(port), *options, "--", *(command or SCRIPTED), **environment)
        toolman.said("listening at")
        return toolman, self.client(port).initialize()

    def serve(self, config: dict[str, Any]) -> tuple[Toolman, Client, Path]:
        """Start ``toolman serve``; give it with a client in a session and its file."""
        port = ports.free()
        config = {"listen": {"port": port}} | config
        config["listen"].setdefault("port", port)
        path = self.folder / "toolman.json"
        path.write_text(json.dumps(config))
        toolman = self.start("serve", "--config", str(path))
        toolman.said("listening at")
        return toolman, self.client(config["listen"]["port"]).initialize(), path

    def end(self) -> None:
        """End everything."""
        for client in self.clients:
            client.http.close()
        for toolman in self.running:
            if toolman.process.poll() is None:
                toolman.end()

"""``toolman await``: hold an agent back until the tools that it cannot do without are there and allowed.

Runs as an init container. It is a client of toolman like the agent will be, so it sees exactly what the agent will see.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from typing import TYPE_CHECKING, Any

from toolman.naming import expose
from toolman.protocol import legacy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from toolman.config import Config

POLL = 0.2
"""Seconds between two looks."""

REPEAT = 10.0
"""Seconds after which it says again what it waits for: the last line of a log should never be old."""

_TIMEOUT = 30.0  # for one answer: a first list may wait for servers that start


class UnknownServerError(Exception):
    """A tool is required of a server that is not in the configuration; the text says which."""


def await_tools(config: Config, required: Sequence[str], say: Callable[[str], None]) -> None:
    """Return when all required tools are visible, however long that takes.

    Args:
        config: toolman's, for its port and how tools are named.
        required: ``server/tool`` each; with none it is enough that toolman lists.
        say: Gets a line when what is waited for changes, and now and then.

    Raises:
        UnknownServerError: A requirement can never be met.
    """
    wanted = {name: expose(config.naming, *_split(config, name)) for name in required}
    said, spoken = "", 0.0
    client = _Client(config.listen.port)
    while True:
        try:
            visible = client.list_tools()
        except (OSError, http.client.HTTPException, ValueError) as problem:
            client.forget()
            state = f"waiting for toolman: {problem}"
        else:
            missing = [name for name, exposed in wanted.items() if exposed not in visible]
            if not missing:
                client.end()
                say(f"ready: {len(visible)} tools are visible")
                return
            state = f"waiting for tools that are not there yet or not allowed: {', '.join(missing)}"
        if state != said or time.monotonic() - spoken >= REPEAT:
            said, spoken = state, time.monotonic()
            say(state)
        time.sleep(POLL)


def _split(config: Config, name: str) -> tuple[str, str]:
    server, _, tool = name.partition("/")
    if not tool:
        raise UnknownServerError(f"{name!r} is not SERVER/TOOL")
    if server not in {known.name for known in config.servers}:
        known_names = ", ".join(known.name for known in config.servers) or "none"
        raise UnknownServerError(
            f"{name!r}: there is no server {server!r} in the configuration; there are: {known_names}"
        )
    return server, tool


class _Client:
    """As much of an MCP client as it takes to list tools."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT)
        self._session = ""

    def list_tools(self) -> set[str]:
        """Give the names of the visible tools.

        Raises:
            OSError: toolman cannot be reached.
            ValueError: It answered something else.
        """
        if not self._session:
            me = {"name": "toolman-await", "version": "1"}
            params = {"protocolVersion": legacy.LATEST, "capabilities": {}, "clientInfo": me}
            self._send({"id": 0, "method": legacy.INITIALIZE, "params": params})
            self._send({"method": legacy.INITIALIZED})
        answer = self._send({"id": 1, "method": legacy.LIST_TOOLS})
        return {tool["name"] for tool in answer["result"]["tools"]}

    def forget(self) -> None:
        """Begin anew next time."""
        self._session = ""
        self._connection.close()

    def end(self) -> None:
        """End the session, if that can be said; it would end by itself."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            self._connection.request("DELETE", "/mcp", headers={"Mcp-Session-Id": self._session})
            self._connection.getresponse().read()
        self._connection.close()

    def _send(self, message: dict[str, object]) -> Any:  # noqa: ANN401 - whatever JSON holds
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }
        if self._session:
            headers |= {"Mcp-Session-Id": self._session, "MCP-Protocol-Version": legacy.LATEST}
        self._connection.request("POST", "/mcp", json.dumps({"jsonrpc": "2.0"} | message), headers)
        response = self._connection.getresponse()
        body = response.read()
        if response.status >= 300:  # noqa: PLR2004 - HTTP's own line between success and the rest
            raise ValueError(f"it answered {response.status}: {body[:200].decode(errors='replace')}")
        self._session = response.headers.get("Mcp-Session-Id", self._session)
        return json.loads(body) if body else None

"""A published server as it is: of an older SDK, which ends at a request that it does not know, and writes a file."""

from __future__ import annotations

import json
import shlex
import time
from typing import TYPE_CHECKING, Any

import pytest
import throwaway

if TYPE_CHECKING:
    from kubectl import Kubectl

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("demo")]

SECONDS = 240
"""Bound of every wait."""
AGENTS, SERVERS = "mcpagent.toolman.dev", "mcpserver.toolman.dev"
UNPRIVILEGED = {"runAsUser": 1000}
PACKAGE = {"package": "mcp-server-sqlite", "version": "2025.4.25"}
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "e2e", "version": "1"}}
STATEMENTS = (
    ("create_table", "CREATE TABLE seen (number INTEGER)"),
    ("write_query", "INSERT INTO seen VALUES (4711)"),
    ("read_query", "SELECT number FROM seen"),
)


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "toolman.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def _pod(kubectl: Kubectl) -> str:
    """Give the UID of the agent's Pod, empty while there is none."""
    return kubectl("get", "pod", "dba", "--ignore-not-found", "-o", "jsonpath={.metadata.uid}")


def _said(kubectl: Kubectl) -> str:
    """Make the calls, one after the other as the server answers them; give the last answer."""
    calls: list[dict[str, Any]] = [
        {"id": number, "method": "tools/call", "params": {"name": f"sqlite__{tool}", "arguments": {"query": query}}}
        for number, (tool, query) in enumerate(STATEMENTS, 1)
    ]
    started: list[dict[str, Any]] = [
        {"id": 0, "method": "initialize", "params": HELLO},
        {"method": "notifications/initialized"},
    ]
    lines = [shlex.quote(json.dumps({"jsonrpc": "2.0", **message})) for message in (*started, *calls)]
    slowly = "; ".join(f"printf '%s\\n' {line}; sleep 1" for line in lines)
    return kubectl.exec("dba", "agent", "sh", "-c", f"({slowly}) | /mcp/bin/mcp-wrapper | tail -n 1")


@pytest.mark.requirement("B-15", "O-04", "T-02")
def test_a_server_that_ends_at_what_it_does_not_know_and_writes_a_file_works_in_both_placements() -> None:
    with throwaway.namespace("published") as kubectl:
        kubectl.apply(_object("MCPServer", "sqlite", {"source": {"pypi": PACKAGE}}))
        kubectl.wait(SERVERS, "sqlite", "condition=Ready", SECONDS)
        image = kubectl.get(SERVERS, "sqlite")["status"]["image"]["reference"]
        sleeping = {"name": "agent", "image": image, "command": ["sleep", "1000"], "securityContext": UNPRIVILEGED}
        template = {"spec": {"terminationGracePeriodSeconds": 1, "containers": [sleeping]}}
        kubectl.apply(_object("MCPAgent", "dba", {"servers": [{"name": "sqlite"}], "template": template}))
        kubectl.wait(AGENTS, "dba", "condition=Ready", SECONDS)
        assert "4711" in _said(kubectl)

        before = _pod(kubectl)
        kubectl.apply(_object("MCPServer", "sqlite", {"source": {"pypi": PACKAGE}, "run": {"placement": "Shared"}}))
        deadline = time.monotonic() + SECONDS
        while _pod(kubectl) in {before, ""}:
            assert time.monotonic() < deadline, kubectl("describe", AGENTS, "dba")
        kubectl.wait(AGENTS, "dba", "condition=Ready", SECONDS)
        assert "4711" in _said(kubectl)

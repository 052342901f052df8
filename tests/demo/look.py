"""What an agent sees, asked by the sample agent's own command line in its container."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from demo.console import DemoError
from demo.samples import NAMESPACE

if TYPE_CHECKING:
    import subprocess

    from demo.console import Console
    from demo.programs import Programs

CONTAINER = "agent"
EXAMPLE_TOOL = "get_current_time"
EXAMPLE_ARGUMENTS = {"timezone": "Europe/Lisbon"}
UNKNOWN = "no_such_tool"
SEPARATOR = "__"


@dataclass(frozen=True, kw_only=True)
class Agent:
    """The sample agent as its status describes it.

    Attributes:
        pod: Name of its Pod.
        servers: Names of its servers.
        visible: Names of tools as the agent sees them.
        denied: (server, tool, layer) of each tool that it does not get.
        prefixed: Whether the agent sees ``server__tool``.
    """

    pod: str
    servers: tuple[str, ...]
    visible: tuple[str, ...]
    denied: tuple[tuple[str, str, str], ...]
    prefixed: bool

    def name(self, server: str, tool: str) -> str:
        """Name a tool as the agent would."""
        return f"{server}{SEPARATOR}{tool}" if self.prefixed else tool

    def hidden(self) -> tuple[str, str]:
        """Give the first denied tool, as the agent would name it, and the layer that denies it."""
        server, tool, layer = self.denied[0]
        return self.name(server, tool), layer


def find(programs: Programs) -> Agent:
    """Read the agent's status.

    Raises:
        DemoError: There is no agent, or none of its tools is denied, so that nothing could be shown.
    """
    agents = programs.objects(NAMESPACE, "mcpagents.toolman.dev")
    if not agents:
        raise DemoError("the samples hold no MCPAgent")
    status: dict[str, Any] = agents[0]["status"]
    denied = [(*entry["tool"].split("/", 1), entry["by"]) for entry in status.get("denied") or []]
    if not denied:
        raise DemoError("the agent's status names no denied tool", json.dumps(status, indent=1))
    return Agent(
        pod=status["podName"],
        servers=tuple(server["name"] for server in agents[0]["spec"]["servers"]),
        visible=tuple(status["tools"]["names"]),
        denied=tuple(denied),
        prefixed=agents[0]["spec"].get("toolNames", "Prefixed") == "Prefixed",
    )


def ask(programs: Programs, agent: Agent, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the agent's container."""
    return programs.attempt("kubectl", "exec", "-n", NAMESPACE, agent.pod, "-c", CONTAINER, "--", *command)


def show(console: Console, programs: Programs, agent: Agent) -> None:
    """Show and check the tool list, a call and the answer to a denied call, all through mcp-wrapper."""
    console.title("What the agent sees (kubectl exec ... -- agent tools; MCP over mcp-wrapper's stdin and stdout)")
    listed = ask(programs, agent, "agent", "tools")
    names = [line.split()[0] for line in listed.stdout.splitlines() if line.strip()]
    denied = {agent.name(server, tool) for server, tool, _ in agent.denied}
    claim = f"it lists the {len(agent.visible)} tools of its status and none of the {len(denied)} denied ones"
    holds = listed.returncode == 0 and not denied.intersection(names) and set(agent.visible) <= set(names)
    console.check(claim, holds=holds, seen=listed.stdout or listed.stderr)

    example = next((name for name in agent.visible if name.endswith(EXAMPLE_TOOL)), None)
    if example:
        done = ask(programs, agent, "agent", "call", example, json.dumps(EXAMPLE_ARGUMENTS))
        console.check(f"calling {example} works", holds=done.returncode == 0, seen=done.stdout or done.stderr)

    hidden, layer = agent.hidden()
    refused = ask(programs, agent, "agent", "call", hidden, "{}")
    console.check(f"calling {hidden}, denied by {layer}, is refused", holds=refused.returncode == 1, seen=said(refused))
    unknown = ask(programs, agent, "agent", "call", UNKNOWN, "{}")
    same = said(unknown).replace(UNKNOWN, hidden) == said(refused) != ""
    console.check("a tool that does not exist is refused in the same words", holds=same, seen=said(unknown))


def said(done: subprocess.CompletedProcess[str]) -> str:
    """Give what a command wrote, preferring standard output."""
    return (done.stdout or done.stderr).strip()

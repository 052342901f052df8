"""Tries to go around toolman: from a shell in the agent's container, and from one in a server's."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo import agent_probe
from demo.look import CONTAINER
from demo.samples import NAMESPACE

if TYPE_CHECKING:
    from demo.console import Console
    from demo.look import Agent
    from demo.programs import Programs

PROBE = Path(__file__).with_name("agent_probe.py")
AGENT_PYTHON = "/app/.venv/bin/python"
SERVER_CONTAINER = "mcp-server-"
OUR_PORTS = {3000, 9464}
"""toolman's own, for agents and for the kubelet."""
SECRET = ("demo-secret", "token")
"""Name and key of the Secret of the samples' servers."""

STARTED = "started"
HELLO = json.dumps(agent_probe.HELLO)
KNOCK = "\r\n".join(
    (
        "POST /mcp HTTP/1.1",
        "Host: localhost:3000",
        "Content-Type: application/json",
        "Accept: application/json, text/event-stream",
        "Connection: close",
        f"Content-Length: {len(HELLO)}",
        "",
        HELLO,
    )
)


def show(console: Console, programs: Programs, agent: Agent) -> None:
    """Try, show and check it all."""
    from_the_agent(console, programs, agent)
    from_a_server(console, programs, agent)


def from_the_agent(console: Console, programs: Programs, agent: Agent) -> None:
    """With a shell in the agent's container: raw HTTP, ports, pipes, processes, secrets."""
    console.title("Around toolman, from a shell in the agent's container")
    hidden, _ = agent.hidden()
    secret = _secret(programs)
    argument = json.dumps({"allowed": agent.visible[0], "hidden": hidden, "secret": secret or "?" * 32})
    command = ("kubectl", "exec", "-i", "-n", NAMESPACE, agent.pod, "-c", CONTAINER, "--", AGENT_PYTHON, "-", argument)
    done = programs.attempt(*command, data=PROBE.read_text())
    if done.returncode:
        console.check("the probe runs", holds=False, seen=done.stderr or done.stdout)
        return
    found: dict[str, Any] = json.loads(done.stdout)
    for way, answer in found["calls"].items():
        refused = '"result"' not in answer and '"error"' in answer
        console.check(f"raw HTTP with {hidden} {way} is refused", holds=refused, seen=answer)
    others = sorted(set(found["listening"]) - OUR_PORTS)
    console.check("no port of a server is open", holds=not others, seen=f"listening: {found['listening']}")
    console.check("no unix socket leads to one", holds=not found["unix_sockets"], seen=str(found["unix_sockets"]))
    console.check("no named pipe can be found", holds=not found["pipes"], seen=str(found["pipes"]))
    foreign = [line for line in found["processes"] if "/run/mcp" in line or "toolman serve" in line]
    console.check("no other container's process is seen", holds=not foreign, seen="\n".join(found["processes"]))
    if secret:
        holders = [name for name in agent.servers if secret in _exec(programs, agent, SERVER_CONTAINER + name, "env")]
        console.check("(a server has a secret)", holds=bool(holders), seen=f"in its environment: {', '.join(holders)}")
        console.check("a server's secret is nowhere", holds=not found["secrets"], seen=f"found in: {found['secrets']}")
    console.check("there is no Kubernetes token", holds=not found["token"], seen=f"mounted: {found['token']}")


def from_a_server(console: Console, programs: Programs, agent: Agent) -> None:
    """With a shell in a server's container: toolman's port on both loopback addresses, and the pipes' folder."""
    server = agent.servers[0]
    container = SERVER_CONTAINER + server
    console.title(f"Around toolman, from a shell in the container of the server {server}")
    control = _knock(programs, agent, CONTAINER, "127.0.0.1")
    answered = "serverInfo" in control
    console.check("(the same request from the agent's container is answered)", holds=answered, seen=control[-200:])
    for host in ("127.0.0.1", "::1"):
        answer = _knock(programs, agent, container, host)
        refused = STARTED in answer and "serverInfo" not in answer and "result" not in answer
        console.check(f"toolman does not serve it on {host}", holds=refused, seen=answer[-200:])
    answer = _exec(programs, agent, container, "touch /run/mcp/planted && echo made")
    refused = STARTED in answer and "made" not in answer
    console.check("it cannot plant anything beside its pipes", holds=refused, seen=answer)


def _knock(programs: Programs, agent: Agent, container: str, host: str) -> str:
    """Send ``initialize`` to toolman from a container; bash can, whatever else the image lacks."""
    script = f'exec 3<>/dev/tcp/{host}/3000 && echo connected && printf %s "$1" >&3 && timeout 5 cat <&3; echo closed'
    return _exec(programs, agent, container, script, KNOCK)


def _exec(programs: Programs, agent: Agent, container: str, script: str, *arguments: str) -> str:
    """Run a script and give all that it wrote; without ``STARTED`` in it, it did not run and proves nothing."""
    shell = ("bash", "-c", f"echo {STARTED}; {script}", "bash", *arguments)
    done = programs.attempt("kubectl", "exec", "-n", NAMESPACE, agent.pod, "-c", container, "--", *shell)
    return done.stdout + done.stderr


def _secret(programs: Programs) -> str:
    name, key = SECRET
    done = programs.attempt("kubectl", "get", "secret", "-n", NAMESPACE, name, "-o", f"jsonpath={{.data.{key}}}")
    return base64.b64decode(done.stdout).decode() if done.returncode == 0 else ""

"""The options of ``kubectl toolman``, without anything that takes long to import."""

from __future__ import annotations

import argparse
import re
from typing import Final

from mcp_operator import names
from mcp_operator.models.base import DURATION, seconds

AGENT_KINDS: Final = frozenset({"mcpagent", "mcpagents", "mcpa", f"mcpagents.{names.GROUP}"})


def add_explain(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``explain``."""
    parser.add_argument("agent", type=agent_name, metavar="mcpagent/NAME", help="the MCPAgent to explain")
    parser.add_argument("--tool", type=_tool, metavar="SERVER/TOOL", help="this tool alone, known or not")
    add_person(parser)
    add_output(parser)


def add_tools(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``tools``."""
    _add_agent(parser)
    add_person(parser)
    add_output(parser)


def add_status(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``status``."""
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces")
    add_person(parser)
    add_output(parser)


def add_logs(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``logs``."""
    _add_agent(parser)
    parser.add_argument("--denied", action="store_true", help="only what was denied, or would be in audit mode")
    parser.add_argument("--tool", action="append", default=[], metavar="GLOB", help="only these tools; may be repeated")
    parser.add_argument("--since", type=_since, metavar="TIME", help="look back so far, such as 90s or 2h")
    parser.add_argument("--tail", type=int, metavar="N", help="look at the last N lines of the log")
    parser.add_argument("-f", "--follow", action="store_true", help="go on as calls come, where one Pod runs")
    add_person(parser)
    add_output(parser)


def add_suggest(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``suggest``."""
    _add_agent(parser)
    add_person(parser)


def add_person(parser: argparse.ArgumentParser) -> None:
    """Add the options that say who asks, and where."""
    parser.add_argument("-n", "--namespace", default="", help="namespace; by default the context's")
    parser.add_argument("--kubeconfig", default="", metavar="FILE", help="by default as kubectl takes it")
    parser.add_argument(
        "--context", default="", metavar="NAME", help="context of the kubeconfig; by default the current"
    )


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the option that says for whom the answer is."""
    parser.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", help="what stdout gets (%(default)s)"
    )


def agent_name(text: str) -> str:
    """Read ``mcpagent/NAME`` or ``NAME``."""
    kind, slash, name = text.rpartition("/")
    if slash and kind.lower() not in AGENT_KINDS:
        raise argparse.ArgumentTypeError(f"not an MCPAgent: {text!r}; give NAME or mcpagent/NAME")
    if not name:
        raise argparse.ArgumentTypeError("give the name of an MCPAgent")
    return name


def _add_agent(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("agent", type=agent_name, metavar="AGENT", help="name of an MCPAgent")


def _tool(text: str) -> str:
    server, slash, tool = text.partition("/")
    if not (server and slash and tool):
        raise argparse.ArgumentTypeError(f"not SERVER/TOOL: {text!r}")
    return text


def _since(text: str) -> int:
    if not re.fullmatch(DURATION, text):
        raise argparse.ArgumentTypeError(f"not a time such as 90s or 2h: {text!r}")
    return max(1, round(seconds(text)))

"""Does a folder make an MCP server? Told from its sources and dependencies; nothing is run."""

from __future__ import annotations

import itertools
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from mcp_operator.images.detect.candidate import Use

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from mcp_operator.images.tree import Tree

MAX_SOURCES = 3000
"""Source files that are read; what decides is near the top of any sensible project."""

_ASIDE = re.compile(
    r"(?:^|/)(?:tests?|__tests__|testdata|tests?[-_][^/]+|mocks?|examples?|samples?|demos?|docs?|benchmarks?|fixtures"
    r"|e2e|scripts|templates?)(?:/|$)|\.(?:test|spec|stories)\.|_test\.go\Z"
)
"""Where a server in a source file proves nothing about the project."""


class Language(NamedTuple):
    """What to look for in the sources of a language."""

    suffixes: tuple[str, ...]
    server: re.Pattern[str]
    client: re.Pattern[str]
    packages: frozenset[str]


PYTHON = Language(
    suffixes=(".py",),
    server=re.compile(
        r"^\s*(?:from|import)\s+(?:mcp\.server|fastmcp|fastapi_mcp)\b|^\s*from\s+mcp\s+import\s.*\b(?:FastMCP|MCPServer|Server)\b"
        r"|\bFastMCP\s*\(|\bMCPServer\s*\(",
        re.MULTILINE,
    ),
    client=re.compile(r"\bClientSession\b|^\s*(?:from|import)\s+mcp\.client\b", re.MULTILINE),
    packages=frozenset({"mcp", "fastmcp", "fastapi-mcp", "mcp-types"}),
)
NODE = Language(
    suffixes=(".ts", ".mts", ".cts", ".tsx", ".js", ".mjs", ".cjs"),
    server=re.compile(
        r"@modelcontextprotocol/sdk/server|@modelcontextprotocol/(?:server|node)[\"'/]|\bnew\s+(?:McpServer|MCPServer|FastMCP)\s*\("
        r"|[\"'](?:fastmcp|litemcp|mcp-framework|mcp-handler|muppet|tmcp|xmcp|@rekog/mcp-nest|@vercel/mcp-adapter)[\"']",
    ),
    client=re.compile(r"@modelcontextprotocol/sdk/client|@modelcontextprotocol/client[\"'/]"),
    packages=frozenset(
        {
            "@modelcontextprotocol/sdk",
            "@modelcontextprotocol/server",
            "@modelcontextprotocol/node",
            "@rekog/mcp-nest",
            "@vercel/mcp-adapter",
            "fastmcp",
            "litemcp",
            "mcp-framework",
            "mcp-handler",
            "muppet",
            "tmcp",
            "xmcp",
        },
    ),
)
GO = Language(
    suffixes=(".go",),
    server=re.compile(
        r"\"github\.com/mark3labs/mcp-go/server\"|\bmcp\.NewServer\s*\(|\bserver\.NewMCPServer\s*\("
        # An SDK of one's own around the official one still gives it one of its transports.
        r"|\bmcp\.(?:StdioTransport\b|NewStreamableHTTPHandler\s*\(|NewSSEHandler\s*\()"
        r"|\bmcp_golang\.NewServer\s*\(|\"github\.com/(?:ThinkInAIXYZ/go-mcp/server|strowk/foxy-contexts/pkg/app)\"",
    ),
    client=re.compile(r"\"github\.com/mark3labs/mcp-go/client\"|\bmcp\.NewClient\s*\("),
    packages=frozenset(
        {
            "github.com/mark3labs/mcp-go",
            "github.com/modelcontextprotocol/go-sdk",
            "github.com/metoro-io/mcp-golang",
            "github.com/ThinkInAIXYZ/go-mcp",
            "github.com/strowk/foxy-contexts",
        },
    ),
)
_BY_HAND = (
    re.compile(r"[\"'`]tools/list[\"'`]"),
    re.compile(r"[\"'`]initialize[\"'`]"),
    re.compile(r"\bserverInfo\b"),
    re.compile(
        r"\b[Ss]tdin\b|\breadline\b|\bbufio\.|\bio\.Reader\b|createServer|\bBun\.serve|\.(?:post|route)\(|http\.server|HandleFunc|\bFastAPI\b|\bFlask\b"
    ),
)
"""Servers that speak JSON-RPC themselves name these methods, have a name, and read. Such clients have an SDK."""


class Usage(NamedTuple):
    """How MCP is used, what shows it, and the source files that make a server."""

    use: Use
    evidence: tuple[str, ...]
    server_files: tuple[str, ...] = ()
    sdk: bool = False


class Named(NamedTuple):
    """A project: its own name, as others depend on it, and what it depends on itself."""

    name: str
    dependencies: Collection[str]


def examine(tree: Tree, folder: str, language: Language, project: Named, inner: Iterable[str]) -> Usage:
    """Look at the dependencies and sources below ``folder``.

    Args:
        tree: The repository.
        folder: Where.
        language: What to look for.
        project: What its manifest says.
        inner: Folders below that are projects of their own, and not looked at.
    """
    if project.name in language.packages:
        return Usage(Use.NONE, (f"is {project.name}, with which others make servers",), sdk=True)
    found = sorted(set(project.dependencies) & language.packages)
    servers, clients = _scan(tree, folder, language, tuple(f"{name}/" for name in inner))
    evidence = [f"depends on {', '.join(found)}"] if found else []
    if servers:
        more = f" and {len(servers) - 1} more" if len(servers) > 1 else ""
        # What names its packages and no SDK among them has a part for those who have one installed.
        foreign = project.dependencies and not found and not any(by_hand(tree.text(name)) for name in servers)
        use = Use.ASIDE if foreign else Use.SERVER
        return Usage(use, (*evidence, f"{servers[0]}{more} makes an MCP server"), tuple(servers))
    if clients:
        return Usage(Use.CLIENT, (*evidence, f"{clients[0]} is an MCP client, and nothing makes a server"))
    return Usage(Use.DEPENDENCY if found else Use.NONE, tuple(evidence))


def by_hand(text: str) -> bool:
    """Tell whether a source file makes a server without an SDK."""
    return all(pattern.search(text) for pattern in _BY_HAND)


def sources(tree: Tree, folder: str, language: Language, apart: tuple[str, ...] = ()) -> Iterator[str]:
    """Give the source files of a project, but for its tests, examples and the like.

    Args:
        tree: The repository.
        folder: Of the project.
        language: Its language.
        apart: Folders, with a slash, that are projects of their own.
    """
    every = (name for name in tree.below(folder) if name.endswith(language.suffixes) and not name.startswith(apart))
    for name in itertools.islice(every, MAX_SOURCES):
        if not _ASIDE.search(name if folder == "." else name.removeprefix(f"{folder}/")):
            yield name


def _scan(tree: Tree, folder: str, language: Language, apart: tuple[str, ...]) -> tuple[list[str], list[str]]:
    servers: list[str] = []
    clients: list[str] = []
    for name in sources(tree, folder, language, apart):
        text = tree.text(name)
        if language.server.search(text) or by_hand(text):
            servers.append(name)
        elif language.client.search(text):
            clients.append(name)
    # Shallow files first: an entry file says more than a helper deep inside.
    return sorted(servers, key=lambda name: (len(PurePosixPath(name).parts), name)), clients

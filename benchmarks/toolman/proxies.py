"""The proxies: how each is installed, started with an upstream, and where its endpoint is then."""

from __future__ import annotations

import compileall
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab import node_packages, programs, python_packages, settings
from lab.errors import LabError

import toolman

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HERE = Path(__file__).resolve().parent
PEERS = HERE / "peers"
FASTMCP = """\
import json, sys
from fastmcp.server import create_proxy
server = json.loads(sys.argv[1])
create_proxy({"mcpServers": {"load": server}}).run(
    transport="http", host="127.0.0.1", port=int(sys.argv[2]), show_banner=False, log_level="ERROR"
)
"""


@dataclass(frozen=True)
class Upstream:
    """What is behind a proxy: a command for stdio, or a URL for streamable HTTP."""

    command: tuple[str, ...] = ()
    url: str = ""


@dataclass(frozen=True)
class Start:
    """How to start a proxy: its command, and its endpoint's path on the port that was given."""

    command: list[str]
    path: str = "/mcp"


@dataclass(frozen=True)
class Proxy:
    """One row of the table.

    Attributes:
        name: As it is shown.
        version: As it is shown.
        start: Makes the command from the upstream, the port and a folder for files.
        over_http: Whether the upstream is reached over HTTP instead of stdio.
    """

    name: str
    version: str
    start: Callable[[Upstream, int, Path], Start]
    over_http: bool = False


def _ours() -> Callable[[Upstream, int, Path], Start]:
    compileall.compile_dir(str(Path(toolman.__file__).parent), quiet=1)  # as installing does
    return ours


def ours(upstream: Upstream, port: int, folder: Path) -> Start:
    """Start toolman with all that it does by default, the audit log in a file, and metrics."""
    reached = (
        {"kind": "http", "url": upstream.url} if upstream.url else {"kind": "process", "command": upstream.command}
    )
    config = {
        "listen": {"port": port},
        "admin": {"host": "127.0.0.1", "port": port + 1},
        "naming": "plain",
        "servers": [{"name": "load", "upstream": reached}],
        "layers": [{"source": "benchmark", "tools": {"allow": ["echo", "big", "tool_*"]}}],
        "audit": {"sink": str(folder / "audit.jsonl")},
    }
    path = folder / "toolman.json"
    path.write_text(json.dumps(config))
    return Start([sys.executable, "-m", "toolman", "serve", "--config", str(path)])


def _tbxark() -> Callable[[Upstream, int, Path], Start]:
    target = settings.from_environment().folder("benchmark") / "tbxark"
    program = programs.compile_pinned(PEERS / "go", target, "github.com/TBXark/mcp-proxy")

    def start(upstream: Upstream, port: int, folder: Path) -> Start:
        address = f"127.0.0.1:{port}"
        server: dict[str, object] = {"url": upstream.url, "transportType": "streamable-http"}
        if not upstream.url:
            server = {"command": upstream.command[0], "args": upstream.command[1:]}
        config = {
            "mcpProxy": {
                "baseURL": f"http://{address}",
                "addr": address,
                "name": "load",
                "version": "1",
                "type": "streamable-http",
            },
            "mcpServers": {"load": server},
        }
        path = folder / "tbxark.json"
        path.write_text(json.dumps(config))
        return Start([str(program), "--config", str(path)], "/load/mcp")

    return start


def _supergateway() -> Callable[[Upstream, int, Path], Start]:
    node, modules = _node()

    def start(upstream: Upstream, port: int, _folder: Path) -> Start:
        script = str(modules / "supergateway" / "dist" / "index.js")
        options = ["--outputTransport", "streamableHttp", "--stateful", "--port", str(port), "--logLevel", "none"]
        return Start([node, script, "--stdio", " ".join(upstream.command), *options])

    return start


def _npm_mcp_proxy() -> Callable[[Upstream, int, Path], Start]:
    node, modules = _node()

    def start(upstream: Upstream, port: int, _folder: Path) -> Start:
        script = str(modules / "mcp-proxy" / "dist" / "bin" / "mcp-proxy.mjs")
        options = ["--port", str(port), "--host", "127.0.0.1", "--server", "stream"]
        return Start([node, script, *options, "--", *upstream.command])

    return start


def _node() -> tuple[str, Path]:
    chosen = settings.from_environment()
    return str(node_packages.node(chosen)), node_packages.install(chosen, PEERS / "npm")


def _pypi_mcp_proxy() -> Callable[[Upstream, int, Path], Start]:
    installed = python_packages.install(settings.from_environment(), "mcp-proxy==0.13.0")

    def start(upstream: Upstream, port: int, _folder: Path) -> Start:
        options = ["--port", str(port), "--host", "127.0.0.1", "--log-level", "ERROR"]
        return Start([str(installed / "mcp-proxy"), *options, "--", *upstream.command])

    return start


def _fastmcp() -> Callable[[Upstream, int, Path], Start]:
    # it asks for the certifi of the day on which it was published, which not every index has
    installed = python_packages.install(settings.from_environment(), "fastmcp==4.1.6", any_version_of=("certifi",))

    def start(upstream: Upstream, port: int, _folder: Path) -> Start:
        server: dict[str, object] = {"url": upstream.url}
        if not upstream.url:
            server = {"command": upstream.command[0], "args": list(upstream.command[1:])}
        return Start([str(installed / "python"), "-c", FASTMCP, json.dumps(server), str(port)])

    return start


INSTALLERS: Sequence[tuple[str, str, Callable[[], Callable[[Upstream, int, Path], Start]], bool]] = (
    ("toolman", "this checkout", _ours, True),
    ("tbxark mcp-proxy", "0.43.2, Go", _tbxark, True),
    ("supergateway", "4.0.0, Node", _supergateway, False),
    ("npm mcp-proxy", "6.7.19, Node", _npm_mcp_proxy, False),
    ("PyPI mcp-proxy", "0.13.0, Python", _pypi_mcp_proxy, False),
    ("fastmcp", "4.1.6, Python", _fastmcp, True),
)
"""Name, version, what installs it, and whether it can have an HTTP upstream."""


def install(wanted: Sequence[str], others: Sequence[str]) -> tuple[list[Proxy], dict[str, str]]:
    """Install what is wanted; give the rows that can be measured, and why others cannot.

    Args:
        wanted: Names; all if empty.
        others: Further proxies as ``NAME=COMMAND``, with ``{upstream}`` and ``{port}`` in the command, which is split
            at blanks; the endpoint is ``/mcp``.
    """
    rows: list[Proxy] = []
    missing: dict[str, str] = {}
    for name, version, installer, takes_http in INSTALLERS:
        if wanted and name not in wanted:
            continue
        try:
            start = installer()
        except LabError as error:
            missing[name] = str(error)
            continue
        rows.append(Proxy(name, version, start))
        if takes_http:
            rows.append(Proxy(name, version, start, over_http=True))
    return rows + [_other(text) for text in others], missing


def _other(text: str) -> Proxy:
    name, _, command = text.partition("=")

    def start(upstream: Upstream, port: int, _folder: Path) -> Start:
        words: list[str] = []
        for word in command.split():
            words += upstream.command if word == "{upstream}" else [word.replace("{port}", str(port))]
        return Start(words)

    return Proxy(name, "given", start)

"""``mcp-wrapper config CLIENT``: what an MCP client's configuration must say to start this wrapper.

Nothing is left to the environment that the client has: some (Codex) start their servers with a few variables only. So
whatever was chosen here is in the text, except what is the default anyway.
"""

from __future__ import annotations

import json
import os
import sys

from mcp_wrapper import environment, settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SERVER = "toolman"
"""How the client names the server, and so the prefix of the tools that a person sees."""
SCRIPT = "bin/mcp-wrapper"
"""The command, below the folder of an installed wrapper."""
FILES = {
    "claude": "claude.json",
    "codex": "codex.toml",
    "gemini": "gemini.json",
    "vscode": "vscode.json",
    "cursor": "cursor.json",
    "zed": "zed.json",
}
"""The clients that are known, and how their files are called where the wrapper is installed."""
START_MARGIN = 30
"""Seconds. Codex gives a server thirty to start, in which the wrapper may still be waiting for toolman."""

_JSON_SHAPES: dict[str, tuple[str, dict[str, str]]] = {
    "claude": ("mcpServers", {"type": "stdio"}),
    "gemini": ("mcpServers", {}),
    "vscode": ("servers", {"type": "stdio"}),
    "cursor": ("mcpServers", {"type": "stdio"}),
    # Versions before 2026 cannot tell it from an extension's server without this; later ones pass over it.
    "zed": ("context_servers", {"source": "custom"}),
}
"""Client to the key that holds its servers, and what an entry says besides command, args and env."""


class ConfigError(settings.UsageError):
    """No configuration can be written; the text says why and what to do."""


def answer(arguments: Sequence[str], environ: Mapping[str, str]) -> str:
    """Give what the subcommand prints.

    Args:
        arguments: The client's name, and the wrapper's own flags.
        environ: The environment.

    Raises:
        mcp_wrapper.settings.UsageError: Something is wrong.
        mcp_wrapper.settings.Answer: ``--help`` or ``--version``.
    """
    return configuration(_client(arguments), started_from(), variables(arguments[1:], environ))


def configuration(client: str, start: Sequence[str], env: Mapping[str, str]) -> str:
    """Write the configuration of one client.

    Args:
        client: A key of :data:`FILES`.
        start: Command that starts the wrapper, and its arguments.
        env: Variables that the wrapper must get.

    Raises:
        ConfigError: Something in it would not arrive as it is.
    """
    for value in (*start, *env.values()):
        _check(value)
    if client == "codex":
        return _toml(start, env)
    key, extra = _JSON_SHAPES[client]
    entry = {**extra, "command": start[0], "args": list(start[1:]), "env": dict(env)}
    return json.dumps({key: {SERVER: entry}}, indent=2, ensure_ascii=False) + "\n"


def variables(arguments: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Give the variables of everything that was chosen and is not the default.

    Args:
        arguments: The wrapper's own flags.
        environ: The environment.

    Raises:
        mcp_wrapper.settings.UsageError: Something chosen is wrong.
        mcp_wrapper.settings.Answer: ``--help`` or ``--version``.
    """
    chosen = settings.read(arguments, environ)
    url = chosen.endpoint.url
    found = {
        environment.URL_VARIABLE: "" if url == environment.DEFAULT_URL else url,
        environment.TIMEOUT_VARIABLE: _seconds(chosen.timeout, environment.DEFAULT_TIMEOUT),
        environment.CONNECT_TIMEOUT_VARIABLE: _seconds(chosen.connect_timeout, environment.DEFAULT_CONNECT_TIMEOUT),
        environment.DEBUG_VARIABLE: "1" if chosen.debug else "",
        environment.TOKEN_FILE_VARIABLE: _absolute(chosen.token_file),
        environment.UID_VARIABLE: "" if chosen.uid is None else str(chosen.uid),
        environment.CERTIFICATES_VARIABLE: _absolute(chosen.certificates) if chosen.endpoint.is_secure else "",
    }
    return {name: value for name, value in found.items() if value}


def started_from() -> list[str]:
    """Give the command that starts this very wrapper again: the start script, if there is one."""
    if sys.argv[0] == "-c":  # only the start script of an installed folder does that
        return [f"{sys.prefix}/{SCRIPT}"]
    program = os.path.abspath(sys.argv[0])
    if os.path.isfile(program) and os.access(program, os.X_OK):
        return [program]
    folder, name = os.path.split(program)
    return [sys.executable, "-I", "-S", folder if name == "__main__.py" else program]


def _client(arguments: Sequence[str]) -> str:
    name = arguments[0] if arguments else ""
    if name in {"--help", "-h"}:
        raise settings.Answer(settings.HELP)
    if name not in FILES:
        problem = f"unknown client {name!r}" if name else "which client?"
        raise ConfigError(f"{problem}; usage: mcp-wrapper config {'|'.join(FILES)}")
    return name


def _check(value: str) -> None:
    if not value.isprintable():
        raise ConfigError(f"{value!r}: a configuration cannot hold this; choose a path of printable characters")
    if "$" in value:
        raise ConfigError(f"{value!r}: clients would replace what follows a $; write %24 in a URL, choose another path")


def _toml(start: Sequence[str], env: Mapping[str, str]) -> str:
    wait = float(env.get(environment.CONNECT_TIMEOUT_VARIABLE, environment.DEFAULT_CONNECT_TIMEOUT))
    lines = [
        f"[mcp_servers.{SERVER}]",
        f"command = {_quoted(start[0])}",
        f"args = [{', '.join(map(_quoted, start[1:]))}]",
        f"startup_timeout_sec = {int(wait) + START_MARGIN}",
    ]
    if env:
        lines += ["", f"[mcp_servers.{SERVER}.env]", *(f"{name} = {_quoted(value)}" for name, value in env.items())]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    # Of printable characters JSON escapes the two that TOML escapes, and in the same way.
    return json.dumps(text, ensure_ascii=False)


def _absolute(path: str) -> str:
    return os.path.abspath(path) if path else ""


def _seconds(value: float, default: float) -> str:
    return "" if value == default else f"{value:.15g}"

"""The command line: ``toolman serve``, ``run``, ``check``, ``probe``, ``suggest`` and ``await``."""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import re
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

import msgspec

from toolman import __version__, config, configfile
from toolman.policy import Layer, Rules

if TYPE_CHECKING:
    from collections.abc import Sequence

LOG_LEVEL = "TOOLMAN_LOG_LEVEL"
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_USAGE = 2
_SERVER_EXTRA = ("starlette", "uvicorn", "uvloop", "httptools")


class UsageError(Exception):
    """The command cannot be done as it was given; the text is one line that says what to change."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; exit with 2 and one line if it was given wrongly, with 1 if it failed."""
    try:
        options = parser().parse_args(arguments)
        _set_up_log()
        status = options.run(options)
    except (UsageError, config.ConfigError) as problem:
        sys.stderr.write(f"toolman: {problem}\n")
        status = _USAGE
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    sys.exit(status)


def parser() -> argparse.ArgumentParser:
    """Give the command line."""
    whole = _Parser(prog="toolman", description="MCP proxy that shows and forwards exactly the allowed tools.")
    whole.add_argument("--version", action="version", version=f"toolman {__version__}")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="serve what a configuration file says")
    serve.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="JSON or YAML; followed when it changes"
    )
    serve.add_argument("--host", help="listen on this address instead")
    serve.add_argument("--port", type=_port, help="listen there instead")
    serve.set_defaults(run=_serve)

    run = commands.add_parser("run", help="serve one server, without a file")
    run.add_argument("--allow", action="append", metavar="GLOB", help="tools to show; without any, all")
    run.add_argument("--deny", action="append", default=[], metavar="GLOB", help="tools not to show; wins over --allow")
    run.add_argument("--name", help="the server's name in messages (default: the command's, or the URL's host)")
    run.add_argument("--host", help="listen on this address instead of localhost alone")
    run.add_argument("--port", type=_port, default=3000, help="default: %(default)s")
    _add_target(run)
    run.set_defaults(run=_run)

    check = commands.add_parser("check", help="validate a configuration file and show what it makes visible")
    check.add_argument("--config", type=Path, required=True, metavar="FILE")
    check.add_argument("--output", choices=("text", "json"), default="text")
    check.set_defaults(run=_check)

    probe = commands.add_parser("probe", help="shake hands with a server and print what it offers as JSON")
    probe.add_argument("--timeout", type=_seconds, default=60.0, metavar="SECONDS", help="default: %(default)g")
    _add_target(probe)
    probe.set_defaults(run=_probe)

    suggest = commands.add_parser("suggest", help="print the least allow list that recorded calls needed")
    suggest.add_argument("--audit", type=Path, required=True, metavar="FILE", help="an audit log")
    suggest.add_argument("--config", type=Path, metavar="FILE", help="name tools of its servers that were never called")
    suggest.add_argument("--output", choices=("layers", "ToolPolicy"), default="layers", help="default: %(default)s")
    suggest.add_argument("--name", default="suggested", help="of the layer or resource (default: %(default)s)")
    suggest.set_defaults(run=_suggest)

    wait = commands.add_parser("await", help="wait until toolman shows what an agent cannot do without")
    wait.add_argument("--config", type=Path, required=True, metavar="FILE", help="toolman's")
    wait.add_argument("--require", action="append", default=[], metavar="SERVER/TOOL")
    wait.set_defaults(run=_await)
    return whole


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help="a server that speaks streamable HTTP, instead of a command")
    parser.add_argument("--sse", action="store_true", help="the server at --url speaks HTTP+SSE (2024-11-05)")
    parser.add_argument(
        "--header-file",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="send a header whose value is in a file, such as Authorization",
    )
    parser.add_argument("command", nargs="*", metavar="COMMAND", help="behind --: a stdio server and its arguments")


def _serve(options: argparse.Namespace) -> int:
    return _listen(configfile.load(options.config), options.config, options.host, options.port)


def _run(options: argparse.Namespace) -> int:
    rules = Rules(allow=None if options.allow is None else tuple(options.allow), deny=tuple(options.deny))
    server = _target(options, options.name)
    chosen = config.Config(
        listen=config.Listen(port=options.port),
        naming="plain",
        servers=(server,),
        layers=(Layer(source="command line", tools=rules),),
    )
    checked = configfile.loads(config.dumps(chosen), "command line")
    return _listen(checked, None, options.host, options.port)


def _target(options: argparse.Namespace, name: str | None = None) -> config.Server:
    """Describe the server that a command names."""
    if bool(options.url) == bool(options.command):
        raise UsageError("give either --url, or a command behind --")
    if options.url:
        headers: dict[str, str | config.Secret] = {}
        for entry in options.header_file:
            header, _, path = entry.partition("=")
            if not path:
                raise UsageError(f"--header-file {entry!r} is not NAME=FILE")
            headers[header] = config.Secret(file=path)
        kind = config.Sse if options.sse else config.Http
        return config.Server(
            name=name or _slug(urlsplit(options.url).hostname or ""), upstream=kind(url=options.url, headers=headers)
        )
    if shutil.which(options.command[0]) is None:
        raise UsageError(f"{options.command[0]}: no such program, or it may not be executed")
    upstream = config.Process(command=tuple(options.command))
    return config.Server(name=name or _slug(Path(options.command[0]).name), upstream=upstream)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-") or "server"


def _listen(chosen: config.Config, path: Path | None, host: str | None, port: int | None) -> int:
    _need_server_extra()
    from toolman import listeners, server, traces  # noqa: PLC0415 - the contract is to be had without the extra

    try:
        server.serve(chosen, path, server.Overrides(host, port))
    except traces.TracesError as problem:
        raise UsageError(str(problem)) from None
    except listeners.CannotListenError as problem:
        sys.stderr.write(f"toolman: {problem}\n")
        return 1
    return 0


def _need_server_extra() -> None:
    if any(importlib.util.find_spec(module) is None for module in _SERVER_EXTRA):
        raise UsageError("serving needs more packages: pip install 'mcp-operator-toolman[server]'")


def _check(options: argparse.Namespace) -> int:
    from toolman import check  # noqa: PLC0415 - only when needed: quick starts

    report = check.examine(configfile.load(options.config))
    if options.output == "json":
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    else:
        sys.stdout.write(check.as_table(report) + "\n")
    return 1 if report.problems else 0


def _probe(options: argparse.Namespace) -> int:
    _need_server_extra()
    from toolman import probe, upstreams  # noqa: PLC0415 - only when needed: quick starts

    try:
        found = probe.examine(_target(options), options.timeout)
    except upstreams.Failure as problem:
        sys.stderr.write(f"toolman: {problem}{problem.detail}\n")
        return 1
    sys.stdout.buffer.write(found + b"\n")
    return 0


def _suggest(options: argparse.Namespace) -> int:
    from toolman import check, suggest  # noqa: PLC0415 - only when needed: quick starts

    known: dict[str, list[str]] = {}
    if options.config is not None:
        for entry in check.examine(configfile.load(options.config)).entries:
            if entry.kind == "tools":
                known.setdefault(entry.server, []).append(entry.name)
    try:
        with options.audit.open("rb") as lines:
            usage = suggest.read(lines)
    except OSError as problem:
        raise UsageError(f"{options.audit}: {problem.strerror}") from None
    sys.stdout.write(suggest.write(usage, known, options.output, options.name))
    return 0


def _await(options: argparse.Namespace) -> int:
    from toolman import await_tools  # noqa: PLC0415 - only when needed: quick starts

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # process 1 ignores it otherwise
    try:
        await_tools.await_tools(configfile.load(options.config), options.require, _say)
    except await_tools.UnknownServerError as problem:
        raise UsageError(f"--require {problem}") from None
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return found


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 2**16:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port")
    return int(text)


def _set_up_log() -> None:
    level = os.environ.get(LOG_LEVEL, "INFO").upper()
    if level not in _LEVELS:
        raise UsageError(f"{LOG_LEVEL} must be one of {', '.join(_LEVELS)}, not {level!r}")
    logging.basicConfig(level=level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn").setLevel("WARNING" if level == "INFO" else level)


if __name__ == "__main__":
    main()

"""The command line: ``toolman serve``, ``run``, ``check`` and ``await``."""

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

import msgspec

from toolman import __version__, config
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
        options = _parser().parse_args(arguments)
        _set_up_log()
        status = options.run(options)
    except (UsageError, config.ConfigError) as problem:
        sys.stderr.write(f"toolman: {problem}\n")
        status = _USAGE
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    sys.exit(status)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="toolman", description="MCP proxy that shows and forwards exactly the allowed tools.")
    parser.add_argument("--version", action="version", version=f"toolman {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="serve what a configuration file says")
    serve.add_argument("--config", type=Path, required=True, metavar="FILE", help="JSON; followed when it changes")
    serve.add_argument("--port", type=_port, help="listen there instead")
    serve.set_defaults(run=_serve)

    run = commands.add_parser("run", help="serve one stdio server on this machine, without a file")
    run.add_argument("--allow", action="append", metavar="GLOB", help="tools to show; without any, all")
    run.add_argument("--deny", action="append", default=[], metavar="GLOB", help="tools not to show; wins over --allow")
    run.add_argument("--name", help="the server's name in messages (default: the command's)")
    run.add_argument("--port", type=_port, default=3000, help="default: %(default)s")
    run.add_argument("command", nargs="+", metavar="COMMAND", help="behind --: the server and its arguments")
    run.set_defaults(run=_run)

    check = commands.add_parser("check", help="validate a configuration file and show what it makes visible")
    check.add_argument("--config", type=Path, required=True, metavar="FILE")
    check.add_argument("--output", choices=("text", "json"), default="text")
    check.set_defaults(run=_check)

    wait = commands.add_parser("await", help="wait until toolman shows what an agent cannot do without")
    wait.add_argument("--config", type=Path, required=True, metavar="FILE", help="toolman's")
    wait.add_argument("--require", action="append", default=[], metavar="SERVER/TOOL")
    wait.set_defaults(run=_await)
    return parser


def _serve(options: argparse.Namespace) -> int:
    return _listen(config.load(options.config), options.config, options.port)


def _run(options: argparse.Namespace) -> int:
    name = options.name or re.sub(r"[^a-z0-9]+", "-", Path(options.command[0]).name.lower()).strip("-")[:63] or "server"
    rules = Rules(allow=None if options.allow is None else tuple(options.allow), deny=tuple(options.deny))
    chosen = config.Config(
        listen=config.Listen(port=options.port),
        naming="plain",
        servers=(config.Server(name=name, upstream=config.Process(command=tuple(options.command))),),
        layers=(Layer(source="command line", tools=rules),),
    )
    checked = config.loads(config.dumps(chosen), "command line")
    if shutil.which(options.command[0]) is None:
        raise UsageError(f"{options.command[0]}: no such program, or it may not be executed")
    return _listen(checked)


def _listen(chosen: config.Config, path: Path | None = None, port: int | None = None) -> int:
    if any(importlib.util.find_spec(module) is None for module in _SERVER_EXTRA):
        raise UsageError("serving needs more packages: pip install 'mcp-operator-toolman[server]'")
    from toolman import listeners, server  # noqa: PLC0415 - the configuration alone is to be had without the extra

    try:
        server.serve(chosen, path, port)
    except listeners.CannotListenError as problem:
        sys.stderr.write(f"toolman: {problem}\n")
        return 1
    return 0


def _check(options: argparse.Namespace) -> int:
    from toolman import check  # noqa: PLC0415 - only when needed: quick starts

    report = check.examine(config.load(options.config))
    if options.output == "json":
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    else:
        sys.stdout.write(check.as_table(report) + "\n")
    return 1 if report.problems else 0


def _await(options: argparse.Namespace) -> int:
    from toolman import await_tools  # noqa: PLC0415 - only when needed: quick starts

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # process 1 ignores it otherwise
    try:
        await_tools.await_tools(config.load(options.config), options.require, _say)
    except await_tools.UnknownServerError as problem:
        raise UsageError(f"--require {problem}") from None
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


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

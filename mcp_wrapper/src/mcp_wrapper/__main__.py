"""The command ``mcp-wrapper``; also what runs when Python is given this folder or a zip file of it."""

from __future__ import annotations

import os
import sys

if not __package__:
    # Python put this very folder on its path. What belongs there is the folder or zip file that holds the package.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # before imports

from mcp_wrapper import settings
from mcp_wrapper.log import STDERR, Log

USAGE = 2


def main() -> None:
    """Run the command, and end the process with its status."""
    sys.exit(_command(sys.argv[1:]))


def _command(arguments: list[str]) -> int:
    if arguments[:1] == ["install"]:
        from mcp_wrapper import installer  # noqa: PLC0415 - no bridge needs it

        return installer.command(arguments[1:])
    try:
        if arguments[:1] == ["config"]:
            from mcp_wrapper import client_config  # noqa: PLC0415 - no bridge needs it

            _print(client_config.answer(arguments[1:], os.environ))
            return 0
        chosen = settings.read(arguments, os.environ)
    except settings.Answer as answer:
        _print(str(answer))
        return 0
    except settings.UsageError as error:
        Log().note(str(error))
        return USAGE
    from mcp_wrapper import run  # noqa: PLC0415 - a wrong flag is told without loading the rest

    try:
        return run.serve(chosen, Log(tracing=chosen.debug, fd=STDERR))
    except settings.UsageError as error:
        Log().note(str(error))
        return USAGE


def _print(text: str) -> None:
    try:
        os.write(1, text.encode())
    except OSError:
        return


if __name__ == "__main__":
    main()

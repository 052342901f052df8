"""``mcp-operator``: ``run`` works in a cluster until told to stop; ``build`` and ``images`` need Docker and no cluster.

``crds`` prints the definitions of its resources.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from importlib import metadata
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from mcp_operator.commands import arguments, build, images
from mcp_operator.plugin.arguments import add_explain

if TYPE_CHECKING:
    from collections.abc import Sequence


EXIT_USAGE = 2
EXIT_INTERRUPT = 130
EXIT_PIPE = 141
"""Of a program that writes to nobody, as shells have it."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; give the exit code."""
    said = arguments.joined(sys.argv[1:] if words is None else words)
    try:
        given = parser().parse_args(said)
        code = int(given.do(given))
    except MisusedError as error:
        code = _misused(error, said)
    except KeyboardInterrupt:
        code = EXIT_INTERRUPT
    except BrokenPipeError:
        code = EXIT_PIPE
    _said(sys.stderr)  # whom nobody listens to any more has not failed
    return code if _said(sys.stdout) else EXIT_PIPE


def _said(stream: TextIO) -> bool:
    """Tell whether what was written is on its way to a reader. The interpreter would complain at its end if not."""
    try:
        stream.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return False
    return True


class MisusedError(Exception):
    """The words are none of the command line's; ``program`` is as far as they were."""

    def __init__(self, program: str, message: str) -> None:
        super().__init__(message)
        self.program = program


class _Parser(argparse.ArgumentParser):
    """Leaves it to us to say what is wrong. Options are whole words: a new one never changes what an old one meant."""

    def __init__(self, **more: Any) -> None:  # noqa: ANN401 - as the class it is made of
        super().__init__(**{"allow_abbrev": False, **more})

    def error(self, message: str) -> NoReturn:
        """See :class:`argparse.ArgumentParser`."""
        self.print_usage(sys.stderr)
        raise MisusedError(self.prog, message)


def _misused(error: MisusedError, words: Sequence[str]) -> int:
    if words[:1] == ["build"]:
        given = [*words, ""]
        as_json = "--output=json" in given or ("--output", "json") in pairwise(given)
        return build.misused(str(error), as_json=as_json)
    sys.stderr.write(f"{error.program}: error: {error}\n")
    return EXIT_USAGE


def parser() -> argparse.ArgumentParser:
    """Give the parser; what it returns has the command as ``do``."""
    made = _Parser(prog="mcp-operator", description=str(__doc__).partition("\n")[0].replace("``", ""))
    made.add_argument("--version", action="version", version=f"%(prog)s {metadata.version('mcp-operator')}")
    commands = made.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="watch the cluster and do the work; settings come from TOOLMAN_* variables")
    run.add_argument("--health-port", type=int, default=8080, help="where /healthz is answered (default %(default)s)")
    run.set_defaults(do=_run)
    crds = commands.add_parser("crds", help="print the custom resource definitions, for kubectl apply -f -")
    crds.set_defaults(do=_crds)
    explain = commands.add_parser("explain", help="what every layer says of an agent's tools; needs a cluster")
    add_explain(explain)
    explain.set_defaults(do=_explain)
    building = commands.add_parser("build", help="build and verify an image; needs Docker and no cluster")
    arguments.add(building)
    building.set_defaults(do=build.run)
    listing = commands.add_parser("images", help="list the images that builds made, or remove old ones")
    images.add(listing)
    listing.set_defaults(do=images.run)
    return made


def _run(given: argparse.Namespace) -> int:
    # The clients of a cluster take longer to import than an unchanged image takes to be found.
    from mcp_operator import operate  # noqa: PLC0415

    return operate.run(given.health_port)


def _explain(given: argparse.Namespace) -> int:
    from mcp_operator.plugin import command, explaining  # noqa: PLC0415 - as above

    return command.answer("mcp-operator explain", given, explaining.run)


def _crds(_: argparse.Namespace) -> int:
    from mcp_operator import crds  # noqa: PLC0415 - as above

    # JSON is YAML, too
    sys.stdout.write("".join(f"---\n{json.dumps(crds.manifest(kind), indent=2)}\n" for kind in crds.KINDS))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""``mcp-operator``: ``run`` works in a cluster until told to stop; ``build`` and ``images`` need Docker and no cluster.

``crds`` prints the definitions of its resources.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib import metadata
from typing import TYPE_CHECKING

from mcp_operator.commands import arguments, build, images
from mcp_operator.plugin.arguments import add_explain

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; give the exit code."""
    given = parser().parse_args(arguments.joined(sys.argv[1:] if words is None else words))
    return int(given.do(given))


def parser() -> argparse.ArgumentParser:
    """Give the parser; what it returns has the command as ``do``."""
    made = argparse.ArgumentParser(prog="mcp-operator", description=str(__doc__).partition("\n")[0].replace("``", ""))
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

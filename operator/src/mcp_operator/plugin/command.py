"""``kubectl-toolman``, which kubectl finds as ``kubectl toolman``."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from importlib import metadata
from typing import TYPE_CHECKING, Final

from mcp_operator import cluster
from mcp_operator.explain.gather import ExplainError
from mcp_operator.plugin import arguments, explaining, logs, overview, person, suggesting, tools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mcp_operator.plugin.person import Person

EXIT_FAILED: Final = 1
EXIT_INTERRUPTED: Final = 130
VERBS: Final = {
    "explain": (arguments.add_explain, explaining.run, "what every layer says of an agent's tools"),
    "tools": (arguments.add_tools, tools.run, "what an agent sees, and who denies the rest"),
    "status": (arguments.add_status, overview.run, "a namespace on one screen, with what to do"),
    "logs": (arguments.add_logs, logs.run, "what an agent called and what it was denied"),
    "suggest": (arguments.add_suggest, suggesting.run, "the ToolPolicy that an agent's calls needed"),
}


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; give the exit code."""
    given = parser().parse_args(words)
    return answer("kubectl toolman", given, VERBS[given.verb][1])


def parser() -> argparse.ArgumentParser:
    """Give the parser."""
    made = argparse.ArgumentParser(prog="kubectl toolman", description="Daily questions about agents and their tools.")
    made.add_argument("--version", action="version", version=f"%(prog)s {metadata.version('mcp-operator')}")
    verbs = made.add_subparsers(dest="verb", required=True)
    for verb, (add, _, text) in VERBS.items():
        add(verbs.add_parser(verb, help=text, description=f"{text[0].upper()}{text[1:]}."))
    return made


def answer(
    program: str,
    given: argparse.Namespace,
    run: Callable[[argparse.Namespace, Person], str | Iterable[str]],
    connect: Callable[[argparse.Namespace], Person] = person.connect,
) -> int:
    """Print what a verb gives; give the exit code."""
    try:
        found = run(given, connect(given))
        for text in [found] if isinstance(found, str) else found:
            sys.stdout.write(text)
            sys.stdout.flush()
    except (ExplainError, cluster.ClusterError) as error:
        sys.stderr.write(f"{program}: {_advice(error)}\n")
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # a pager that was left
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _advice(error: Exception) -> str:
    if isinstance(error, cluster.ForbiddenError):
        return f"{error}. Ask whoever administers the namespace for this right, or take another --context."
    if isinstance(error, cluster.NotFoundError) and "could not find the requested resource" in str(error):
        return f"{error}: this cluster has no Toolman; install the chart, or take another --context."
    return str(error)

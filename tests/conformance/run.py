"""``python -m conformance.run``: runs the conformance suite against a URL, or against a toolman made for it."""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from conformance import route, suite

if TYPE_CHECKING:
    from collections.abc import Sequence

EPILOG = """\
examples, from the folder tests:
  python -m conformance.run --upstream process                    # toolman, stdio upstream, everything
  python -m conformance.run --upstream http --era legacy --revision 2026-07-28 --show-failures
  python -m conformance.run --upstream process --revision 2026-07-28 --scenario caching
  python -m conformance.run --url http://127.0.0.1:3000/mcp --show-failures
"""


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; give 0 if everything that is scored passed."""
    parser = argparse.ArgumentParser(
        prog="python -m conformance.run",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--url", help="an endpoint that is there already")
    parser.add_argument("--upstream", choices=route.UPSTREAMS, help="how a new toolman reaches a new fixture")
    parser.add_argument("--era", choices=route.ERAS, default="dual", help="which clients the new fixture serves")
    parser.add_argument("--revision", choices=[suite.RELEASE, *suite.REVISIONS, "all"], default="all")
    parser.add_argument("--scenario", help="only this one; prints all that the suite says of it")
    parser.add_argument("--show-failures", action="store_true", help="print the checks that failed or warned")
    parser.add_argument("--logs", type=Path, help="keep toolman's configuration and logs in this new folder")
    chosen = parser.parse_args(arguments)
    if (chosen.url is None) == (chosen.upstream is None):
        parser.error("one of --url and --upstream is needed")
    revisions = [suite.RELEASE, *suite.REVISIONS] if chosen.revision == "all" else [chosen.revision]
    installed = suite.install()
    with ExitStack() as stack:
        url = chosen.url or stack.enter_context(
            route.to_fixture(chosen.upstream, chosen.era, _folder(chosen.logs, stack))
        )
        if chosen.scenario:
            return max(_single(installed, url, revision, chosen.scenario) for revision in revisions)
        return max(_whole(installed, url, revision, show=chosen.show_failures) for revision in revisions)


def _folder(chosen: Path | None, stack: ExitStack) -> Path:
    if chosen is None:
        return Path(stack.enter_context(tempfile.TemporaryDirectory()))
    chosen.mkdir(parents=True)
    return chosen.resolve()


def _single(installed: suite.Suite, url: str, revision: str, scenario: str) -> int:
    outcome = installed.run_server_scenario(url, revision, scenario)
    print(f"== {revision}\n{outcome.output}")
    return int(bool(outcome.failed))


def _whole(installed: suite.Suite, url: str, revision: str, *, show: bool) -> int:
    outcome = installed.run_server(url, revision)
    print(f"{revision}: {outcome.summary()}")
    if outcome.failed:
        print("  failed:", ", ".join(sorted(outcome.failed)))
    if show:
        for scenario, lines in sorted(outcome.failed.items()):
            print(f"  {scenario}", *lines, sep="\n    ")
        print(*(f"  warning {line}" for line in outcome.warnings), sep="\n")
    passed, there_are = outcome.required
    return int(passed < there_are)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

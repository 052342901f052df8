"""The main job, shown: from a git URL to an agent that can call exactly the tools it may call."""

from __future__ import annotations

import argparse
import os
import sys

from lab.errors import LabError

from demo import around, down, install, look, samples
from demo.console import Console, DemoError
from demo.programs import Programs

USAGE = """\
scripts/demo                 install or find everything, run the samples, show what an agent can do and cannot
scripts/demo down [--all]    remove all of it, and end what it started; --all: end the lab whoever
                             started it and remove what was downloaded and compiled
"""


def main() -> int:
    """Run the command line; gives the exit status."""
    parser = argparse.ArgumentParser(
        prog="scripts/demo", usage=USAGE, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", nargs="?", choices=("up", "down"), default="up", help="up is the default")
    parser.add_argument("--all", action="store_true", help="with down: end and remove the whole lab")
    arguments = parser.parse_args()
    console, programs = Console(), Programs({**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    try:
        if arguments.action == "down":
            down.everything(console, programs, purge=arguments.all)
            return 0
        return up(console, programs)
    except (DemoError, LabError) as error:
        if details := getattr(error, "details", ""):
            console.block(details)
        print(f"scripts/demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("scripts/demo: interrupted; run it again to go on, or scripts/demo down to remove it", file=sys.stderr)
        return 130


def up(console: Console, programs: Programs) -> int:
    """Run and show the main job; gives the exit status: 1 when something can be done that must not."""
    install.machine(console, programs)
    references = install.images(console, programs)
    mirror = install.git_mirror(console, programs)
    install.operator(console, programs, install.values(programs, references, mirror))
    samples.apply(console, programs, references["sample-agent"])
    samples.wait(console, programs, references["toolman"])
    agent = look.find(programs)
    look.show(console, programs, agent)
    around.show(console, programs, agent)
    _closing(console, programs, agent.pod)
    return 1 if console.failures else 0


def _closing(console: Console, programs: Programs, pod: str) -> None:
    kubeconfig = programs.environ["KUBECONFIG"]
    failed = f"{len(console.failures)} CHECKS FAILED: {'; '.join(console.failures)}" if console.failures else "all well"
    console.title(f"Done in {console.total()}: {failed}")
    console.line(f"""
Look around:
  eval "$(scripts/lab env)"          # kubectl and helm on PATH
  export KUBECONFIG={kubeconfig}
  kubectl get mcps,mcpa,tpol -A
  kubectl describe -n {samples.NAMESPACE} mcps
  kubectl logs -n {samples.NAMESPACE} {pod} -c agent -f
  kubectl exec -n {samples.NAMESPACE} {pod} -c agent -- agent tools
  kubectl edit -n {samples.NAMESPACE} mcpa      # change tools.allow and see the agent's log
Remove everything:
  scripts/demo down""")


if __name__ == "__main__":
    sys.exit(main())

"""The command line: ``up``, ``down``, ``env``, ``status``."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fcntl
import json
import shutil
import sys
from typing import TYPE_CHECKING, NoReturn

from lab import bases, cluster, commands, engine, kernel, kind, node, packages, programs, progress, registry, settings
from lab.environment import Environment
from lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lab.settings import Settings

PARTS = ("cluster", "registry", "engine")
"""In the order in which they are ended."""


def main(argv: Sequence[str]) -> int:
    """Run one command; give the exit code."""
    options = _parser().parse_args(argv)
    try:
        chosen = settings.from_environment()
        if options.command == "up":
            with _locked(chosen):
                _up(chosen, with_cluster=not options.no_cluster)
        elif options.command == "down":
            with _locked(chosen):
                _down(chosen, options.parts or PARTS, purge=options.purge)
        elif options.command == "env":
            print(_recorded(chosen).exports(str(chosen.programs)))
        else:
            print("\n".join(_running(chosen)))
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted; scripts/lab down ends what was started", file=sys.stderr)
        return 130
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(f"lab: {message} (scripts/lab --help)", file=sys.stderr)
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="scripts/lab", description=sys.modules["lab"].__doc__)
    verbs = parser.add_subparsers(dest="command", required=True, metavar="up|down|env|status")
    up = verbs.add_parser("up", help="use what is there, start what is not")
    up.add_argument("--no-cluster", action="store_true", help="only the engine, the registry and the base images")
    down = verbs.add_parser("down", help="end what up started")
    down.add_argument("parts", nargs="*", metavar="PART", help=f"only these: {', '.join(PARTS)}")
    down.add_argument("--purge", action="store_true", help="remove all data too, and the compiled programs")
    verbs.add_parser("env", help="print export lines for a shell")
    verbs.add_parser("status", help="print the parts that are ours and run, one a line")
    return parser


def _up(chosen: Settings, *, with_cluster: bool) -> None:
    if packages.installable():  # a laptop has git, and skips the few tests that need busybox and root
        packages.ensure(packages.TESTS, "the tests")
    engine.up(chosen)
    use_kind = kind.present() and chosen.kubeconfig is None
    location = registry.up(chosen, container=use_kind)
    images = bases.up(chosen)
    kubeconfig = _up_cluster(chosen, location, use_kind=use_kind, wanted=with_cluster)
    found = Environment(
        registry=location,
        engine_socket=engine.socket(chosen),
        node_address=_node_address(chosen, on_kind=use_kind and bool(kubeconfig)),
        base_python=images["python"],
        base_node=images["node"],
        base_debian=images["debian"],
        kubeconfig=kubeconfig,
        ca_file=str(chosen.ca_file or ""),
    )
    _write(chosen, found)


def _up_cluster(chosen: Settings, location: str, *, use_kind: bool, wanted: bool) -> str:
    """Find or start the cluster; give its kubeconfig. One that runs is told of also when it is not wanted."""
    if chosen.kubeconfig:
        _check_cluster(chosen)
        return str(chosen.kubeconfig)
    if use_kind and (wanted or kind.running()):
        kubeconfig = kind.up(chosen, location)
        programs.up_clients(chosen)
        return str(kubeconfig)
    if not use_kind and (wanted or cluster.running(chosen)):
        return str(cluster.up(chosen, location))
    return ""


def _node_address(chosen: Settings, *, on_kind: bool) -> str:
    if chosen.node_address:
        return chosen.node_address
    return kind.node_address() if on_kind else engine.bridge_address()


def _check_cluster(chosen: Settings) -> None:
    programs.up_clients(chosen)
    kubectl = packages.which("kubectl") or str(chosen.programs / "kubectl")
    if not commands.succeeds(kubectl, "--kubeconfig", str(chosen.kubeconfig), "get", "--raw", "/readyz"):
        raise LabError(f"the cluster of TOOLMAN_KUBECONFIG={chosen.kubeconfig} does not answer: start it or unset it")


def _down(chosen: Settings, parts: Sequence[str], *, purge: bool) -> None:
    unknown = set(parts) - set(PARTS)
    if unknown:
        raise LabError(f"no such part: {', '.join(sorted(unknown))} (there are {', '.join(PARTS)})")
    if "cluster" in parts:
        cluster.down(chosen)
        if engine.answers():
            kind.down(chosen)
    if "registry" in parts:
        registry.down(chosen)
    if purge and engine.answers():
        bases.purge()
        node.remove_pause_image()
    if "engine" in parts:
        engine.down(chosen)
    _forget(chosen, parts)
    if purge:
        _purge(chosen)


def _purge(chosen: Settings) -> None:
    """Remove all data, once nothing uses it."""
    left = _running(chosen)
    if left:
        raise LabError(f"data is kept while {', '.join(left)} run: scripts/lab down --purge without a part ends all")
    still = kernel.mounted_below(chosen.cache)
    if still:
        raise LabError(f"{still[0]} is mounted: umount it, then scripts/lab down --purge again")
    shutil.rmtree(chosen.cache, ignore_errors=True)


def _forget(chosen: Settings, parts: Sequence[str]) -> None:
    """See to it that ``env`` does not tell of what is gone."""
    if "engine" in parts or "registry" in parts:
        chosen.record.unlink(missing_ok=True)
    elif chosen.record.exists() and not chosen.kubeconfig:
        _write(chosen, dataclasses.replace(_recorded(chosen), kubeconfig=""))


def _running(chosen: Settings) -> list[str]:
    """Give the parts that we started and that run."""
    states = {
        "cluster": cluster.running(chosen) or kind.running(),
        "registry": registry.running(chosen),
        "engine": engine.running(chosen),
    }
    return [part for part in PARTS if states[part]]


def _write(chosen: Settings, found: Environment) -> None:
    chosen.record.write_text(json.dumps(dataclasses.asdict(found), indent=1))


def _recorded(chosen: Settings) -> Environment:
    try:
        return Environment(**json.loads(chosen.record.read_text()))
    except (OSError, ValueError, TypeError):
        raise LabError("the lab is not up: run scripts/lab up") from None


@contextlib.contextmanager
def _locked(chosen: Settings) -> Iterator[None]:
    """Let one command at a time change the lab."""
    chosen.cache.mkdir(parents=True, exist_ok=True)
    with (chosen.cache / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.say("another command is changing the lab; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

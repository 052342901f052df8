"""``mcp-operator images``: what builds have left in the engine, and clearing it away."""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mcp_operator import cluster, settings
from mcp_operator.commands.arguments import INSTALLATION
from mcp_operator.images import inventory
from mcp_operator.images.contract import BuildError
from mcp_operator.images.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from mcp_operator.images.inventory import Entry

EXIT_FAILED = 1
KEEP = 3
_SHORT = 12
_COLUMNS = ("REPOSITORY", "TAGS", "ID", "SIZE", "AGE", "SOURCE", "IN USE")
_UNITS = ((86_400, "d"), (3600, "h"), (60, "m"))


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    kinds = parser.add_subparsers(dest="kind", required=True)
    listing = kinds.add_parser("list", help="list the images that builds made")
    pruning = kinds.add_parser("prune", help="remove old images that nothing uses")
    pruning.add_argument(
        "--keep", type=_count, default=KEEP, metavar="N", help="newest of each repository (default %(default)s)"
    )
    pruning.add_argument("--dry-run", action="store_true", help="say what would go, and remove nothing")
    for each in (listing, pruning):
        each.add_argument(
            "--cluster",
            action="store_true",
            help="images of the operator, too; the cluster of the kubeconfig says which are in use",
        )
        each.add_argument("--output", choices=("text", "json"), default="text", help="what stdout gets (%(default)s)")


def run(given: argparse.Namespace) -> int:
    """Do what the options say; give the exit code."""
    as_json = given.output == "json"
    try:
        entries = _entries(given)
    except BuildError as error:
        return _failed(str(error.reason), error.message, error.hint, as_json=as_json)
    except cluster.ClusterError as error:
        hint = "Check the kubeconfig (KUBECONFIG), or leave --cluster out."
        return _failed("ClusterUnavailable", str(error), hint, as_json=as_json)
    if as_json:
        _json({"images": [_document(entry) for entry in entries], "error": None})
    else:
        sys.stdout.write(_table(entries, time.time()))
    return 0


def _entries(given: argparse.Namespace) -> list[Entry]:
    # Without asking the cluster nobody can tell what its Pods need: only what the command line made is touched.
    used, operator = _cluster() if given.cluster else (None, "")
    with Engine() as engine:
        if given.kind == "list":
            return inventory.listed(engine, used)
        # Another cluster's operator may share the engine.
        entries = inventory.listed(engine, used, INSTALLATION)
        if given.cluster:
            entries += inventory.listed(engine, used, operator)
        going = inventory.surplus(entries, given.keep, time.time())
        return going if given.dry_run else inventory.prune(engine, going)


def _failed(reason: str, message: str, hint: str, *, as_json: bool) -> int:
    sys.stderr.write(f"mcp-operator images: {message}\n  {hint}\n")
    if as_json:
        _json({"images": [], "error": {"reason": reason, "message": message, "hint": hint}})
    return EXIT_FAILED


def _json(document: dict[str, object]) -> None:
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")


def _cluster() -> tuple[Callable[[str], bool], str]:
    """Ask the cluster which images its resources name, and which installation its operator is."""
    from mcp_operator import kube  # noqa: PLC0415 - it takes longer to import than everything else

    api = kube.connect()
    references = _references(api)
    return references.__contains__, settings.from_environment(required=()).installation or api.identity()


def _references(api: cluster.Cluster) -> Collection[str]:
    found = set()
    for raw in api.list(cluster.SERVER):
        status = raw.get("status") or {}
        for place in (status.get("image"), (status.get("lastGood") or {}).get("image")):
            if isinstance(place, dict):
                found |= {str(place.get("reference", "")), str(place.get("id", ""))}
    return found - {""}


def _document(entry: Entry) -> dict[str, object]:
    return {
        "repository": entry.repository,
        "tags": list(entry.tags),
        "id": entry.id,
        "size": entry.size,
        "created": datetime.fromtimestamp(entry.created, UTC).isoformat(),
        "source": entry.source,
        "commit": entry.revision,
        "deploymentId": entry.deployment,
        "inUse": entry.in_use,
    }


def _table(entries: Sequence[Entry], now: float) -> str:
    rows = [
        _COLUMNS,
        *(
            (
                entry.repository or "<none>",
                ",".join(entry.tags) or "<none>",
                entry.id.removeprefix("sha256:")[:_SHORT],
                f"{entry.size / 1e6:.0f} MB",
                _age(now - entry.created),
                entry.source,
                "yes" if entry.in_use else "no",
            )
            for entry in entries
        ),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = ("  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines) + "\n"


def _age(seconds: float) -> str:
    for unit, letter in _UNITS:
        if seconds >= unit:
            return f"{int(seconds // unit)}{letter}"
    return f"{max(0, int(seconds))}s"


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return value

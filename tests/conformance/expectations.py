"""Which scenarios are known not to pass, and why: `expected-failures.yaml`, read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

FILE = Path(__file__).parent / "expected-failures.yaml"
KEYS = {"scenarios", "revisions", "upstreams", "eras"}
TEXTS = {"reason", "paragraph"}


@dataclass(frozen=True)
class Run:
    """One run of the suite: which scenarios, and what is behind toolman."""

    revision: str
    upstream: str
    era: str


def load(file: Path = FILE) -> list[dict[str, list[str] | str]]:
    """Read the entries.

    Raises:
        ValueError: One lacks its scenarios, its reason or its paragraph, or has a key that means nothing.
    """
    entries: list[dict[str, list[str] | str]] = yaml.safe_load(file.read_text()) or []
    for entry in entries:
        missing = ({"scenarios"} | TEXTS) - entry.keys()
        unknown = entry.keys() - KEYS - TEXTS
        if missing or unknown:
            raise ValueError(f"{file.name}: {entry.get('scenarios')}: lacks {missing or 'nothing'}, unknown {unknown}")
    return entries


def expected(run: Run, entries: list[dict[str, list[str] | str]]) -> set[str]:
    """Give the scenarios that are known not to pass in a run."""
    names: set[str] = set()
    for entry in entries:
        applies = (
            run.revision in entry.get("revisions", [run.revision])
            and run.upstream in entry.get("upstreams", [run.upstream])
            and run.era in entry.get("eras", [run.era])
        )
        if applies:
            names.update(entry["scenarios"])
    return names

"""Which base image a server is built on: by the versions that it asks for, and by what is in the image."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mcp_operator.images.detect.candidate import GoFacts, ManifestFacts, NodeFacts, PythonFacts
from mcp_operator.images.detect.versions import node_satisfied, satisfied

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcp_operator.images.detect.candidate import Candidate
    from mcp_operator.settings import Settings

_VERSION = re.compile(r":v?(\d+(?:\.\d+)*)(?:[^/]*)\Z")
_ALPINE = re.compile(r":[^/]*alpine[^/]*\Z|(?:\A|/)alpine(?::[^/]*)?\Z")


def alpine(base: str) -> bool:
    """Tell whether a base image is Alpine's, by its tag: another libc, another package manager."""
    return bool(_ALPINE.search(base))


def preference(candidate: Candidate, settings: Settings) -> tuple[str, ...]:
    """Give the base images for a candidate's first stage, the best first: the next one is for when that cannot be had.

    The last one is always the setting's own: what it asks for is a wish for Node, and whether a Python fits is checked
    with the interpreter that really is in the image.
    """
    facts = candidate.facts
    if isinstance(facts, NodeFacts):
        offered = (settings.base_node, *settings.more_bases_node)
        native = bool(facts.rebuild)
        return _choose(offered, lambda version: node_satisfied(facts.engines, version), glibc=native)
    if isinstance(facts, PythonFacts):
        offered = (settings.base_python, *settings.more_bases_python)
        return _choose(offered, lambda version: satisfied(facts.requires, version), glibc=False)
    if isinstance(facts, ManifestFacts):
        own = (settings.base_manifest_python, settings.base_python)
        return own if facts.interpreted else (settings.base_manifest_node, settings.base_node)
    # Go's own image is a large one that few have at hand: Python's can fetch the compiler.
    return (settings.base_go, settings.base_python) if isinstance(facts, GoFacts) else ()


def second(candidate: Candidate, settings: Settings) -> str:
    """Give the other image that a candidate is made of; empty if one is all it needs."""
    facts = candidate.facts
    if isinstance(facts, ManifestFacts):
        return settings.base_node if facts.node and facts.interpreted else ""
    return settings.base_debian if isinstance(facts, GoFacts) else ""


def _choose(offered: tuple[str, ...], fits: Callable[[str], bool], *, glibc: bool) -> tuple[str, ...]:
    fitting = [base for base in offered if fits(_version(base)) and not (glibc and alpine(base))]
    return tuple(dict.fromkeys((*fitting[:1], offered[0])))


def _version(base: str) -> str:
    """Give the version that a tag stands for: ``3.12`` is the newest of 3.12; a tag without numbers is the newest."""
    match = _VERSION.search(base)
    parts = match[1].split(".") if match else []
    return ".".join([*parts, "999", "999", "999"][:3])

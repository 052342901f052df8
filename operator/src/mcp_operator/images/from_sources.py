"""Start a Python project from its sources when what was installed of it lacks files that its repository has.

Its authors start it so (``uv run``, ``pip install -e``), and never see what their wheel leaves out.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from mcp_operator.images.detect.candidate import APP, PythonFacts
from mcp_operator.images.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mcp_operator.images.plan import Plan

WHY = "it is started from its sources: what was installed of it lacks {}"
"""A warning."""
_NO_FILE = re.compile(r"(?i)no such file|not found|does not exist|could not (?:find|load)|FileNotFoundError")
_WORD = re.compile(r"[\w@.+/-]+")
_NO_MODULE = re.compile(r"No module named '([\w.]+)'")


def instead(plan: Plan, said: str) -> tuple[Plan, str] | None:
    """Give the plan that starts the project from its sources, and what was missing; None if that is of no use.

    Args:
        plan: Whose server did not start.
        said: Its last lines.
    """
    facts = plan.candidate.facts
    if plan.checkout.package or not isinstance(facts, PythonFacts):
        return None
    lacking = missing(said, Tree(plan.context).files) if facts.package and not facts.editable else ""
    if not lacking:
        return None
    why = WHY.format(lacking)
    candidate = dataclasses.replace(plan.candidate, facts=dataclasses.replace(facts, editable=True, sources=True))
    other = plan.with_facts(candidate, why)
    return (other, why) if other else None


def missing(said: str, files: Iterable[str]) -> str:
    """Give the file or module that a server missed and that is among these files; empty if there is none. Pure."""
    paths = [PurePosixPath(name) for name in files]
    there = {path.name for path in paths}
    modules = {part for path in paths if path.suffix == ".py" for part in (*path.parts[:-1], path.stem)}
    for line in said.splitlines():
        module = _NO_MODULE.search(line)
        if module and module[1].partition(".")[0] in modules:
            return f"the module {module[1]}"
        for word in _WORD.findall(line) if _NO_FILE.search(line) else ():
            elsewhere = word.startswith("/") and not word.startswith(f"{APP}/")
            name = PurePosixPath(word.rstrip(".")).name
            if name in there and not elsewhere:
                return name
    return ""

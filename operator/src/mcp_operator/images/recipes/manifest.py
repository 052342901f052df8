"""From a ``manifest.json`` with a list of packages to the steps that install them beside the server's files."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from mcp_operator.images.detect.candidate import APP
from mcp_operator.images.detect.python_start import VENV
from mcp_operator.images.recipes import compilers, node, python
from mcp_operator.images.recipes.recipe import NEWEST, Copy, Recipe, Run, Stage

if TYPE_CHECKING:
    from datetime import datetime

    from mcp_operator.images.detect.candidate import Candidate, ManifestFacts

TSX = "tsx@4.20.6"
"""Runs TypeScript as it is; for manifests that do not name it themselves."""
_NODE_PROGRAM = "/usr/local/bin/node"


def recipe(candidate: Candidate, facts: ManifestFacts, base: str, second: str, committed: datetime) -> Recipe:
    """Give the recipe.

    Args:
        candidate: What was detected.
        facts: The same, for this form.
        base: Of the language, or of Python where there are both.
        second: Image whose Node a server in both languages gets; with the same C library as ``base``.
        committed: Nothing published later is installed.
    """
    both = facts.node and facts.interpreted
    stages = (
        *([_node(facts, second if both else base, committed, both=both)] if facts.node else []),
        *([_python(facts, base, committed)] if facts.interpreted else []),
    )
    stages = tuple(dataclasses.replace(stage, packages=candidate.build_packages) for stage in stages)
    env = node.RUNTIME_ENV if facts.node else {}
    return Recipe(
        language=candidate.runtime,
        stages=stages,
        base=base,
        system_packages=compilers.without(candidate.system_packages),
        env={**env, **(python.RUNTIME_ENV if facts.interpreted else {})},
        working_dir=APP,
        command=candidate.command,
    )


def _files(facts: ManifestFacts) -> tuple[Copy | Run, ...]:
    if not facts.config:
        return (Copy(),)
    # Where MCP_CONFIG_PATH says, so that a volume can take its place.
    return Copy(), Run(("mkdir", "-p", "config")), Run(("cp", "config.yaml", "config/config.yaml"))


def _node(facts: ManifestFacts, base: str, committed: datetime, *, both: bool) -> Stage:
    named = any(name == "tsx" or name.startswith("tsx@") for name in facts.npm)
    wanted = (*facts.npm, *((TSX,) if facts.typescript and not named else ()))
    install = ("npm", "install", "--no-save", "--no-package-lock", *wanted)
    limited = (*install, f"--before={committed:%Y-%m-%dT%H:%M:%SZ}")
    steps: tuple[Copy | Run, ...] = (
        (Run(limited, otherwise=(compilers.first(limited, base), Run(install, why=(NEWEST,)))),)
        if wanted
        else (Run(("mkdir", "-p", "node_modules")),)
    )
    return Stage(
        name="node" if both else "builder",
        base=base,
        env=node.BUILDER_ENV,
        steps=steps if both else (*steps, *_files(facts)),
        keep=("node_modules", _NODE_PROGRAM) if both else (".",),
    )


def _python(facts: ManifestFacts, base: str, committed: datetime) -> Stage:
    install = ("uv", "pip", "install", "--python", VENV)
    limited = (*install, "--exclude-newer", f"{committed:%Y-%m-%dT%H:%M:%SZ}", *facts.python)
    steps = [Run(("uv", "venv", "--quiet", "--python", "python3", VENV))]
    if facts.python:
        newest = Run((*install, *facts.python), why=(NEWEST,))
        steps.append(Run(limited, otherwise=(compilers.first(limited, base), newest)))
    return Stage(
        base=base,
        tools=(python.INSTALL_UV,),
        env=python.BUILDER_ENV,
        steps=(*steps, *_files(facts)),
    )

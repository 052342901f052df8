"""How a detected project becomes an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.detect.candidate import DockerfileFacts, GoFacts, ManifestFacts, NodeFacts
from mcp_operator.images.detect.versions import satisfied
from mcp_operator.images.reasons import Reason
from mcp_operator.images.recipes import golang, manifest, node, python

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Protocol

    from mcp_operator.images.detect.candidate import Candidate
    from mcp_operator.images.recipes.recipe import Recipe

    class Interpreter(Protocol):
        """The interpreter of a base image."""

        @property
        def path(self) -> str:
            """Where it is; empty if there is none."""

        @property
        def version(self) -> str:
            """Digits and dots."""


def recipe(
    candidate: Candidate,
    base: str,
    interpreter: Interpreter,
    committed: datetime,
    *,
    final: str = "",
) -> Recipe:
    """Give the recipe of a candidate.

    Args:
        candidate: What was detected.
        base: Image in which it is built; see :func:`mcp_operator.images.recipes.bases.preference`.
        interpreter: Of that image, for Python.
        committed: When the source was written: where nothing is locked, nothing newer is installed.
        final: The other image that it is made of; see :func:`mcp_operator.images.recipes.bases.second`.

    Raises:
        BuildError: ``RuntimeVersion``: the project refuses the base image's Python.
        TypeError: It has a Dockerfile of its own, so there is nothing to decide.
    """
    facts = candidate.facts
    if isinstance(facts, NodeFacts):
        # engines.node is not enforced by npm either: servers that ask for more than they need are common.
        return node.recipe(candidate, facts, base)
    if isinstance(facts, GoFacts):
        return golang.recipe(candidate, facts, base, final)
    if isinstance(facts, ManifestFacts):
        return manifest.recipe(candidate, facts, base, final, committed)
    if isinstance(facts, DockerfileFacts):
        raise TypeError(f"{facts.file} says itself how it is built")
    if not satisfied(facts.requires, interpreter.version):
        raise BuildError(
            Reason.RUNTIME_VERSION,
            f"it requires Python {facts.requires}, and the base image {base} has {interpreter.version}",
            step=Step.DETECT,
            hint="An admin chooses another base image with TOOLMAN_BASE_PYTHON.",
        )
    return python.recipe(candidate, facts, base, interpreter.path, committed)

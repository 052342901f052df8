"""From what was detected of a Go module to the steps that compile one static program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_operator.images.detect.candidate import APP
from mcp_operator.images.detect.golang import PROGRAM
from mcp_operator.images.recipes.recipe import Copy, Recipe, Run, Stage

if TYPE_CHECKING:
    from mcp_operator.images.detect.candidate import Candidate, GoFacts

_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
"""Small images have none, and almost every server calls something over https."""


def recipe(candidate: Candidate, facts: GoFacts, base: str, final: str) -> Recipe:
    """Give the recipe.

    Args:
        candidate: What was detected.
        facts: The same, for Go.
        base: Image with the compiler.
        final: Image in which the program runs.
    """
    build = ("go", "build", "-trimpath", "-ldflags=-s -w", "-o", f"{APP}/{PROGRAM}", facts.package)
    download: tuple[Copy | Run, ...] = ()
    if facts.manifests:
        download = (Copy(facts.manifests), Run(("go", "mod", "download"), candidate.inner))
    stage = Stage(
        base=base,
        env={
            # A module may ask for a newer Go than the image has: it is a module like any other.
            "GOTOOLCHAIN": "auto",
            "GOFLAGS": "-buildvcs=false",
            "CGO_ENABLED": "1" if facts.cgo else "0",
        },
        steps=(*download, Copy(), Run(build, candidate.inner)),
        keep=(PROGRAM, _CERTIFICATES),
    )
    return Recipe(
        language="go",
        stages=(stage,),
        base=final,
        system_packages=candidate.system_packages,
        working_dir=APP,
        command=candidate.command,
    )

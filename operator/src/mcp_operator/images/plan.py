"""Fetch a source and decide what would be built: enough to show it and stop. Nothing of the source is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcp_operator import names
from mcp_operator.images import cleanup, dockerfile, git, recipes, redact, sandbox
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.detect import detect
from mcp_operator.images.reasons import Reason
from mcp_operator.images.tree import Tree, check, folder_of

if TYPE_CHECKING:
    from pathlib import Path

    from mcp_operator.images.budget import Budget
    from mcp_operator.images.contract import BuildRequest, Progress
    from mcp_operator.images.detect.candidate import Candidate
    from mcp_operator.images.engine import Engine
    from mcp_operator.images.git import Checkout
    from mcp_operator.settings import Settings

_OCI = "org.opencontainers.image"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What will be built, from what, how."""

    checkout: Checkout
    candidate: Candidate
    base: str
    dockerfile: str

    @property
    def evidence(self) -> tuple[str, ...]:
        """What was seen, a line each."""
        return (*self.candidate.evidence, *self.checkout.warnings, f"base image {self.base}")

    @property
    def context(self) -> Path:
        """Folder whose files go into the build."""
        return self.checkout.root / self.candidate.root


def make(
    request: BuildRequest,
    settings: Settings,
    folder: Path,
    engine: Engine,
    progress: Progress,
    budget: Budget,
) -> Plan:
    """Make the plan of a request; its source is in ``folder``, which must not exist yet, afterwards.

    Raises:
        BuildError: Of the steps Fetch and Detect, or there is no base image.
        BuildCancelled: The budget says so.
    """
    checkout, candidate = read(request, settings, folder, progress, budget)
    base = settings.base_node if candidate.runtime == "node" else settings.base_python
    progress.step(Step.DETECT, f"looking at the base image {base}")
    engine.base(base, budget)
    interpreter = sandbox.Interpreter(path="", version="0")
    if candidate.runtime == "python":
        part = budget.at_most(sandbox.PROBE_SECONDS)
        interpreter = sandbox.python(engine, base, cleanup.owner(request), part)
    text = dockerfile.render(
        recipes.recipe(candidate, base, interpreter, checkout.committed),
        owner=cleanup.owner(request),
        labels=_labels(request, checkout),
        ca=bool(settings.build_ca_file),
    )
    return Plan(checkout=checkout, candidate=candidate, base=base, dockerfile=text)


def read(
    request: BuildRequest,
    settings: Settings,
    folder: Path,
    progress: Progress,
    budget: Budget,
) -> tuple[Checkout, Candidate]:
    """Fetch the source and decide what to build. Needs no engine.

    Raises:
        BuildError: Of the steps Fetch and Detect.
        BuildCancelled: The budget says so.
    """
    progress.step(Step.FETCH, redact.line(request.source.url))
    path = folder_of(request.source.path)
    folder.mkdir()
    checkout = git.clone(request.source, settings, folder, budget)
    check(checkout.root)
    tree = Tree(checkout.root)
    if not tree.is_folder(path):
        raise BuildError(
            Reason.PATH_NOT_FOUND,
            f"the repository has no folder {path}",
            step=Step.FETCH,
            hint="Check spec.source.git.path: it is relative to the repository's root.",
        )
    progress.step(Step.DETECT, f"commit {checkout.commit}")
    candidate = detect(tree, path, request.runtime, request.command)
    for line in candidate.evidence:
        progress.log(redact.line(line))
    return checkout, candidate


def _labels(request: BuildRequest, checkout: Checkout) -> dict[str, str]:
    return {
        f"{_OCI}.source": redact.line(request.source.url),
        f"{_OCI}.revision": checkout.commit,
        names.LABEL_DEPLOYMENT: request.deployment_id,
    }

"""Fetch a source and decide what would be built: enough to show it and stop. Nothing of the source is run."""

from __future__ import annotations

import dataclasses
import functools
import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from mcp_operator import names
from mcp_operator.images import cleanup, dockerfile, recipes, redact, sandbox, sources, stages
from mcp_operator.images.contract import BuildError, GitSource, NpmSource, PypiSource, Step
from mcp_operator.images.detect import detect
from mcp_operator.images.detect.candidate import DockerfileFacts, PythonFacts, join
from mcp_operator.images.engine_wire import PULLS
from mcp_operator.images.reasons import Reason
from mcp_operator.images.recipes import bases
from mcp_operator.images.tree import ManifestError, Tree, folder_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from mcp_operator.images.budget import Budget
    from mcp_operator.images.checkout import Checkout
    from mcp_operator.images.contract import BuildRequest, Progress
    from mcp_operator.images.detect.candidate import Candidate
    from mcp_operator.images.engine import Engine
    from mcp_operator.images.recipes.recipe import Recipe, Run
    from mcp_operator.images.sandbox import Interpreter
    from mcp_operator.images.stages import Pin
    from mcp_operator.settings import Settings

_OCI = "org.opencontainers.image"
_UNUSED_PACKAGES = (
    "spec.build.systemPackages has no effect: the Dockerfile is the repository's own, which has to install them"
)
_VERSION = re.compile(r"v?\d[\w.+-]{0,60}\Z", re.ASCII)


def _nothing(_: Recipe) -> str:
    return ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What will be built, from what, how.

    Attributes:
        checkout: The source.
        candidate: What was detected in it.
        dockerfile: Text of ``Dockerfile.mcp``.
        bases: Images that it starts from, by name, with their IDs, which are empty where they are not known (in a
            preview); none where a Dockerfile of the repository's own does not say so plainly.
        version: Of the project; empty if it has none.
        recipe: What the text was written from; None where the Dockerfile is the repository's own.
        render: Writes it.
        doubt: Why a step failed whose work was left out: the cause if the server does not start.
        again: Gives the recipe for the same project with other facts.
    """

    checkout: Checkout
    candidate: Candidate
    dockerfile: str
    bases: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
    recipe: Recipe | None = None
    render: Callable[[Recipe], str] = _nothing
    doubt: BuildError | None = None
    again: Callable[[Candidate], Recipe] | None = None

    @property
    def evidence(self) -> tuple[str, ...]:
        """What was seen, a line each."""
        return (*self.candidate.evidence, *(f"base image {base}" for base in self.bases))

    @property
    def context(self) -> Path:
        """Folder whose files go into the build."""
        return self.checkout.root / self.candidate.root

    def command_at(self, number: int) -> Run | None:
        """Give what a step of the Dockerfile does; None if nothing of the project is run in it."""
        return dockerfile.command_at(self.recipe, self.dockerfile, number) if self.recipe else None

    def with_facts(self, candidate: Candidate, why: str) -> Plan | None:
        """Give the plan for the same project with other facts, and why; None if it is not ours to change."""
        if not self.again:
            return None
        candidate = dataclasses.replace(candidate, evidence=(*candidate.evidence, why))
        recipe = self.again(candidate)
        return dataclasses.replace(self, candidate=candidate, recipe=recipe, dockerfile=self.render(recipe))

    def with_instead(self, failed: Run, other: Run) -> Plan:
        """Give the plan with another command in the place of one that failed."""
        if not self.recipe:
            return self
        recipe = self.recipe.with_instead(failed, other)
        return dataclasses.replace(self, recipe=recipe, dockerfile=self.render(recipe))


class Bases(Protocol):
    """Whom a plan asks about base images."""

    def find(self, name: str, *, replaceable: bool = False) -> str:
        """Give the ID of an image; empty if it cannot be told.

        Args:
            name: Of the image.
            replaceable: Another one will do: nobody waits for a registry that is not reached at once.

        Raises:
            BuildError: It cannot be had (``BaseImageUnavailable``), or there is no engine.
            BuildCancelled: The build is not wanted any more.
        """

    def pin(self, name: str) -> Pin:
        """Find an image that a stranger named.

        Raises:
            BuildError: It cannot be had, or not be used; or there is no engine.
            BuildCancelled: The build is not wanted any more.
        """

    def python(self, name: str) -> Interpreter:
        """Give the Python in an image that was found."""


def make(
    request: BuildRequest,
    settings: Settings,
    folder: Path,
    found: Bases,
    progress: Progress,
    budget: Budget,
) -> Plan:
    """Make the plan of a request; its source is in ``folder``, which must not exist yet, afterwards.

    Raises:
        BuildError: Of the steps Fetch and Detect, or there is no base image.
        BuildCancelled: The budget says so.
    """
    checkout, candidate = read(request, settings, folder, progress, budget)
    version = _version(checkout, candidate, request)
    labels = _labels(request, checkout, version)
    chosen = _Chosen(settings, found, progress)
    owner = cleanup.owner(request)
    recipe: Recipe | None = None
    render: Callable[[Recipe], str] = _nothing
    if isinstance(candidate.facts, DockerfileFacts):
        lines = stages.read(candidate.facts.text, request.build_args)
        text = dockerfile.render_own(
            lines,
            chosen.pinned(stages.images(lines)),
            owner=owner,
            labels=labels,
            working_dir=candidate.facts.working_dir,
            command=candidate.command,
        )
    else:
        recipe = chosen.recipe(candidate, checkout)
        render = functools.partial(
            dockerfile.render, owner=owner, labels=labels, ca=bool(settings.build_ca_file), hints=candidate.hints
        )
        text = render(recipe)
    return Plan(
        checkout=checkout,
        candidate=candidate,
        dockerfile=text,
        bases=chosen.ids,
        version=version,
        recipe=recipe,
        render=render,
        again=functools.partial(chosen.recipe, checkout=checkout),
    )


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
    progress.step(Step.FETCH, sources.describe(request.source))
    path = folder_of(sources.path(request.source))
    folder.mkdir()
    checkout = sources.fetch(request.source, settings, folder, budget, request.command)
    progress.step(Step.DETECT, f"commit {checkout.commit}" if checkout.commit else "the folder as it is")
    for line in checkout.warnings:
        progress.log(redact.line(line))
    candidate = checkout.package or _detect(request, checkout, path)
    if request.system_packages and isinstance(candidate.facts, DockerfileFacts):
        progress.log(_UNUSED_PACKAGES)
        checkout = dataclasses.replace(checkout, warnings=(*checkout.warnings, _UNUSED_PACKAGES))
    elif request.system_packages:
        wanted = dict.fromkeys((*candidate.system_packages, *request.system_packages))
        named = request.system_packages
        candidate = dataclasses.replace(candidate, system_packages=tuple(wanted), build_packages=named)
    for line in candidate.evidence:
        progress.log(redact.line(line))
    return checkout, candidate


def _detect(request: BuildRequest, checkout: Checkout, path: str) -> Candidate:
    tree = Tree(checkout.root)
    if not tree.is_folder(path):
        raise BuildError(
            Reason.PATH_NOT_FOUND,
            f"the repository has no folder {path}",
            step=Step.FETCH,
            hint="Check spec.source.git.path: it is relative to the repository's root.",
        )
    return detect(tree, path, request.runtime, request.command, request.dockerfile)


class Pulled:
    """Base images of the engine, which pulls those that it has not."""

    def __init__(self, engine: Engine, owner: Mapping[str, str], progress: Progress, budget: Budget) -> None:
        self._engine = engine
        self._owner = owner
        self._progress = progress
        self._budget = budget

    def find(self, name: str, *, replaceable: bool = False) -> str:
        """See :class:`Bases`."""
        self._progress.step(Step.DETECT, f"looking at the base image {name}")
        image = self._engine.base(name, self._budget, self._progress.log, tries=1 if replaceable else PULLS)
        if names.LABEL_UID in image.labels:
            raise BuildError(
                Reason.BASE_IMAGE_UNAVAILABLE,
                f"{name} means an image in Docker's store that a build of a server made",
                step=Step.DETECT,
                hint=f"Find out who gave it this name; `docker rmi {name}` and `docker pull {name}` give it back.",
            )
        return image.id

    def pin(self, name: str) -> Pin:
        """See :class:`Bases`."""
        self._progress.step(Step.DETECT, f"looking at the image {name}")
        try:
            image = self._engine.base(name, self._budget, self._progress.log, anonymous=True)
        except BuildError as error:
            raise stages.unavailable(error) from error
        return stages.pinned(name, image, self._owner[names.LABEL_UID])

    def python(self, name: str) -> Interpreter:
        """See :class:`Bases`."""
        return sandbox.python(self._engine, name, self._owner, self._budget.at_most(sandbox.PROBE_SECONDS))


class _Chosen:
    """Chooses the images that a build starts from, and remembers which they were."""

    def __init__(self, settings: Settings, found: Bases, progress: Progress) -> None:
        self._settings = settings
        self._found = found
        self._progress = progress
        self.ids: dict[str, str] = {}

    def pinned(self, images: Iterable[str]) -> dict[str, Pin]:
        """Take those that a Dockerfile of the repository's own names."""
        pins = {name: self._found.pin(name) for name in images}
        self.ids |= {name: pin.id for name, pin in pins.items()}
        return pins

    def recipe(self, candidate: Candidate, checkout: Checkout) -> Recipe:
        """Give the recipe for the first base image that can be had."""
        # A Python that does not fit ends the build; with the other languages it is a wish.
        replaceable = not isinstance(candidate.facts, PythonFacts)
        base = self._first(bases.preference(candidate, self._settings), replaceable=replaceable)
        second = bases.second(candidate, self._settings)
        final = self._have(second) if second else ""
        interpreter = sandbox.Interpreter(path="", version="0")
        if isinstance(candidate.facts, PythonFacts):
            interpreter = self._found.python(base)
        return recipes.recipe(candidate, base, interpreter, checkout.committed, final=final)

    def _first(self, choices: tuple[str, ...], *, replaceable: bool) -> str:
        *better, last = choices
        for base in better:
            try:
                return self._have(base, replaceable=replaceable)
            except BuildError as error:
                if error.reason != Reason.BASE_IMAGE_UNAVAILABLE:
                    raise
                self._progress.log(redact.line(f"{error.message}; {last} is used instead"))
        return self._have(last)

    def _have(self, base: str, *, replaceable: bool = False) -> str:
        self.ids[base] = self._found.find(base, replaceable=replaceable)
        return base


def _labels(request: BuildRequest, checkout: Checkout, version: str) -> dict[str, str]:
    # The time of the source, not of the build: the same input gives the same image.
    created = checkout.committed if checkout.commit else checkout.committed - timedelta(days=1)
    labels = {
        f"{_OCI}.source": sources.describe(request.source),
        f"{_OCI}.revision": checkout.commit,
        f"{_OCI}.version": version,
        f"{_OCI}.created": f"{created:%Y-%m-%dT%H:%M:%SZ}",
        names.LABEL_DEPLOYMENT: request.deployment_id,
    }
    return {name: value for name, value in labels.items() if value}


def _version(checkout: Checkout, candidate: Candidate, request: BuildRequest) -> str:
    """Give the project's version: of its manifest, else the git tag that was asked for."""
    source = request.source
    if isinstance(source, NpmSource | PypiSource):
        return checkout.commit
    said = _manifest_version(Tree(checkout.root), candidate.folder)
    tag = source.tag if isinstance(source, GitSource) else None
    found = next((text for text in (said, tag or "") if _VERSION.match(text)), "")
    return found.removeprefix("v")


def _manifest_version(tree: Tree, folder: str) -> str:
    try:
        settings = tree.toml(join(folder, "pyproject.toml"))
        tables = (tree.json(join(folder, "package.json")), settings.get("project"), settings.get("tool"))
    except ManifestError:
        return ""
    poetry = tables[2].get("poetry") if isinstance(tables[2], dict) else None
    for table in (*tables[:2], poetry):
        if isinstance(table, dict) and isinstance(table.get("version"), str):
            return str(table["version"])
    return ""

"""Say what a request would build and where it would go, without building, pulling or pushing anything."""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcp_operator import names
from mcp_operator.images import cleanup, pipeline, plan, publish, push, sandbox, stages, tags
from mcp_operator.images.budget import Budget
from mcp_operator.images.contract import BuildError
from mcp_operator.images.engine import Engine
from mcp_operator.images.reasons import Reason
from mcp_operator.images.sandbox import Interpreter

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from mcp_operator.images.contract import BuildRequest, Progress
    from mcp_operator.images.plan import Plan
    from mcp_operator.images.registry_http import Access
    from mcp_operator.images.stages import Pin
    from mcp_operator.settings import Settings

_VERSION = re.compile(r":v?(\d+(?:\.\d+)+)")
_ABSENT = frozenset({Reason.ENGINE_UNAVAILABLE, Reason.ENGINE_PERMISSION, Reason.ENGINE_TOO_OLD})


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What would happen.

    Attributes:
        commit: What would be built.
        dockerfile: Text of ``Dockerfile.mcp``.
        language: What was detected.
        command: What would start.
        evidence: Why, a line each.
        tags: The image's names.
        pushes: What would be pushed where, one for each repository; none if nothing would be.
        reused: Nothing would have to be built.
        warnings: Of the source, the tags, and what cannot be told without building.
    """

    commit: str
    dockerfile: str
    language: str
    command: tuple[str, ...]
    evidence: tuple[str, ...]
    tags: tuple[str, ...]
    pushes: tuple[push.Plan, ...]
    reused: bool
    warnings: tuple[str, ...]


def preview(request: BuildRequest, settings: Settings, progress: Progress, cancelled: threading.Event) -> Preview:
    """Fetch and detect; nothing of the source is run, nothing is left behind. There need be no engine.

    Raises:
        BuildError: Of the steps Fetch and Detect, or of the registry that would be pushed to.
        BuildCancelled: ``cancelled`` was set.
    """
    publish.check(request)
    if publish.several(request):
        publish.check_platforms(request)
    budget = Budget(request.timeout, cancelled)
    with contextlib.ExitStack() as held:
        folder = held.enter_context(cleanup.folder(request.uid, request.installation))
        engine, trouble = _engine(held)
        found = Here(engine, cleanup.owner(request), budget)
        made = plan.make(request, settings, folder / "source", found, progress, budget)
        key = pipeline.key_of(request, made, settings)
        access = pipeline.access(settings)
        given, warnings = _names(request, made, key)
        reused = False
        if engine and made.bases and all(made.bases.values()):
            peers = publish.Peers(engine=engine, access=access, progress=progress, cancelled=cancelled)
            reused = publish.Publisher(request, made, key, peers).find() is not None
        return Preview(
            commit=made.checkout.commit,
            dockerfile=made.dockerfile,
            language=made.candidate.runtime,
            command=made.candidate.command,
            evidence=made.evidence,
            tags=tuple(map(str, given)),
            pushes=_pushes(request, given, access),
            reused=reused,
            warnings=(*made.checkout.warnings, *trouble, *warnings),
        )


class Here:
    """Base images as far as the engine has them already. For the others, what their names promise."""

    def __init__(self, engine: Engine | None, owner: Mapping[str, str], budget: Budget) -> None:
        self._engine = engine
        self._owner = owner
        self._budget = budget

    def find(self, name: str, *, replaceable: bool = False) -> str:
        """See :class:`~mcp_operator.images.plan.Bases`."""
        del replaceable
        image = self._engine.image(name) if self._engine else None
        return image.id if image else ""

    def pin(self, name: str) -> Pin:
        """See :class:`~mcp_operator.images.plan.Bases`."""
        image = self._engine.image(name) if self._engine else None
        return stages.pinned(name, image, self._owner[names.LABEL_UID]) if image else stages.Pin(id="", name=name)

    def python(self, name: str) -> Interpreter:
        """See :class:`~mcp_operator.images.plan.Bases`."""
        if self._engine and self._engine.image(name):
            return sandbox.python(self._engine, name, self._owner, self._budget.at_most(sandbox.PROBE_SECONDS))
        match = _VERSION.search(name)
        # Where the official images have it.
        return Interpreter(path="/usr/local/bin/python3", version=match[1] if match else "3.999")


def _engine(held: contextlib.ExitStack) -> tuple[Engine | None, tuple[str, ...]]:
    """Give the engine, or why there is none."""
    try:
        return held.enter_context(Engine()), ()
    except BuildError as error:
        if error.reason not in _ABSENT:
            raise
        return None, (f"{error.message}, so this is what would be done without knowing what it has. {error.hint}",)


def _names(request: BuildRequest, made: Plan, key: str) -> tuple[tuple[tags.Name, ...], tuple[str, ...]]:
    """Give the names that the image would have, and warnings of what cannot be told."""
    given, warnings = tags.names(request.tags, request.repository, publish.facts(request, made, time.time()))
    absent = [name for name, image in made.bases.items() if not image]
    if not absent:
        return tuple(dict.fromkeys((publish.first(request, made, key), *given))), warnings
    pulled = f"{' and '.join(absent)} would be pulled first; the tag that names all of the input depends on it"
    return given, (*warnings, pulled)


def _pushes(request: BuildRequest, given: tuple[tags.Name, ...], access: Access) -> tuple[push.Plan, ...]:
    if not request.push:
        return ()
    targets = (
        push.Target(
            repository=repository,
            tags=tuple(name.tag for name in given if name.repository == repository),
            auth=request.auth,
            access=access,
        )
        for repository in dict.fromkeys(name.repository for name in given)
    )
    return tuple(push.plan(None, target) for target in targets)

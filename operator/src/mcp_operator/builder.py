"""The builder as the operator uses it: bound to its settings, never waiting where a reconciliation would wait, too."""

from __future__ import annotations

import dataclasses
import logging
import threading
from typing import TYPE_CHECKING

from mcp_operator import conditions, remote
from mcp_operator.images import cleanup, existing, git, npm, pipeline, pypi, sources
from mcp_operator.images.budget import Budget
from mcp_operator.images.contract import BuildCancelled, BuildError, GitSource, NpmSource, Step
from mcp_operator.images.engine import Engine
from mcp_operator.images.existing import ImageRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from mcp_operator.images.contract import BuildResult, Progress, PypiSource, RegistryAuth
    from mcp_operator.images.http_probe import Found
    from mcp_operator.jobs import Request
    from mcp_operator.remote import Target
    from mcp_operator.settings import Settings

BASES_INTERVAL = 600.0
"""Seconds between looks at the base images: another one of the same name means building on it."""
BASES_RETRY = 10.0
"""Seconds until an engine that could not be asked for them is asked again."""
FIRST_LOOK = 5.0
"""Seconds that the start waits for base images that need not be pulled: servers that failed stay as they are shown."""
LOOK_UP_SECONDS = 20.0
"""For a package registry or an image registry to say what is newest: one round trip, or a few."""
STOP_TIMEOUT = 5.0
"""Seconds for such a look to notice that it is over."""

logger = logging.getLogger(__name__)


class ImageBuilder:
    """Builds with :mod:`mcp_operator.images`, and knows the base images without asking for each key.

    Looking at base images can mean pulling them, which takes minutes; that happens in a thread of its own.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bases: Mapping[str, str] | None = None
        self._trouble: BuildError | None = None
        self._stop = threading.Event()
        self._looked = threading.Event()
        self._watcher: threading.Thread | None = None

    def start(self, changed: Callable[[], None]) -> None:
        """Look at the base images from now on; ``changed`` is called when they are known or others than before."""
        self._watcher = threading.Thread(target=self._watch, args=(changed,), name="base-images", daemon=True)
        self._watcher.start()
        self._looked.wait(FIRST_LOOK)

    def close(self) -> None:
        """Stop looking at the base images."""
        self._stop.set()
        if self._watcher is not None:
            self._watcher.join(STOP_TIMEOUT)

    def resolve(self, source: GitSource | NpmSource | PypiSource) -> str:
        """Give the commit or version that a source means now; see :mod:`mcp_operator.images`."""
        if isinstance(source, GitSource):
            return git.resolve(source, self._settings, self._stop)
        budget = Budget(LOOK_UP_SECONDS, self._stop)
        if isinstance(source, NpmSource):
            return npm.resolve(source, self._settings, budget)
        return pypi.resolve(source, self._settings, budget)

    def tags(self, source: GitSource) -> Mapping[str, str]:
        """Give the tags of a repository; see :func:`mcp_operator.images.git.tags`."""
        return git.tags(source, self._settings, self._stop)

    def digest(self, name: str, auth: RegistryAuth | None) -> str | None:
        """Give the digest behind an image's name; see :func:`mcp_operator.images.existing.digest`."""
        return existing.digest(name, auth, self._settings, Budget(LOOK_UP_SECONDS, self._stop))

    def greet(self, target: Target) -> Found:
        """Shake hands with a remote server; see :func:`mcp_operator.remote.greet`."""
        return remote.greet(dataclasses.replace(target, networks=self._settings.cluster_networks), self._stop)

    def key(self, request: Request, used: Mapping[str, str] | None = None, *, now: bool = True) -> str:
        """Hash what the build of a request, its commit given, depends on.

        Args:
            request: What to build.
            used: Base images of its last build, names and IDs: another one of these means building again, others do
                not. Without, nobody knows which of the usual ones it will be.
            now: With these base images as they are now, else as they were.

        Raises:
            BuildError: The base images are not known (yet).
        """
        if isinstance(request, ImageRequest):
            return existing.key(request)
        bases = self._bases
        if bases is None:
            raise self._trouble or BuildError(
                conditions.LOOKING_AT_BASE_IMAGES,
                "the base images are being looked at, or pulled",
                step=Step.BUILD,
                transient=True,
            )
        before = used or dict.fromkeys(self._settings.usual_bases, "")
        counted = {name: bases.get(name, image) for name, image in before.items()} if now else before
        # An admin who names others wants all servers to be looked at.
        chosen = dict.fromkeys((*self._settings.usual_bases, *self._settings.seldom_bases), "")
        return pipeline.key(request, sources.pinned(request.source), {**chosen, **counted})

    def build(self, request: Request, progress: Progress, cancelled: threading.Event) -> BuildResult:
        """Build, verify and push, or try out; see :mod:`mcp_operator.images.pipeline` and ``existing``."""
        if isinstance(request, ImageRequest):
            return existing.examine(request, self._settings, progress, cancelled)
        return pipeline.build(request, self._settings, progress, cancelled)

    def forget(self, uid: str) -> None:
        """Remove what was made for an MCPServer that is gone.

        Raises:
            BuildError: The engine cannot be reached.
        """
        cleanup.forget(uid)

    def sweep(self, alive: Collection[str]) -> None:
        """Remove what an operator that ended without tidying up has left. Only while no build runs.

        Args:
            alive: UIDs of the MCPServers that there are; their images stay.

        Raises:
            BuildError: The engine cannot be reached.
        """
        cleanup.sweep(alive, self._settings.installation)
        with Engine() as engine:
            cleanup.leftovers(engine, alive, self._settings.installation)

    def _watch(self, changed: Callable[[], None]) -> None:
        delay = 0.0
        while not self._stop.wait(delay):
            try:
                found = pipeline.bases(self._settings, self._stop)
            except BuildCancelled:
                return
            except BuildError as error:
                if self._trouble is None:
                    logger.warning("base images: %s %s", error.message, error.hint)
                self._trouble = error
                self._looked.set()
                delay = BASES_RETRY
                continue
            self._trouble = None
            delay = BASES_INTERVAL
            if found != self._bases:
                self._bases = found
                self._looked.set()
                logger.info("base images: %s", ", ".join(f"{name} is {image}" for name, image in found.items()))
                changed()

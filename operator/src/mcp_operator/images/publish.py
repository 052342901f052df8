"""Give a verified image its names, here and in a registry; or find that an image of the same input has them already."""

from __future__ import annotations

import contextlib
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING

from mcp_operator import names
from mcp_operator.images import buildx, context, push, registry, registry_errors, result, tags
from mcp_operator.images.budget import Budget
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.engine_errors import RefusedError
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Mapping, Sequence

    from mcp_operator.images.contract import BuildRequest, Progress
    from mcp_operator.images.engine import Engine
    from mcp_operator.images.plan import Plan
    from mcp_operator.images.registry_http import Access
    from mcp_operator.images.stored import Image


@dataclass(frozen=True, kw_only=True)
class Found:
    """An image of the same input.

    Attributes:
        reference: By digest, if it is in a registry; else its ID.
        image_id: In the engine's store; empty if it is not there.
        size: Bytes; 0 if it is not in the engine's store.
        record: What its build found.
    """

    reference: str
    image_id: str
    size: int
    record: result.Record


def check(request: BuildRequest) -> None:
    """Refuse names that no registry takes, before anything is built.

    Raises:
        BuildError: ``InvalidSource``.
    """
    try:
        tags.check_repository(request.repository)
        for template in request.tags:
            tags.check(template)
    except tags.TagError as error:
        raise BuildError(
            Reason.INVALID_SOURCE,
            str(error),
            step=Step.PUSH,
            hint="Give a repository such as registry.example.com/team/name, and tags such as latest or v{version}.",
        ) from error


def several(request: BuildRequest) -> bool:
    """Tell whether the image is for other platforms than this machine's own."""
    own = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "")
    return bool(request.platforms) and request.platforms != (f"linux/{own}",)


def check_platforms(request: BuildRequest) -> None:
    """Refuse what cannot be built for several platforms here, before anything is built.

    Raises:
        BuildError: ``Unsupported``.
    """
    if not request.push:
        raise BuildError(
            Reason.UNSUPPORTED,
            "an image for several platforms can only be pushed: an engine keeps one for its own",
            step=Step.PUSH,
            hint="Push it to a repository, or leave the platforms out.",
        )
    buildx.check(request.platforms)


def facts(request: BuildRequest, plan: Plan, created: float) -> tags.Facts:
    """Give what tags may name."""
    return tags.Facts(
        version=plan.version,
        commit=plan.checkout.commit,
        timestamp=datetime.fromtimestamp(created, UTC),
        deployment_id=request.deployment_id,
    )


def first(request: BuildRequest, plan: Plan, key: str) -> tags.Name:
    """Give the name by which the image of this input is found again."""
    pinned = plan.checkout.commit or plan.checkout.content
    return tags.Name(repository=request.repository, tag=tags.safe(names.image_tag(pinned, key)))


@dataclass(frozen=True, kw_only=True)
class Peers:
    """Whom a publisher talks to.

    Attributes:
        engine: Where the image is.
        access: How registries are reached.
        progress: Hears of each name.
        cancelled: Set when nobody wants it any more. A push has time of its own: a long build takes nothing from it.
    """

    engine: Engine
    access: Access
    progress: Progress
    cancelled: threading.Event


class Publisher:
    """The names of one build.

    Args:
        request: What is built.
        plan: From what.
        key: Hash of the input; the image's first tag is made of it.
        peers: Whom to talk to.
    """

    def __init__(self, request: BuildRequest, plan: Plan, key: str, peers: Peers) -> None:
        self._request = request
        self._plan = plan
        self._engine = peers.engine
        self._access = peers.access
        self._progress = peers.progress
        self._cancelled = peers.cancelled
        self.key = key
        self.first = first(request, plan, key)
        self.warnings: tuple[str, ...] = ()

    def names(self, created: float) -> tuple[tags.Name, ...]:
        """Give all names of the image, the first one being that of its input."""
        request = self._request
        more, self.warnings = tags.names(request.tags, request.repository, facts(request, self._plan, created))
        return tuple(dict.fromkeys((self.first, *more)))

    def find(self) -> Found | None:
        """Look for an image of the same input where the new one would go; then in the engine, where it may wait.

        Raises:
            BuildError: The registry or the engine cannot be asked.
            BuildCancelled: It was cancelled.
        """
        # Whoever brings credentials of his own may write there what he likes: labels of it prove nothing, nor does a
        # name in the engine, which a pull gives as well.
        if self._request.auth:
            return None
        if self._request.push and (found := self._pushed()):
            return found
        # An image for other platforms than the engine's own is no engine's.
        return None if several(self._request) else self._kept()

    def _pushed(self) -> Found | None:
        try:
            remote = registry.describe(str(self.first), self._request.auth, self._budget(), self._access)
        except BuildError as error:
            # The engine may stand where the registry can be reached, and this program where not: then it is built.
            if error.reason != Reason.REGISTRY_UNREACHABLE:
                raise
            self._progress.log(
                f"the registry cannot be asked from here for an image of the same input: {error.message}"
            )
            return None
        record = self._record(remote.labels) if remote else None
        if remote is None or record is None:
            return None
        reference = f"{self._request.repository}@{remote.digest}"
        image = self._engine.image(reference)
        size = image.size if image else 0
        return Found(reference=reference, image_id=image.id if image else "", size=size, record=record)

    def _kept(self) -> Found | None:
        """Find it in the engine: built here before, and not pushed, or not to where it is to go now."""
        image = self._engine.image(str(self.first))
        record = self._record(image.labels) if image else None
        if image is None or record is None:
            return None
        return Found(reference=image.id, image_id=image.id, size=image.size, record=record)

    def _record(self, labels: Mapping[str, str]) -> result.Record | None:
        # The tag has only the key's beginning.
        return result.read(labels) if labels.get(names.LABEL_KEY) == self.key else None

    def again(self, found: Found) -> tuple[str, tuple[str, ...]]:
        """Give an image that was found all names that are asked for now; give its reference and its names.

        Raises:
            BuildError: It cannot be tagged or pushed.
            BuildCancelled: It was cancelled.
        """
        wanted = self.names(found.record.created)
        pushed = "@" in found.reference
        missing = wanted
        if pushed or not self._request.push:
            missing = tuple(name for name in wanted if name != self.first and not self._has(name, found))
        if not missing:
            return found.reference, tuple(map(str, wanted))
        with contextlib.ExitStack() as undo:
            digest = self._name(found.image_id or self._pulled(found.reference), missing, undo)
            undo.pop_all()
        reference = f"{self._request.repository}@{digest}" if digest and not pushed else found.reference
        return reference, tuple(map(str, wanted))

    def publish(self, image: str, created: float, undo: contextlib.ExitStack) -> tuple[str, tuple[str, ...]]:
        """Tag an image and push it; give its reference and its names.

        Args:
            image: Its ID.
            created: When it was built, seconds since the epoch.
            undo: Gets what takes the names back.

        Raises:
            BuildError: It cannot be tagged or pushed.
            BuildCancelled: It was cancelled.
        """
        wanted = self.names(created)
        digest = self._name(image, wanted, undo)
        reference = f"{self._request.repository}@{digest}" if digest else image
        return reference, tuple(map(str, wanted))

    def publish_for(self, platforms: Sequence[str], archive: IO[bytes], created: float) -> tuple[str, tuple[str, ...]]:
        """Build for several platforms and push under all names; give the index's reference and the names.

        Args:
            platforms: ``linux/amd64`` each.
            archive: The build context.
            created: When the image that was verified was built, seconds since the epoch.

        Raises:
            BuildError: It cannot be built or pushed.
            BuildCancelled: It was cancelled.
        """
        wanted = self.names(created)
        # The same build again for each repository, with everything cached by the first one.
        budget = Budget(self._request.timeout + self._request.push_timeout, self._cancelled)
        digests = {}
        for repository in dict.fromkeys(name.repository for name in wanted):
            tagged = tuple(name.tag for name in wanted if name.repository == repository)
            target = push.Target(repository=repository, tags=tagged, auth=self._request.auth, access=self._access)
            self._progress.step(Step.PUSH, f"{repository} for {', '.join(platforms)}")
            archive.seek(0)
            digests[repository] = buildx.build(
                archive, context.DOCKERFILE, platforms, target, budget, self._progress.log
            )
        return f"{self._request.repository}@{digests[self._request.repository]}", tuple(map(str, wanted))

    def _check_free(self, name: tags.Name, before: Image | None) -> None:
        """Refuse the name of somebody else's image where a tenant chooses names: it may be that of a base image."""
        if before and self._request.auth and before.labels.get(names.LABEL_UID) != self._request.uid:
            raise BuildError(
                Reason.INVALID_SOURCE,
                f"{name} is the name of another image in Docker's store",
                step=Step.PUSH,
                hint="Choose another repository or tag.",
            )

    def _name(self, image: str, wanted: Iterable[tags.Name], undo: contextlib.ExitStack) -> str:
        """Give an image its names, here and in the registry; give its digest there, empty if it is not pushed."""
        digest = ""
        for name in wanted:
            before = self._engine.image(str(name))
            self._check_free(name, before)
            undo.callback(self._restore, name, before.id if before else "")
            self._engine.tag(image, name.repository, name.tag)
            if self._request.push:
                digest = push.push(self._engine, self.target(name), self._budget(), self._progress)
        return digest

    def target(self, name: tags.Name) -> push.Target:
        """Say where a name is pushed to."""
        return push.Target(repository=name.repository, tags=(name.tag,), auth=self._request.auth, access=self._access)

    def _pulled(self, reference: str) -> str:
        try:
            return self._engine.pull(reference, self._budget(), self._progress.log, auth=self._request.auth).id
        except RefusedError as error:
            raise registry_errors.explain(str(error), reference) from error

    def _has(self, name: tags.Name, found: Found) -> bool:
        if self._request.push:
            there = registry.find(str(name), self._request.auth, self._budget(), self._access)
            return there is not None and found.reference.endswith(there)
        image = self._engine.image(str(name))
        return image is not None and image.id == found.image_id

    def _restore(self, name: tags.Name, before: str) -> None:
        with contextlib.suppress(BuildError):  # Docker is gone: what it kept is swept when it is back
            if before:
                self._engine.tag(before, name.repository, name.tag)
            else:
                self._engine.remove_image(str(name))

    def _budget(self) -> Budget:
        return Budget(self._request.push_timeout, self._cancelled)

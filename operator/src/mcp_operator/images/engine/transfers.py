"""Images that come and go: built from a packed context, pulled, pushed."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

import docker.errors
import docker.utils

from mcp_operator.images import engine_errors, engine_wire, registry_errors
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.engine.images import Images
from mcp_operator.images.engine_errors import BuildFailedError, RefusedError
from mcp_operator.images.engine_wire import PULLS, BuildOptions, unheard
from mcp_operator.images.reasons import Reason
from mcp_operator.images.transfer import Bytes, Transfer

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcp_operator.images.budget import Budget
    from mcp_operator.images.build_log import BuildLog
    from mcp_operator.images.contract import RegistryAuth
    from mcp_operator.images.stored import Image

    _Heard = tuple[Callable[[str], None], Callable[[Bytes], None]]

BUILD_MEMORY = 4 * 1024**3
"""Bytes for each step of a build: TypeScript compilers take up to three gigabytes."""
BUILD_CPU_SHARES = 512
"""Half of what any other container gets where both want all: servers in service go first."""
PULL_PAUSE = 2.0
_AS_USUAL = BuildOptions()


class Transfers(Images):
    """What an engine builds, pulls and pushes."""

    def base(
        self,
        reference: str,
        budget: Budget,
        hear: Callable[[str], None] = unheard,
        *,
        anonymous: bool = False,
        tries: int = PULLS,
    ) -> Image:
        """Find an image, or pull it; again where a line broke.

        Args:
            reference: Its name.
            budget: When to stop.
            hear: Gets lines.
            anonymous: Without the credentials of Docker's configuration: a stranger chose the name.
            tries: How often to pull.

        Raises:
            BuildError: ``BaseImageUnavailable``, ``DiskFull``.
        """
        if image := self.image(reference):
            return image
        while True:
            tries -= 1
            try:
                return self._pulled(reference, budget, (hear, unheard), engine_wire.NOBODY if anonymous else None)
            except RefusedError as error:
                if tries < 1 or not engine_errors.passing(str(error)):
                    raise engine_errors.base_image(str(error), reference) from error
            hear(f"{reference} could not be pulled; trying again")
            engine_wire.pause(PULL_PAUSE, budget, Step.BUILD)

    def pull(
        self,
        reference: str,
        budget: Budget,
        hear: Callable[[str], None] = unheard,
        *,
        auth: RegistryAuth | None = None,
        moved: Callable[[Bytes], None] = unheard,
    ) -> Image:
        """Pull an image. Without ``auth``, with what Docker's configuration has for its registry.

        Raises:
            BuildError: With the registry's reason.
            BuildCancelled: The budget says so.
        """
        try:
            return self._pulled(reference, budget, (hear, moved), auth)
        except RefusedError as error:
            raise registry_errors.explain(str(error), reference, Step.BUILD) from error

    def build(
        self,
        context: IO[bytes],
        dockerfile: str,
        log: BuildLog,
        budget: Budget,
        hear: Callable[[str], None],
        options: BuildOptions = _AS_USUAL,
    ) -> str:
        """Build an image from a packed context with the classic builder; gives its ID, ``sha256:...``.

        The credentials of Docker's configuration are not sent along: what a Dockerfile names in ``FROM`` may be
        somebody else's.

        Args:
            context: Tar archive.
            dockerfile: Name of the Dockerfile in it.
            log: Filled as it goes.
            budget: When to stop.
            hear: Gets each printable line.
            options: What differs from the usual.

        Raises:
            BuildFailedError: An instruction failed.
            BuildError: The engine failed, or the time is used up.
            BuildCancelled: The budget says so.
        """
        how = {
            "custom_context": True,
            "dockerfile": dockerfile,
            "rm": True,
            "forcerm": True,  # rm alone leaves the container of a failed step
            "container_limits": {"memory": BUILD_MEMORY, "memswap": BUILD_MEMORY, "cpushares": BUILD_CPU_SHARES},
            "timeout": int(budget.remaining()) + 1,
            "network_mode": None if options.network else "none",
            "buildargs": dict(options.arguments),
            "decode": True,
        }
        image = ""
        try:
            with self.stream(budget, Step.BUILD, "build", fileobj=context, **how) as events:
                for event in events:
                    if "error" in event:
                        raise BuildFailedError(str(event["error"]))
                    image = (event.get("aux") or {}).get("ID", image)
                    for line in log.take(str(event.get("stream", ""))):
                        hear(line)
        except docker.errors.APIError as error:
            raise BuildFailedError(str(error.explanation or error)) from error
        return image

    def push(
        self,
        repository: str,
        tag: str,
        budget: Budget,
        hear: Callable[[str], None],
        *,
        auth: RegistryAuth | None = None,
        moved: Callable[[Bytes], None] = unheard,
    ) -> str:
        """Push a tagged image; gives its digest, ``sha256:...``, as the registry gave it.

        Args:
            repository: Without tag.
            tag: Which there is already.
            budget: When to stop.
            hear: Gets lines.
            auth: Without, what Docker's configuration has for the registry.
            moved: Gets how far it is, often.

        Raises:
            BuildError: With the registry's reason.
            BuildCancelled: The budget says so.
        """
        name = f"{repository}:{tag}"
        how = {"repository": repository, "tag": tag, "auth_config": engine_wire.auth_config(auth, repository)}
        done = Transfer()
        try:
            self._transfer(budget, Step.PUSH, "push", done, (hear, moved), **how)
        except RefusedError as error:
            raise registry_errors.explain(str(error), name) from error
        except BuildError as error:
            if done.failing and error.reason == Reason.TIMED_OUT:
                raise registry_errors.explain("timed out while layers failed again and again", name) from error
            raise
        if not done.digest:
            raise registry_errors.explain("the registry gave no digest", name)
        return done.digest

    def _pulled(self, reference: str, budget: Budget, heard: _Heard, auth: RegistryAuth | None = None) -> Image:
        # Without a tag the engine would pull all of them.
        repository, tag = docker.utils.parse_repository_tag(reference)
        how = {
            "repository": repository,
            "tag": tag or "latest",
            "auth_config": engine_wire.auth_config(auth, reference),
        }
        self._transfer(budget, Step.BUILD, "pull", Transfer(), heard, **how)
        image = self.image(reference)
        if image is None:
            raise RefusedError("it was pulled and is not there")
        return image

    def _transfer(self, budget: Budget, step: Step, method: str, done: Transfer, heard: _Heard, **how: object) -> None:
        hear, moved = heard
        try:
            with self.stream(budget, step, method, stream=True, decode=True, **how) as events:
                for event in events:
                    if "error" in event:
                        raise RefusedError(str(event["error"]))
                    if line := done.take(event):
                        hear(line)
                    moved(done.bytes)
        except docker.errors.APIError as error:
            raise RefusedError(str(error.explanation or error)) from error

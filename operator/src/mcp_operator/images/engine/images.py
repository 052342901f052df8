"""Images in the engine's store: found, listed, named, saved, removed."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

import docker.errors

from mcp_operator.images import engine_errors, stored
from mcp_operator.images.contract import Step
from mcp_operator.images.engine.connection import Connection, mapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp_operator.images.budget import Budget
    from mcp_operator.images.stored import Image

_NOT_FOUND, _CONFLICT = 404, 409


class Images(Connection):
    """An engine's images."""

    def image(self, reference: str) -> Image | None:
        """Find an image by name or ID."""
        with mapped(Step.BUILD):
            try:
                found = self._api.inspect_image(reference)
            except docker.errors.ImageNotFound:
                return None
        return stored.inspected(found)

    def images(self, labels: Sequence[str], *, intermediate: bool = False) -> list[Image]:
        """List images that have all the labels (``name`` or ``name=value``)."""
        with mapped(Step.BUILD):
            found = self._api.images(all=intermediate, filters={"label": list(labels)})
        return [stored.listed(item) for item in found]

    def tag(self, image: str, repository: str, tag: str) -> None:
        """Give an image a name."""
        with mapped(Step.PUSH):
            self._api.tag(image, repository, tag)

    def save(self, image: str, file: IO[bytes], budget: Budget, limit: int) -> None:
        """Write an image into a file, as ``docker save`` does.

        Raises:
            BuildError: It is larger than ``limit`` bytes, or the engine failed, or the time is used up.
            BuildCancelled: The budget says so.
        """
        try:
            with self.stream(budget, Step.VERIFY, "get_image", image=image) as chunks:
                for chunk in chunks:
                    if file.tell() + len(chunk) > limit:
                        raise engine_errors.engine(f"the image is larger than {limit} bytes", Step.VERIFY)
                    file.write(chunk)
        except docker.errors.APIError as error:
            raise engine_errors.engine(str(error.explanation or error), Step.VERIFY) from error

    def remove_image(self, image: str, *, force: bool = False) -> bool:
        """Remove an image and the untagged ones below it that nothing else uses; False if something uses it."""
        with mapped(Step.BUILD):
            try:
                self._api.remove_image(image, force=force)
            except docker.errors.APIError as error:
                # Somebody else was faster, and is not quite through.
                gone = error.status_code == _NOT_FOUND or "unrecognized image ID" in str(error.explanation)
                if not gone and error.status_code != _CONFLICT:
                    raise
                return gone
        return True

"""Find and remove what builds left: images and containers by their label, temporary folders by their name."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mcp_operator import names
from mcp_operator.images.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Collection

    from mcp_operator.images.contract import Trial
    from mcp_operator.images.engine import Image

_FOLDER = "toolman-build-"
_UID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}\Z")
_ROUNDS = 50
"""Images are removed from the top: with each round those below may go. No Dockerfile of ours has more layers."""

UNDO_SECONDS = 15
"""For the engine to end a step that was cut off; it takes a fifth of a second when it is not busy."""
_PAUSE = 0.2
_QUIET_LOOKS = 2


def owner(request: Trial) -> dict[str, str]:
    """Give the labels by which everything made for a request is found again."""
    return {
        names.LABEL_UID: request.uid,
        names.LABEL_INSTALLATION: request.installation,
        names.MANAGED_BY: names.MANAGER,
    }


def folder_prefix(uid: str) -> str:
    """Give the start of the names of an owner's temporary folders.

    Raises:
        ValueError: Not a UID; it would name something else.
    """
    if not _UID.match(uid):
        raise ValueError(f"not a UID: {uid!r}")
    return f"{_FOLDER}{uid}."


def sweep(alive_uids: Collection[str], installation: str = "") -> None:
    """Remove images, containers and temporary folders of owners that are gone.

    Not while builds run for owners that are not in ``alive_uids``.

    Args:
        alive_uids: Owners that there are.
        installation: As in their requests: others' belongings are left alone.

    Raises:
        BuildError: The engine cannot be reached.
    """
    for folder in _folders(_FOLDER):
        if folder.name.removeprefix(_FOLDER).partition(".")[0] not in alive_uids:
            shutil.rmtree(folder, ignore_errors=True)
    with Engine() as engine:
        ours = [names.LABEL_UID, f"{names.LABEL_INSTALLATION}={installation}"]
        for container, labels in engine.containers(ours).items():
            if labels[names.LABEL_UID] not in alive_uids:
                engine.remove_container(container)
        owners = {image.labels[names.LABEL_UID] for image in engine.images(ours, intermediate=True)}
        for uid in owners.difference(alive_uids):
            remove_images(engine, uid)


def forget(uid: str) -> None:
    """Remove everything that was ever made for an owner.

    Raises:
        BuildError: The engine cannot be reached.
    """
    remove_folders(uid)
    with Engine() as engine:
        undo(engine, uid)


def undo(engine: Engine, uid: str, keep: Collection[str] = ()) -> None:
    """Remove what a build that is over has made, and wait until the engine has let go of it.

    Args:
        engine: Where.
        uid: The owner.
        keep: Short IDs of the images that were there before.
    """
    until = time.monotonic() + UNDO_SECONDS
    quiet = 0
    # Twice, because a step that the engine was just starting when it was cut off may appear a moment later.
    while quiet < _QUIET_LOOKS and time.monotonic() < until:
        remove_containers(engine, uid)
        remove_images(engine, uid, keep)
        busy = engine.containers([f"{names.LABEL_UID}={uid}"]) or _on_top(engine, uid, keep)
        quiet = 0 if busy else quiet + 1
        time.sleep(_PAUSE)


def remove_folders(uid: str) -> None:
    """Remove an owner's temporary folders."""
    for folder in _folders(folder_prefix(uid)):
        shutil.rmtree(folder, ignore_errors=True)


def remove_containers(engine: Engine, uid: str) -> None:
    """Remove an owner's containers."""
    for container in engine.containers([f"{names.LABEL_UID}={uid}"]):
        engine.remove_container(container)


def remove_images(engine: Engine, uid: str, keep: Collection[str] = ()) -> None:
    """Remove an owner's images.

    Args:
        engine: Where.
        uid: The owner.
        keep: Short IDs (12 hex digits) of images that stay.
    """
    for _ in range(_ROUNDS):
        found = _on_top(engine, uid, keep)
        removed = [engine.remove_image(image.id, force=bool(image.tags)) for image in found]
        if not any(removed):
            return


def _on_top(engine: Engine, uid: str, keep: Collection[str]) -> list[Image]:
    """Give the images of an owner that no other is made from: removing one removes those below it."""
    found = engine.images([f"{names.LABEL_UID}={uid}"])
    return [image for image in found if image.id.removeprefix("sha256:")[:12] not in keep]


def _folders(prefix: str) -> list[Path]:
    return [path for path in Path(tempfile.gettempdir()).glob(f"{prefix}*") if path.is_dir() and not path.is_symlink()]

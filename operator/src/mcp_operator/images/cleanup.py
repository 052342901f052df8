"""Find and remove what builds left: images and containers by their label, temporary folders by their name."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import math
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mcp_operator import names
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.engine import Engine
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from mcp_operator.images.contract import Trial
    from mcp_operator.images.engine import Image

YOUNG = 3600.0
"""Seconds in which an image without a name may still be the layer of a build that runs."""

NOBODY = "resolve"
"""Owner of the folders for asking a git server, which is done for many."""

_FOLDER = "toolman-build-"
_SCOPE_DIGITS = 8
_TIME = re.compile(r"\.(\d{1,12})-[^.]*\Z")
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


def folder_prefix(uid: str, installation: str = "") -> str:
    """Give the start of the names of an owner's temporary folders.

    Args:
        uid: The owner.
        installation: Whose owner it is; others on this machine leave its folders alone.

    Raises:
        ValueError: Not a UID; it would name something else.
    """
    if not _UID.match(uid):
        raise ValueError(f"not a UID: {uid!r}")
    return f"{_of(installation)}{uid}."


def sweep(alive_uids: Collection[str], installation: str = "") -> None:
    """Remove images, containers and temporary folders of owners that are gone.

    Not while builds run for owners that are not in ``alive_uids``.

    Args:
        alive_uids: Owners that there are.
        installation: As in their requests: others' belongings are left alone.

    Raises:
        BuildError: The engine cannot be reached.
    """
    for folder, uid in folders(installation).items():
        if uid not in alive_uids:
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
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}{'?' * _SCOPE_DIGITS}-{uid}.*"):
        shutil.rmtree(folder, ignore_errors=True)
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


@contextlib.contextmanager
def folder(uid: str, installation: str = "") -> Iterator[Path]:
    """Make an owner's temporary folder for the time of a block. Its name tells when, should the block be killed.

    Raises:
        BuildError: It cannot be made, or something in it cannot be written (``DiskFull``, ``FetchFailed``).
    """
    try:
        with tempfile.TemporaryDirectory(prefix=f"{folder_prefix(uid, installation)}{int(time.time())}-") as path:
            yield Path(path)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise BuildError(
            Reason.DISK_FULL if full else Reason.FETCH_FAILED,
            f"the folder for temporary files cannot be used: {error.strerror}",
            step=Step.FETCH,
            hint=f"Free space in {tempfile.gettempdir()}, or set TMPDIR to a folder with space and rights to write.",
            transient=True,
        ) from error


def leftovers(engine: Engine, uids: Collection[str], installation: str = "") -> None:
    """Remove what builds that were killed left of owners: not while one runs for them.

    Of what has no name only that goes which was made since: the rest are layers that the next build takes from the last
    one that went well.

    Args:
        engine: Where.
        uids: The owners.
        installation: As in their requests.

    Raises:
        BuildError: The engine cannot be reached.
    """
    since: dict[str, float] = {}
    for path, uid in folders(installation).items():
        if uid in uids:
            since[uid] = min(_began(path), since.get(uid, math.inf))
            shutil.rmtree(path, ignore_errors=True)
    for container, labels in engine.containers([names.LABEL_UID]).items():
        if labels[names.LABEL_UID] in uids:
            engine.remove_container(container)
    _remove_nameless(engine, [names.MANAGED_BY], lambda image: _left(image, since))


def remove_unused(engine: Engine, uid: str, keep: Collection[str]) -> None:
    """Remove an owner's images that have no name and are no layers of his last build.

    Args:
        engine: Where.
        uid: The owner.
        keep: Short IDs (12 hex digits) of these layers.

    Raises:
        BuildError: The engine cannot be reached.
    """
    _remove_nameless(engine, [f"{names.LABEL_UID}={uid}"], lambda image: _short(image) not in keep)


def _remove_nameless(engine: Engine, labels: Sequence[str], going: Callable[[Image], bool]) -> None:
    for _ in range(_ROUNDS):
        # What has a digest was pulled by it: somebody may name it so.
        nameless = [image for image in engine.images(labels) if not image.tags + image.digests]
        removed = [engine.remove_image(image.id) for image in nameless if going(image)]
        if _enough(removed):
            return


def _left(image: Image, since: Mapping[str, float]) -> bool:
    """Tell whether a nameless image is left of a killed build; what has no owner may be the layer of one that runs."""
    owner = image.labels.get(names.LABEL_UID)
    return time.time() - image.created > YOUNG if owner is None else image.created >= since.get(owner, math.inf)


def _short(image: Image) -> str:
    return image.id.removeprefix("sha256:")[:12]


def _began(path: Path) -> float:
    match = _TIME.search(path.name)
    return float(match[1]) if match else math.inf


def folders(installation: str) -> dict[Path, str]:
    """Give the temporary folders of an installation on this machine that somebody owns, with the owners' UIDs.

    Those of :data:`NOBODY` are in use for a moment only, and count when they are old.
    """
    prefix = _of(installation)
    found = {folder: folder.name.removeprefix(prefix).partition(".")[0] for folder in _folders(prefix)}
    return {folder: uid for folder, uid in found.items() if uid != NOBODY or _age(folder) > YOUNG}


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
        if _enough(removed):
            return


def _enough(removed: Collection[bool]) -> bool:
    """Tell whether to look no further: an engine with many images takes a while to list them.

    What was below those that are gone went with them; what something used that is gone now can be removed now.
    """
    return all(removed) or not any(removed)


def _on_top(engine: Engine, uid: str, keep: Collection[str]) -> list[Image]:
    """Give the images of an owner that no other is made from: removing one removes those below it."""
    found = engine.images([f"{names.LABEL_UID}={uid}"])
    return [image for image in found if _short(image) not in keep]


def _age(folder: Path) -> float:
    try:
        return time.time() - folder.stat().st_mtime
    except FileNotFoundError:
        return 0


def _of(installation: str) -> str:
    return f"{_FOLDER}{hashlib.sha256(installation.encode()).hexdigest()[:_SCOPE_DIGITS]}-"


def _folders(prefix: str) -> list[Path]:
    return [path for path in Path(tempfile.gettempdir()).glob(f"{prefix}*") if path.is_dir() and not path.is_symlink()]

"""Noticing that the configuration file has changed, also where it is a link into a ConfigMap volume that is swapped."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from toolman import configfile
from toolman.config import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from toolman.config import Config

log = logging.getLogger(__name__)

INTERVAL = 0.25
"""Seconds between looks: a change is in force within half a second. A look costs two microseconds."""


def _ignore(_is_used: bool, _problem: str) -> None:  # noqa: FBT001 - given by position, as an outcome is
    """Nobody wants to know."""


async def watch(
    path: Path,
    loaded: Config,
    apply: Callable[[Config], None],
    on_result: Callable[[bool, str], None] = _ignore,
) -> None:
    """Apply the configuration whenever it changes, for ever; one that cannot be used changes nothing.

    Args:
        path: The file.
        loaded: What was read from it before.
        apply: Puts another configuration in force, or raises :class:`ConfigError` and leaves all as it was.
        on_result: Called after each change of the file: whether what it says is in force now, and why not.
    """
    seen: object = None
    while True:
        looks = _look(path)
        if looks != seen:
            is_first, seen = seen is None, looks
            try:
                found = _reload(path, loaded, apply)
            except ConfigError as problem:
                log.error("the configuration cannot be used, the one before stays in force: %s", problem)  # noqa: TRY400
                on_result(False, str(problem))  # noqa: FBT003 - an outcome
            except Exception as problem:  # whatever is in a file, it must not end what is being served
                log.exception("the configuration cannot be used, the one before stays in force")
                on_result(False, str(problem))  # noqa: FBT003 - an outcome
            else:
                if found is not loaded or not is_first:  # otherwise it is what toolman was started with
                    on_result(True, "")  # noqa: FBT003
                loaded = found
        await asyncio.sleep(INTERVAL)


def _reload(path: Path, loaded: Config, apply: Callable[[Config], None]) -> Config:
    """Read the file and put what it says in force, if that is something else; give what is in force.

    Raises:
        ConfigError: It cannot be.
    """
    if not path.is_file() and path.exists():
        raise ConfigError(f"{path}: not a file")  # reading a pipe could take for ever
    found = configfile.load(path)
    if found == loaded:
        return loaded
    apply(found)
    log.info("the configuration has changed and is in force")
    return found


def _look(path: Path) -> object:
    """Describe the file that the path leads to now."""
    try:
        status = path.stat()
    except OSError as problem:
        return problem.errno
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size

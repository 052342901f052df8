"""Noticing that the configuration file has changed, also where it is a link into a ConfigMap volume that is swapped."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from toolman import config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

log = logging.getLogger(__name__)

INTERVAL = 0.25
"""Seconds between looks: a change is in force within half a second. A look costs two microseconds."""


async def watch(path: Path, loaded: config.Config, apply: Callable[[config.Config], None]) -> None:
    """Apply the configuration whenever it changes, for ever; one that cannot be used changes nothing.

    Args:
        path: The file.
        loaded: What was read from it before.
        apply: Puts another configuration in force.
    """
    seen: object = None
    while True:
        looks = _look(path)
        if looks != seen:
            seen = looks
            try:
                found = config.load(path)
            except config.ConfigError as problem:
                log.error("the configuration cannot be used, the one before stays in force: %s", problem)  # noqa: TRY400
            else:
                if found != loaded:
                    loaded = found
                    apply(found)
                    log.info("the configuration has changed and is in force")
        await asyncio.sleep(INTERVAL)


def _look(path: Path) -> object:
    """Describe the file that the path leads to now."""
    try:
        status = path.stat()
    except OSError as problem:
        return problem.errno
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size

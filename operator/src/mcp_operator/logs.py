"""The operator's log: lines for people, or one JSON object a line, with the object that each is about."""

from __future__ import annotations

import contextlib
import contextvars
import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcp_operator.workqueue import Key

LINE: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
QUIET: Final = ("kopf.objects", "kopf._core", "aiohttp", "urllib3", "docker")
"""One line for every event of every object says nothing that our own lines do not say better."""

_about: contextvars.ContextVar[Key | None] = contextvars.ContextVar("about", default=None)


@contextlib.contextmanager
def about(key: Key) -> Iterator[None]:
    """Say of every line of the block, in this thread, which object it is about."""
    token = _about.set(key)
    try:
        yield
    finally:
        _about.reset(token)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time``, ``level``, ``logger``, ``message`` and, where known, the object's identity."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        key = _about.get()
        if key is not None:
            entry |= {field: value for field, value in key._asdict().items() if value}
        if record.exc_info:
            entry["trace"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(entry, ensure_ascii=False)


def configure(level: str, style: str) -> None:
    """Write to standard error from now on.

    Args:
        level: Python's name.
        style: ``text`` or ``json``.

    Raises:
        ValueError: There is no such level or style.
    """
    if style not in {"text", "json"}:
        raise ValueError(f"TOOLMAN_LOG_FORMAT must be text or json, not {style!r}")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else logging.Formatter(LINE))
    logging.basicConfig(level=level, handlers=[handler])
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)

"""Work that comes to its end however often who waits for it is cancelled: what was started must not be left behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

Result = TypeVar("Result")


async def to_the_end(work: Coroutine[object, object, Result]) -> Result:
    """Do something whole, then let a cancellation that came meanwhile have its way. The work bounds its own time."""
    task = asyncio.ensure_future(work)
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as problem:
            cancellation = problem
    if cancellation is not None:
        task.exception()
        raise cancellation
    return task.result()

"""The webhooks' one route: which of them is asked, within which bounds, and what an answer that is late means."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mcp_operator import cluster
from mcp_operator.admission import answers
from mcp_operator.status import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request

    from mcp_operator.admission.answers import Answer, Judge

MAX_BODY: Final = 8 * 1024 * 1024
"""Bytes: an object of three megabytes, the API server's limit, as it was and as it is to be."""
WAITING: Final = 256
"""Questions at a time to one webhook; a further one gets the answer of one that is late."""
SAID_AGAIN: Final = 600.0
"""Seconds until the same refusal is logged again."""
REMEMBERED: Final = 512
"""Refusals that are known to have been logged."""
LATE: Final = (
    "the operator is too busy to judge it now. A Deployment, StatefulSet, DaemonSet or Job tries again by itself."
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """One webhook.

    Attributes:
        judge: Answers.
        seconds: How long that may take: less than the API server waits.
        late: The answer when it takes longer.
        threads: How many questions are judged at once.
    """

    judge: Judge
    seconds: float
    late: Answer
    threads: int


class _Refusals:
    """What was refused of late: a workload tries again every few seconds, and says nothing new by that."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._told: OrderedDict[tuple[str, ...], float] = OrderedDict()

    def is_news(self, refusal: tuple[str, ...]) -> bool:
        """Tell whether a refusal is worth a line of the log, which is then taken for written."""
        now = self._clock()
        if now - self._told.get(refusal, -SAID_AGAIN) < SAID_AGAIN:
            return False
        self._told[refusal] = now
        self._told.move_to_end(refusal)
        while len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        return True


class Application:
    """Answers the API server.

    Args:
        webhooks: By name.
        find: Names the webhook at a path; empty where there is none.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        webhooks: Mapping[str, Webhook],
        find: Callable[[str], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._webhooks = webhooks
        self._find = find
        self._pools = {
            name: ThreadPoolExecutor(each.threads, thread_name_prefix=name) for name, each in webhooks.items()
        }
        self._waiting = dict.fromkeys(webhooks, 0)
        self._refusals = _Refusals(clock)

    def asgi(self) -> Starlette:
        """Give the ASGI application."""
        return Starlette(routes=[Route("/{path:path}", self._answer, methods=["POST"])])

    def close(self) -> None:
        """Begin nothing more."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)

    async def _answer(self, asked: Request) -> Response:
        try:
            name = self._find(asked.url.path)
        except cluster.ClusterError:
            return Response(status_code=503)
        if name not in self._webhooks:
            return Response(status_code=404)
        body = await _bounded(asked)
        try:
            request = answers.read(body)
        except answers.MalformedError as error:
            return Response(str(error), status_code=400)
        answer = await self._judge(name, request)
        if answer.denied and self._refusals.is_news((name, request.namespace, answer.denied)):
            why = printable(answer.denied)  # it may quote what nobody has looked at yet
            logger.info("%s: %s in %s was refused: %s", name, request.operation, request.namespace, why)
        return JSONResponse(answers.write(request.uid, answer))

    async def _judge(self, name: str, request: answers.Request) -> Answer:
        webhook = self._webhooks[name]
        if self._waiting[name] >= WAITING:
            return webhook.late
        self._waiting[name] += 1
        future = asyncio.get_running_loop().run_in_executor(self._pools[name], webhook.judge, request)
        future.add_done_callback(lambda _: self._done(name))
        try:
            return await asyncio.wait_for(asyncio.shield(future), webhook.seconds)
        except TimeoutError:
            future.cancel()  # what waits for its turn is not begun any more: its answer is nobody's
            return webhook.late

    def _done(self, name: str) -> None:
        self._waiting[name] -= 1


async def _bounded(asked: Request) -> bytes:
    """Read a body; what is too long is cut off, and so no AdmissionReview."""
    body = bytearray()
    async for piece in asked.stream():
        body += piece
        if len(body) > MAX_BODY:
            return b""
    return bytes(body)

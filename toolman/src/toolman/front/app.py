"""The admin port: a Starlette application for the kubelet, Prometheus and the operator.

An agent can reach it, so what it says without a token names nothing that is hidden.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request
    from starlette.responses import Response


def admin(is_serving: Callable[[], bool], routes: Sequence[Route] = ()) -> Starlette:
    """Make it. The probes are independent of the servers: in a Pod these start after toolman is ready.

    Args:
        is_serving: Tells whether requests are served; not any more while toolman ends.
        routes: What else is to be found there.
    """

    async def livez(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        return PlainTextResponse("ok\n") if is_serving() else PlainTextResponse("shutting down\n", status_code=503)

    return Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz), *routes])

"""The two ASGI applications: what agents connect to, and what the kubelet asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from toolman.dispatch import Dispatcher
from toolman.endpoint import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from toolman.audit import Audit
    from toolman.gateway import Gateway

PATH = "/mcp"


def front(gateway: Gateway, audit: Audit) -> Starlette:
    """Make what agents connect to. Everything but ``/mcp`` is unknown here, ``/.well-known/...`` included."""
    return Starlette(routes=[Route(PATH, Endpoint(gateway, Dispatcher(gateway, audit)))])


def admin(is_serving: Callable[[], bool]) -> Starlette:
    """Make the probes. An agent can reach them, so they say nothing about servers and tools.

    Both are independent of the servers: in a Pod these start after toolman is ready.
    """

    async def livez(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        return PlainTextResponse("ok\n") if is_serving() else PlainTextResponse("shutting down\n", status_code=503)

    return Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz)])

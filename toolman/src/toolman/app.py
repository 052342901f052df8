"""The two ASGI applications: what agents connect to, and what the kubelet asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from toolman.dispatch import Dispatcher
from toolman.endpoint import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from toolman.audit import Audit
    from toolman.gateway import Gateway

PATH = "/mcp"


class Front(Starlette):
    """What agents connect to. Everything but ``/mcp`` is unknown here, ``/.well-known/...`` included.

    The endpoint is asked before Starlette's middleware and router, which cost a sixth of a call: all requests go there.
    """

    def __init__(self, gateway: Gateway, audit: Audit) -> None:
        self._endpoint = Endpoint(gateway, Dispatcher(gateway, audit))
        super().__init__(routes=[Route(PATH, self._endpoint)])

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        """Serve one request."""
        if scope["type"] == "http" and scope["path"] == PATH:
            return self._endpoint(scope, receive, send)
        return super().__call__(scope, receive, send)


def admin(is_serving: Callable[[], bool]) -> Starlette:
    """Make the probes. An agent can reach them, so they say nothing about servers and tools.

    Both are independent of the servers: in a Pod these start after toolman is ready.
    """

    async def livez(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        return PlainTextResponse("ok\n") if is_serving() else PlainTextResponse("shutting down\n", status_code=503)

    return Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz)])

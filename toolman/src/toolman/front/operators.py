"""The application for operators in uvicorn's protocol: eight megabytes, imported once somebody asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from toolman.front import app, reports

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from toolman.core.inspection import Inspection
    from toolman.front.bearer import Check
    from toolman.front.probes import Handler


def prepare(
    is_serving: Callable[[], bool], inspection: Inspection, bearer: Check | None
) -> Callable[[asyncio.AbstractEventLoop], Handler]:
    """Make what serves the connections of the admin port that ask for more than a probe, one call for each.

    Args:
        is_serving: Tells whether requests are served; not any more while toolman ends.
        inspection: Looks at what runs.
        bearer: Checks who asks for the report, None if there is none.
    """
    config = Config(
        app.admin(is_serving, reports.routes(inspection, bearer)),
        interface="asgi3",
        loop="none",
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
    )
    config.load()
    state = ServerState()

    def handler(loop: asyncio.AbstractEventLoop) -> Handler:
        return HttpToolsProtocol(config, state, {}, loop)

    return handler

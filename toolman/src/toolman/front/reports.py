"""What is to be found on the admin port besides the probes: the metrics, and the report for who shows the token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

from toolman.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from starlette.requests import Request

    from toolman.core.inspection import Inspection
    from toolman.front.bearer import Check

_UNAUTHORIZED = 401


def routes(inspection: Inspection, bearer: Check | None) -> list[Route]:
    """Make them. Without a token in the configuration there is no report.

    Args:
        inspection: Looks at what runs.
        bearer: Checks who asks for the report.
    """

    async def metrics(_: Request) -> Response:
        return Response(inspection.metrics(), headers={"content-type": CONTENT_TYPE})

    found = [Route("/metrics", metrics)]
    if bearer is not None:
        checked = bearer

        async def report(request: Request) -> Response:
            shown = request.headers.get("authorization")
            refusal = checked.check(None if shown is None else shown.encode("latin-1"))
            if refusal is not None:
                return Response(f"{refusal.text}\n", _UNAUTHORIZED, {"www-authenticate": "Bearer"})
            return Response(inspection.report(), media_type="application/json")

        found.append(Route("/report", report))
    return found

"""The routes of the read API, and the order of its questions: whose token, may he, what is there."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, Final, Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Route

from mcp_operator import cluster
from mcp_operator.cluster import AGENT, POLICY, SERVER
from mcp_operator.readapi import documents
from mcp_operator.readapi.callers import Callers, Question

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from starlette.requests import Request

    from mcp_operator.cluster import Kind, Manifest

LIMIT: Final = 100
"""Objects in an answer, unless the caller says how many."""
MOST: Final = 200
"""Objects in an answer at most."""
CONTINUE_LENGTH: Final = 4096
"""Characters of what the API server gives to go on with a list."""
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

_STATUS: Final[tuple[tuple[type[cluster.ClusterError], int, str], ...]] = (
    (cluster.ExpiredError, 410, "the list has changed too much since its first page: begin anew without continue"),
    (cluster.NotFoundError, 404, "there is no such object"),
    (cluster.InvalidError, 400, "the API server does not take that: check limit and continue"),
    (cluster.ClusterError, 503, "the cluster cannot be asked now; try again"),
)
"""The first that fits; texts of the API server stay here, for they may speak of the operator's own rights."""

logger = logging.getLogger(__name__)


class Objects(Protocol):
    """What is read."""

    def get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """See :class:`mcp_operator.cluster.Objects`."""

    def page(self, kind: Kind, namespace: str, limit: int, proceed: str) -> tuple[Sequence[Manifest], str]:
        """Read some objects of a kind; give them, and what the next page begins with, empty for none."""


class ReadApi:
    """Answers requests.

    Args:
        objects: What is read, with the operator's rights.
        callers: Who may see it.
        namespaces: Those that are served; empty for all.
    """

    def __init__(self, objects: Objects, callers: Callers, namespaces: Collection[str] = ()) -> None:
        self._objects = objects
        self._callers = callers
        self._namespaces = frozenset(namespaces)

    def application(self) -> Starlette:
        """Give the ASGI application."""
        routes = []
        for name, kind in (("servers", SERVER), ("agents", AGENT), ("policies", POLICY)):
            place = "" if kind is POLICY else "/{namespace}"
            routes.append(Route(f"/api/v1/{name}", self._list(kind), methods=["GET"]))
            routes.append(Route(f"/api/v1/{name}{place}/{{name}}", self._one(kind), methods=["GET"]))
        return Starlette(routes=routes, exception_handlers={HTTPException: _refused, cluster.ClusterError: _failed})

    # They are no coroutines: Starlette then calls them in threads, where waiting for the API server delays nobody.

    def _list(self, kind: Kind) -> Callable[[Request], JSONResponse]:
        def _answer(request: Request) -> JSONResponse:
            namespace = _name(request.query_params.get("namespace", ""), optional=True)
            limit = _limit(request.query_params.get("limit", str(LIMIT)))
            proceed = request.query_params.get("continue", "")
            if len(proceed) > CONTINUE_LENGTH:
                raise HTTPException(400, "continue is not what an earlier answer gave")
            namespace = "" if kind is POLICY else namespace
            self._check(request, Question(verb="list", kind=kind, namespace=namespace))
            if kind is not POLICY and self._namespaces and namespace not in self._namespaces:
                served = ", ".join(sorted(self._namespaces))
                raise HTTPException(400, f"give namespace=NAME with one that this installation serves: {served}")
            items, rest = self._objects.page(kind, namespace, limit, proceed)
            found: dict[str, Any] = {"items": [documents.summary(kind, raw) for raw in items]}
            return JSONResponse(found | ({"continue": rest} if rest else {}), headers=_HEADERS)

        return _answer

    def _one(self, kind: Kind) -> Callable[[Request], JSONResponse]:
        def _answer(request: Request) -> JSONResponse:
            name = _name(request.path_params["name"])
            namespace = "" if kind is POLICY else _name(request.path_params["namespace"])
            self._check(request, Question(verb="get", kind=kind, namespace=namespace, name=name))
            raw = self._objects.get(kind, namespace, name)
            if raw is None:
                raise HTTPException(404, f"there is no {kind.kind} of this name")
            return JSONResponse(documents.whole(kind, raw), headers=_HEADERS)

        return _answer

    def _check(self, request: Request, question: Question) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        caller = self._callers.who(token.strip()) if scheme.lower() == "bearer" else None
        if caller is None:
            text = "show a token that the Kubernetes API takes: Authorization: Bearer TOKEN"
            raise HTTPException(401, text, headers={"WWW-Authenticate": "Bearer"})
        if self._callers.may(caller, question):
            return
        where = f"in namespace {question.namespace}" if question.namespace else "in the whole cluster"
        hint = "; give namespace=NAME for one of them" if question.kind is not POLICY and not question.namespace else ""
        raise HTTPException(403, f"you may not {question.verb} {question.kind.plural} {where}{hint}")


def _name(text: str, *, optional: bool = False) -> str:
    """Check a name before it goes into the path of a request of ours."""
    if (optional and not text) or _NAME.fullmatch(text):
        return text
    raise HTTPException(400, "names are of a-z, 0-9, hyphens and dots")


def _limit(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= len(str(MOST)) and 1 <= int(text) <= MOST:
        return int(text)
    raise HTTPException(400, f"limit is a number from 1 to {MOST}")


async def _refused(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    return _error(error.status_code, error.detail, dict(error.headers or {}))


async def _failed(_: Request, error: Exception) -> JSONResponse:
    code, text = next(((code, text) for kind, code, text in _STATUS if isinstance(error, kind)), _STATUS[-1][1:])
    if code == _STATUS[-1][1]:
        logger.warning("the read API could not ask the cluster: %s", error)
    return _error(code, text, {})


def _error(code: int, text: str, headers: dict[str, str]) -> JSONResponse:
    return JSONResponse({"error": {"code": code, "message": text}}, status_code=code, headers=_HEADERS | headers)

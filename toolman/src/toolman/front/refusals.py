"""Saying no over HTTP: a status and a JSON-RPC error that says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolman import jsonrpc
from toolman.front import wire

if TYPE_CHECKING:
    from toolman.front.connection import Connection
    from toolman.jsonrpc import Outcome
    from toolman.protocol.headers import Refusal

NULL = b"null"


class Rejected(Exception):  # noqa: N818 - reads as what it says
    """A request is answered with an HTTP status and a JSON-RPC error.

    Attributes:
        status: Of HTTP.
        outcome: The error.
        identifier: Of the request, raw JSON.
    """

    def __init__(self, status: int, outcome: Outcome, identifier: bytes | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.outcome = outcome
        self.identifier = identifier or NULL


def rejected(status: int, text: str, identifier: bytes | None = None) -> Rejected:
    """Refuse a request that makes no sense as it is."""
    return Rejected(status, jsonrpc.error(jsonrpc.INVALID_REQUEST, text), identifier)


def refuse(connection: Connection, refusal: Refusal, *, is_head: bool) -> None:
    """Answer a request that is refused for its headers alone."""
    lines = refusal.lines + connection.closing_line()
    if is_head:
        connection.respond((wire.text(refusal.status, b"", lines),))
    else:
        outcome = jsonrpc.error(jsonrpc.INVALID_REQUEST, refusal.text)
        connection.respond(wire.json_response(NULL, outcome, lines, refusal.status))


def reject(connection: Connection, problem: Rejected) -> None:
    """Answer a request that is refused for what it says."""
    line = connection.closing_line()
    connection.respond(wire.json_response(problem.identifier, problem.outcome, line, problem.status))

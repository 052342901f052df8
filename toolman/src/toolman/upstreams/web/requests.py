"""HTTP requests as streamable HTTP wants them: what is mirrored into headers, and the session that they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolman.protocol import modern, outgoing
from toolman.upstreams.web.messages import EVENTS, JSON

if TYPE_CHECKING:
    from toolman.exchange import Call, Outgoing
    from toolman.upstreams.web.destination import Address, Destination
    from toolman.upstreams.web.session import Session

_POSTED = b"content-type: %b\r\naccept: %b, %b\r\n" % (JSON, JSON, EVENTS)


def message(
    destination: Destination, session: Session, body: bytes, extra: bytes = b"", address: Address | None = None
) -> bytes:
    """Write the POST of a message.

    Args:
        destination: Where to.
        session: Of the message.
        body: The message.
        extra: Further headers, each with its line end.
        address: Instead of the destination's own, of the same origin.
    """
    head = destination.head(b"POST", address)
    return b"%b%b%b%bcontent-length: %d\r\n\r\n%b" % (head, _POSTED, session.headers, extra, len(body), body)


def call(destination: Destination, session: Session, call: Call) -> bytes:
    """Write the POST of a call."""
    body = outgoing.request(call.outgoing, session.era, call.number)
    return message(destination, session, body, _mirrored(call.outgoing) if session.era == "modern" else b"")


def stream(destination: Destination, session: Session, last: bytes) -> bytes:
    """Write the GET of a stream, behind the event ``last`` if that is not empty."""
    resumed = b"last-event-id: %b\r\n" % last if last else b""
    return b"%baccept: %b\r\n%b%b\r\n" % (destination.head(b"GET"), EVENTS, session.headers, resumed)


def farewell(destination: Destination, session: Session) -> bytes:
    """Write the DELETE of a session."""
    return b"%b%b\r\n" % (destination.head(b"DELETE"), session.headers)


def _mirrored(sent: Outgoing) -> bytes:
    """Write what stands in the body for who reads headers alone. Encoding leaves nothing that could end a line."""
    headers = b"%b: %b\r\n" % (modern.METHOD_HEADER, modern.encode_header(sent.method).encode())
    if sent.name is not None:
        headers += b"%b: %b\r\n" % (modern.NAME_HEADER, modern.encode_header(sent.name).encode())
    for name, value in sent.mirrored:
        headers += b"%b: %b\r\n" % (name.encode(), modern.encode_header(value).encode())
    return headers

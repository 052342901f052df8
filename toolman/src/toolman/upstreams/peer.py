"""JSON-RPC with one life of a server: own ids, answers matched to calls, progress in order, silence noticed.

Everything that a server sends is hostile until it matches something that was asked: other ids are dropped.
"""

from __future__ import annotations

import asyncio
import codecs
import logging
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, Raw, UnsetType

from toolman import jsonrpc
from toolman.protocol import legacy
from toolman.upstreams import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

UNAVAILABLE = -32000
TIMED_OUT = -32001
"""Codes of toolman's own errors, from the range that JSON-RPC leaves to servers."""

_SWEEP = 1.0
"""Seconds between looks at who has been silent for too long."""


_PIECE = 64 * 1024
_decoder = codecs.getincrementaldecoder("utf-8")


class _Incoming(msgspec.Struct):
    id: Raw | UnsetType = UNSET
    method: str | UnsetType = UNSET
    params: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


_incoming = msgspec.json.Decoder(_Incoming).decode
_number = msgspec.json.Decoder(int).decode
_REFUSED = jsonrpc.error(jsonrpc.METHOD_NOT_FOUND, "Method not found")


class Call:
    """One request on its way.

    Args:
        on_reply: Called once with the outcome.
        on_progress: Called with the params of each progress notification, before ``on_reply``.
        timeout: Seconds of silence after which the call fails.
    """

    __slots__ = ("_peer", "heard", "number", "on_progress", "on_reply", "timeout")

    def __init__(
        self,
        on_reply: Callable[[jsonrpc.Outcome], None],
        timeout: float,
        on_progress: Callable[[jsonrpc.Members], None] | None = None,
    ) -> None:
        self.on_reply = on_reply
        self.on_progress = on_progress
        self.timeout = timeout
        self.number = 0
        self.heard = 0.0
        self._peer: Peer | None = None

    def sent_over(self, peer: Peer, number: int, now: float) -> None:
        """Note where it is answered from."""
        self._peer, self.number, self.heard = peer, number, now

    def release(self) -> None:
        """Let go of who asked: otherwise the two keep each other, and a big result, until the collector comes."""
        self.on_reply, self.on_progress = _nobody, None

    def cancel(self, reason: Raw | None = None) -> None:
        """Forget the call and tell the server; ``on_reply`` is not called any more."""
        if self._peer is not None:
            self._peer.forget(self, reason)


class Peer:
    """The other end of a link.

    Args:
        name: The server's, for messages.
        write: Sends one line, given without its end; False if the server does not read.
        on_tools_changed: Called when the server says so.
    """

    def __init__(self, name: str, write: Callable[[bytes], bool], on_tools_changed: Callable[[], None]) -> None:
        self.name = name
        self._write = write
        self._on_tools_changed = on_tools_changed
        self._loop = asyncio.get_running_loop()
        self._calls: dict[int, Call] = {}
        self._last = 0
        self._sweeping = False

    def call(self, call: Call, method: bytes, params: Callable[[bytes], bytes]) -> None:
        """Send a request.

        Args:
            call: Gets the answer.
            method: Needs no escaping.
            params: Makes the params, given the request's number, which is its progress token as well.

        Raises:
            Failure: The server does not read what it is sent.
        """
        self._last += 1
        number = b"%d" % self._last
        if not self._write(jsonrpc.request(number, method, params(number))):
            raise Failure(f"server {self.name!r} does not read what it is sent; try again later")
        call.sent_over(self, self._last, self._loop.time())
        self._calls[self._last] = call
        if not self._sweeping:
            self._sweeping = True
            self._loop.call_later(min(_SWEEP, call.timeout / 4), self._sweep)

    async def request(self, method: bytes, params: bytes, limit: float) -> bytes:
        """Send a request of toolman's own and give the result.

        Raises:
            Failure: An error came back, or nothing in ``limit`` seconds.
        """
        reply: asyncio.Future[jsonrpc.Outcome] = self._loop.create_future()
        call = Call(reply.set_result, limit)
        self.call(call, method, lambda _: params)
        try:
            kind, value = await reply
        except asyncio.CancelledError:
            self._calls.pop(call.number, None)
            raise
        if kind != jsonrpc.RESULT:
            raise Failure(f"it answered {method.decode()} with the error {bytes(value)[:500].decode(errors='replace')}")
        return bytes(value)

    def notify(self, message: bytes) -> None:
        """Send a notification."""
        self._write(message)

    def forget(self, call: Call, reason: Raw | None) -> None:
        """Cancel a call; an answer that still comes is dropped."""
        if self._calls.pop(call.number, None) is not None:
            params = {"requestId": Raw(b"%d" % call.number)} | ({} if reason is None else {"reason": reason})
            self._write(jsonrpc.notification(legacy.CANCELLED.encode(), jsonrpc.dump(params)))

    def fail(self, text: str) -> None:
        """Answer everything on its way with an error: this life of the server is over."""
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.on_reply(jsonrpc.error(UNAVAILABLE, text))

    def line(self, data: bytes) -> None:
        """Take one line from the server."""
        if not data.isascii():
            data = _utf8(data)
        try:
            message = _incoming(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            repaired = _repaired(data)
            if repaired is None:
                log.debug("server %r: not a message: %r", self.name, data[:200])
                return
            message = repaired
        if message.method is UNSET:
            self._reply(message)
        elif message.id is UNSET:
            self._notified(message.method, message.params)
        else:
            outcome = jsonrpc.result(b"{}") if message.method == legacy.PING else _REFUSED
            self._write(jsonrpc.response(jsonrpc.on_one_line(bytes(message.id)), outcome))

    def _reply(self, message: _Incoming) -> None:
        call = self._calls.pop(_integer(message.id), None)
        if call is None:
            return
        if message.result is not UNSET:
            call.on_reply((jsonrpc.RESULT, message.result))
        elif message.error is not UNSET:
            call.on_reply((jsonrpc.ERROR, message.error))
        else:
            call.on_reply(jsonrpc.error(UNAVAILABLE, f"server {self.name!r} answered with neither result nor error"))

    def _notified(self, method: str, params: Raw | UnsetType) -> None:
        if method == legacy.TOOLS_CHANGED:
            self._on_tools_changed()
        elif method == legacy.PROGRESS and params is not UNSET:
            try:
                found = jsonrpc.members(params, jsonrpc.META_KEYS)
            except jsonrpc.Malformed:
                return
            call = self._calls.get(_integer(found.get("progressToken", UNSET)))
            if call is not None:
                call.heard = self._loop.time()
                if call.on_progress is not None:
                    call.on_progress(found)

    def _sweep(self) -> None:
        now = self._loop.time()
        for call in [call for call in self._calls.values() if now - call.heard >= call.timeout]:
            self.forget(call, Raw(b'"timed out"'))
            text = f"server {self.name!r} did not answer within {call.timeout:g} s"
            call.on_reply(jsonrpc.error(TIMED_OUT, text))
        self._sweeping = bool(self._calls)
        if self._calls:
            self._loop.call_later(min(_SWEEP, *(call.timeout / 4 for call in self._calls.values())), self._sweep)


def _nobody(_: jsonrpc.Outcome) -> None:
    """Nobody waits any more."""


def _integer(raw: Raw | UnsetType) -> int:
    try:
        return 0 if raw is UNSET else _number(raw)
    except msgspec.DecodeError:
        return 0


def _utf8(data: bytes) -> bytes:
    """Give valid UTF-8: what a server writes in another encoding must not break the client's parser."""
    decoder = _decoder()
    try:
        # In pieces: one wide character makes four bytes of each in the whole text.
        for start in range(0, len(data), _PIECE):
            decoder.decode(data[start : start + _PIECE])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return _in_utf8(data)
    return data


def _in_utf8(data: bytes) -> bytes:
    decoder = _decoder("replace")
    pieces = [decoder.decode(data[start : start + _PIECE]).encode() for start in range(0, len(data), _PIECE)]
    return b"".join((*pieces, decoder.decode(b"", final=True).encode()))


def _repaired(data: bytes) -> _Incoming | None:
    """Read a message with lone surrogates, which the fast parser refuses."""
    try:
        found = jsonrpc.members(data, jsonrpc.ENVELOPE)
        method = msgspec.json.decode(found.pop("method"), type=str) if "method" in found else UNSET
    except (jsonrpc.Malformed, msgspec.DecodeError):
        return None
    return _Incoming(
        method=method,
        id=found.get("id", UNSET),
        params=found.get("params", UNSET),
        result=found.get("result", UNSET),
        error=found.get("error", UNSET),
    )

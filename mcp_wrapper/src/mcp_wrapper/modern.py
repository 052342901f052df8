"""Requests of revision 2026-07-28 and later: each stands alone, without handshake or session."""

from __future__ import annotations

from mcp_wrapper import jsonrpc, routing
from mcp_wrapper.exchange import Exchange
from mcp_wrapper.notice import Notice
from mcp_wrapper.toolbook import CALL, LIST, Toolbook

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mcp_wrapper.bridge import Bridge
    from mcp_wrapper.spool import Raw


class ModernRequest(Exchange):
    """A request that says all that it needs.

    That its connection closes cancels it, at either end.
    """

    in_session = False

    def __init__(self, bridge: Bridge, message: jsonrpc.Message, book: Toolbook) -> None:
        super().__init__(bridge, message)
        self._book = book
        self._headers = b""
        self._mismatch: tuple[Raw, jsonrpc.Message] | None = None

    def extra_headers(self) -> bytes:
        """Say in headers what the body says."""
        self._headers = self._mirrored()
        return super().extra_headers() + self._headers

    def finish(self, line: Raw, message: jsonrpc.Message | None = None) -> None:
        """Answer; but first, learn from a list of tools, and try again with the headers that a tool has now."""
        if self._done:
            return
        method = self.message.method
        if message is not None and method == LIST:
            line = self._book.learn(message, line)
        mismatch = message is not None and jsonrpc.error_code(message) == jsonrpc.HEADER_MISMATCH
        if mismatch and message is not None and method == CALL and self._mismatch is None:
            # The server checks headers before it does anything: the call has not run.
            self._mismatch = line, message
            self._book.refresh(self)
        else:
            super().finish(line, message)

    def refreshed(self) -> None:
        """Try again if the tools say more than before; otherwise the error stays."""
        if self._done or self._mismatch is None:
            return
        if self._mirrored() == self._headers:
            super().finish(*self._mismatch)
        else:
            self._answered = False
            self.bridge.pool.cancel(self)  # its stream may not have ended yet
            self.send()

    def cancelled(self) -> bool:
        """Hang up, which tells the server."""
        super().cancelled()
        self.bridge.pool.cancel(self)
        return False

    def _mirrored(self) -> bytes:
        name = self.message.params.get("name")
        is_call = self.message.method == CALL and isinstance(name, str)
        return routing.headers(self.message, self._book.marks(str(name)) if is_call else [])


class ModernNotice(Notice):
    """A notification of a modern agent. Servers have no use for any over HTTP, but extensions may."""

    in_session = False

    def extra_headers(self) -> bytes:
        """Say in headers what the body says."""
        return super().extra_headers() + routing.headers(self.message, [])

"""Joins the agent's lines to toolman's HTTP, and decides in which order the process ends."""

from __future__ import annotations

from collections import deque

from mcp_wrapper import __version__, jsonrpc
from mcp_wrapper.credentials import TokenFile
from mcp_wrapper.exchange import Exchange, Initialize
from mcp_wrapper.log import printable
from mcp_wrapper.notice import Farewell, Initialized, Notice
from mcp_wrapper.pool import Pool
from mcp_wrapper.session import Session
from mcp_wrapper.stdio import MAX_LINE_BYTES, STDIN, STDOUT, Input, Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mcp_wrapper.log import Log
    from mcp_wrapper.loop import Loop, Timer
    from mcp_wrapper.settings import Settings

FINISH_SECONDS = 5.0
"""For calls in flight when stdin ends; and for an agent that still reads, to take what is left."""
FAREWELL_SECONDS = 0.5
"""For toolman to agree to the session's end: an agent that is waiting for its child to go must not notice it."""


class Bridge:
    """The whole wrapper.

    Attributes:
        settings: What was chosen.
        endpoint: Where toolman is.
        token: Bearer token, if there is one.
        pool: Connections.
        session: The session that the agent believes to have.
        common_headers: Headers of every request.
    """

    def __init__(self, settings: Settings, loop: Loop, log: Log, *, limit: int) -> None:
        self.settings = settings
        self.loop = loop
        self.log = log
        self.endpoint = settings.endpoint
        self.token = TokenFile(settings.token_file)
        self.common_headers = b"User-Agent: mcp-wrapper/%b\r\n" % __version__.encode()
        self.pool = Pool(loop, self.endpoint, log, limit=limit, patience=settings.connect_timeout)
        self.session = Session(self)
        self._pending: dict[str, Exchange] = {}
        self._notices: set[Notice] = set()
        self._held: deque[Exchange | Notice] = deque()
        self._ending = False
        self._leaving = False
        self._gone = False
        self._hurried = False
        self._limit: Timer | None = None
        self._input = Input(loop, on_line=self._line, on_overlong=self._overlong, on_end=self._stdin_ended, fd=STDIN)
        self._output = Output(loop, on_broken=self.hurry, fd=STDOUT)
        loop.before_waiting = self._end_of_round

    def to_agent(self, line: bytes) -> None:
        """Write one message to the agent."""
        self._output.write(line)

    def incoming(self, data: bytes) -> jsonrpc.Message | None:
        """Read a message of toolman's; None, and a line in the log, if it is none."""
        try:
            return jsonrpc.parse(jsonrpc.one_line(data))
        except jsonrpc.MessageError as error:
            self.log.note(f"dropped what is not a message: {error}: {printable(data[:100].decode('latin-1'))}")
            return None

    def release(self) -> None:
        """Send what waited for a handshake."""
        while self._held and not self.session.is_settling:
            self._held.popleft().send()

    def fail_held(self, reason: str) -> None:
        """Answer what waited for a handshake that failed."""
        held, self._held = self._held, deque()
        for call in held:
            call.session_failed(reason)

    def settled(self, call: Exchange | Notice) -> None:
        """Take note that a message of the agent's needs nothing more."""
        if isinstance(call, Notice):
            self._notices.discard(call)
        elif self._pending.get(call.message.key) is call:
            del self._pending[call.message.key]

    def cancel_upstream(self, key: str) -> None:
        """Tell toolman that nobody waits for an answer any more."""
        line = (
            b'{"jsonrpc":"2.0","method":"notifications/cancelled",'
            b'"params":{"requestId":%b,"reason":"timeout"}}' % key.encode()
        )
        self._post(jsonrpc.parse(line))

    def hurry(self) -> None:
        """End now: there is a signal, or nobody to talk to. The session is closed if that takes no time."""
        self._input.close()
        self._ending = self._hurried = True
        self._answer_all("mcp-wrapper was told to stop and")
        self._farewell()

    def leave(self) -> None:
        """Stop, when the agent has taken what is left for it."""
        if self._limit is not None:
            self._limit.cancel()
        self._gone = True
        if self._output.is_empty:
            self.loop.stop()
        else:
            self.loop.after(FAREWELL_SECONDS if self._hurried else FINISH_SECONDS, self.loop.stop)

    def close(self) -> None:
        """Give everything back."""
        self.pool.close()
        self._output.close()

    def _line(self, raw: bytes) -> None:
        try:
            message = jsonrpc.parse(raw)
        except jsonrpc.MessageError as error:
            self.to_agent(jsonrpc.error("null", error.code, str(error)))
            return
        if self.log.tracing:
            self.log.trace(f"from the agent: {message!r}")
        if message.kind == jsonrpc.REQUEST:
            self._request(message)
        else:
            if message.method == "notifications/cancelled":
                self._cancel(message)
            self._post(message)

    def _overlong(self) -> None:
        text = f"a line is longer than {MAX_LINE_BYTES >> 20} MiB"
        self.to_agent(jsonrpc.error("null", jsonrpc.INVALID_REQUEST, text))

    def _request(self, message: jsonrpc.Message) -> None:
        if message.is_modern:
            # Clients probe with server/discover; any error but -32022 makes them use the handshake.
            text = (
                f"{message.method}: mcp-wrapper {__version__} speaks revisions up to 2025-11-25: begin with initialize"
            )
            self.to_agent(jsonrpc.error(message.key, jsonrpc.METHOD_NOT_FOUND, text))
        elif message.key in self._pending:
            text = f"the id {message.key} belongs to a request that is not answered yet"
            self.to_agent(jsonrpc.error(message.key, jsonrpc.INVALID_REQUEST, text))
        else:
            kind = Initialize if message.method == "initialize" else Exchange
            exchange = self._pending[message.key] = kind(self, message)
            self._send(exchange)

    def _post(self, message: jsonrpc.Message) -> None:
        kind = Initialized if message.method == "notifications/initialized" else Notice
        notice = kind(self, message)
        self._notices.add(notice)
        self._send(notice)

    def _send(self, call: Exchange | Notice) -> None:
        if self.session.is_settling or self._held:
            self._held.append(call)
        else:
            call.send()

    def _cancel(self, message: jsonrpc.Message) -> None:
        params = message.body.get("params")
        key = jsonrpc.key_of(params.get("requestId")) if isinstance(params, dict) else ""
        exchange = self._pending.get(key)
        if exchange is not None:
            exchange.cancelled()

    def _stdin_ended(self) -> None:
        self.log.trace("stdin ended")
        self._ending = True
        self._limit = self.loop.after(FINISH_SECONDS, self._out_of_time)

    def _out_of_time(self) -> None:
        self._answer_all("stdin ended, and mcp-wrapper")
        self._farewell()

    def _end_of_round(self) -> None:
        if self._ending and not self._leaving and not self._pending and not self._notices:
            self._farewell()
        self._output.flush()
        if self._gone and self._output.is_empty:
            self.loop.stop()

    def _answer_all(self, reason: str) -> None:
        for exchange in list(self._pending.values()):
            exchange.fail(f"{reason} ended before {exchange.message.method} was answered; it may have been carried out")

    def _farewell(self) -> None:
        if self._leaving:
            return
        self._leaving = True
        self.session.close()
        if self._limit is not None:
            self._limit.cancel()
        if self.session.current is None or not self.session.current.identity:
            self.leave()
            return
        self._limit = self.loop.after(FAREWELL_SECONDS, self.leave)
        Farewell(self).send()

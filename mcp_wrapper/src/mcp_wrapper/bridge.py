"""Joins the agent's lines to toolman's HTTP, and decides in which order the process ends."""

from __future__ import annotations

from mcp_wrapper import __version__, jsonrpc
from mcp_wrapper.credentials import TokenFile
from mcp_wrapper.lean import deque
from mcp_wrapper.legacy import Initialize, LegacyRequest
from mcp_wrapper.log import printable
from mcp_wrapper.notice import Farewell, Initialized, Notice
from mcp_wrapper.pool import Pool
from mcp_wrapper.session import Session
from mcp_wrapper.stdio import MAX_LINE_BYTES, STDIN, STDOUT, Input, Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mcp_wrapper.batch import Batch
    from mcp_wrapper.dial import Preparation
    from mcp_wrapper.exchange import Exchange
    from mcp_wrapper.log import Log
    from mcp_wrapper.loop import Loop, Timer
    from mcp_wrapper.settings import Settings
    from mcp_wrapper.spool import Raw
    from mcp_wrapper.toolbook import Toolbook

FINISH_SECONDS = 5.0
"""For calls in flight when stdin ends; and for an agent that still reads, to take what is left."""
FAREWELL_SECONDS = 0.4
"""For toolman to agree to the session's end: an agent that is waiting for its child to go must not notice it."""
HURRIED_SECONDS = 0.3
"""For an agent that sent a signal to take what is left. With the farewell, the process is gone within a second."""
HELD_BYTES = 128 * 1024 * 1024
"""Of messages under way: no more lines are read until some of them are done. Twice the longest line."""
MESSAGE_BYTES = 2048
"""What a message costs besides its text."""


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

    def __init__(
        self, settings: Settings, loop: Loop, log: Log, *, limit: int, prepare: Preparation | None = None
    ) -> None:
        self.settings = settings
        self.loop = loop
        self.log = log
        self.endpoint = settings.endpoint
        self.token = TokenFile(settings.token_file)
        self.common_headers = b"User-Agent: mcp-wrapper/%b\r\n" % __version__.encode()
        patience = settings.connect_timeout
        self.pool = Pool(loop, self.endpoint, log, limit=limit, patience=patience, prepare=prepare)
        self.session = Session(self)
        self._book: Toolbook | None = None
        self._pending: dict[str, Exchange] = {}
        self._notices: set[Notice] = set()
        self._held: deque[Exchange | Notice] = deque()
        self._bytes = 0
        self._ending = False
        self._leaving = False
        self._gone = False
        self._hurried = False
        self._limit: Timer | None = None
        self._input = Input(loop, on_line=self._line, on_overlong=self._overlong, on_end=self._stdin_ended, fd=STDIN)
        self._output = Output(loop, on_broken=self.hurry, on_full=self._full, fd=STDOUT)
        loop.before_waiting = self._end_of_round

    def to_agent(self, line: Raw) -> None:
        """Write one message to the agent."""
        self._output.write(line)

    def incoming(self, data: Raw) -> list[jsonrpc.Message]:
        """Read messages of toolman's; what is none is a line in the log."""
        text = jsonrpc.one_line(data)
        try:
            return [jsonrpc.parse(part) for part in (jsonrpc.batch(text) if jsonrpc.is_batch(text) else (text,))]
        except jsonrpc.MessageError as error:
            self.log.note(f"dropped what is not a message: {error}: {printable(str(data[:100], 'latin-1'))}")
            return []

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
            if call not in self._notices:
                return
            self._notices.discard(call)
        elif self._pending.get(call.message.key) is call:
            del self._pending[call.message.key]
        else:
            return
        self._bytes -= len(call.message.raw) + MESSAGE_BYTES

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
            self.loop.after(HURRIED_SECONDS if self._hurried else FINISH_SECONDS, self.loop.stop)

    def close(self) -> None:
        """Give everything back."""
        self.pool.close()
        self._output.close()

    def _line(self, raw: Raw) -> None:
        if jsonrpc.is_batch(raw):
            self._take_batch(raw)
            return
        try:
            message = jsonrpc.parse(raw)
        except jsonrpc.MessageError as error:
            self.to_agent(jsonrpc.error("null", error.code, str(error)))
            return
        self._take(message, None)

    def _take_batch(self, raw: Raw) -> None:
        from mcp_wrapper import batch  # noqa: PLC0415 - of a revision that is long gone

        try:
            messages, answers = batch.read(raw, self.session.version)
        except jsonrpc.MessageError as error:
            self.to_agent(jsonrpc.error("null", error.code, str(error)))
            return
        requests = sum(message.kind == jsonrpc.REQUEST for message in messages)
        collecting = batch.Batch(self, requests, answers)
        for message in messages:
            self._take(message, collecting)

    def _overlong(self) -> None:
        text = f"a line is longer than {MAX_LINE_BYTES >> 20} MiB"
        self.to_agent(jsonrpc.error("null", jsonrpc.INVALID_REQUEST, text))

    def _take(self, message: jsonrpc.Message, batch: Batch | None) -> None:
        if self.log.tracing:
            self.log.trace(f"from the agent: {message!r}")
        if message.kind == jsonrpc.REQUEST:
            self._request(message, batch)
        elif message.method != "notifications/cancelled" or self._cancel(message):
            self._post(message)

    def _request(self, message: jsonrpc.Message, batch: Batch | None) -> None:
        if message.key in self._pending:
            text = f"the id {message.key} belongs to a request that is not answered yet"
            line = jsonrpc.error(message.key, jsonrpc.INVALID_REQUEST, text)
            if batch is None:
                self.to_agent(line)
            else:
                batch.answered(line)
            return
        exchange = self._exchange(message)
        exchange.batch = batch
        self._pending[message.key] = exchange
        self._send(exchange)

    def _exchange(self, message: jsonrpc.Message) -> Exchange:
        if not message.is_modern:
            return (Initialize if message.method == "initialize" else LegacyRequest)(self, message)
        from mcp_wrapper import modern, subscription, toolbook  # noqa: PLC0415 - legacy agents never need them

        self._book = self._book or toolbook.Toolbook(self)
        kind = subscription.Subscription if message.method == subscription.LISTEN else modern.ModernRequest
        return kind(self, message, self._book)

    def _post(self, message: jsonrpc.Message) -> None:
        if message.kind == jsonrpc.NOTIFICATION and message.is_modern:
            from mcp_wrapper.modern import ModernNotice  # noqa: PLC0415 - legacy agents never need it

            notice: Notice = ModernNotice(self, message)
        else:
            notice = (Initialized if message.method == "notifications/initialized" else Notice)(self, message)
        self._notices.add(notice)
        self._send(notice)

    def _send(self, call: Exchange | Notice) -> None:
        self._bytes += len(call.message.raw) + MESSAGE_BYTES
        if not call.message.is_modern and (self.session.is_settling or self._held):
            self._held.append(call)
        else:
            call.send()

    def _cancel(self, message: jsonrpc.Message) -> bool:
        """Cancel a request; tell whether toolman must be told."""
        exchange = self._pending.get(jsonrpc.key_of(message.params.get("requestId")))
        if exchange is not None:
            return exchange.cancelled()
        return self.session.current is not None  # it may cross the answer; modern servers take no such thing

    def _full(self, is_full: bool) -> None:  # noqa: FBT001 - a callback
        self.pool.press(is_full=is_full)

    def _stdin_ended(self) -> None:
        self.log.trace("stdin ended")
        self._ending = True
        self._limit = self.loop.after(FINISH_SECONDS, self._out_of_time)

    def _out_of_time(self) -> None:
        self._answer_all("stdin ended, and mcp-wrapper")
        self._farewell()

    def _end_of_round(self) -> None:
        if self._ending:
            if not self._leaving and not self._notices and all(call.is_listening for call in self._pending.values()):
                self._out_of_time()
        else:
            self._input.pause(paused=self._bytes > HELD_BYTES)
        self._output.flush()
        if self._gone and self._output.is_empty:
            self.loop.stop()

    def _answer_all(self, reason: str) -> None:
        for exchange in list(self._pending.values()):
            doubt = "" if exchange.may_run_twice else "; it may have been carried out"
            exchange.fail(f"{reason} ended before {exchange.message.method} was answered{doubt}")

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

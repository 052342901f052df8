"""One request of the agent, from its line to the line that answers it. Every request gets exactly one answer."""

from __future__ import annotations

from time import monotonic

from mcp_wrapper import jsonrpc
from mcp_wrapper.call import GET, JSON_TYPE, NOT_FOUND, POST, SERVICE_UNAVAILABLE, Call
from mcp_wrapper.log import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mcp_wrapper.bridge import Bridge
    from mcp_wrapper.loop import Timer

MAX_TRIES = 3
"""Of a request that only reads, after connections that broke while it ran; and of sessions that vanish at once."""
MAX_EMPTY_RESUMES = 5
"""In a row, without one event. Servers may end a stream whenever they like, but they must get on."""
RESUME_SECONDS = 1.0
"""Before a stream is resumed when the server did not say how long to wait."""
CANCELLED_SECONDS = 10.0
"""For a cancelled request's response to end by itself."""
REFUSED_TEXT_BYTES = 200

REPEATABLE = frozenset(
    (
        "completion/complete",
        "initialize",
        "logging/setLevel",
        "ping",
        "prompts/get",
        "prompts/list",
        "resources/list",
        "resources/read",
        "resources/subscribe",
        "resources/templates/list",
        "resources/unsubscribe",
        "tasks/get",
        "tasks/list",
        "tasks/result",
        "tools/list",
    ),
)
"""What may safely run twice. A tool call, and any method not known here, may not."""


class Exchange(Call):
    """A request and its one answer.

    Attributes:
        message: The request.
    """

    def __init__(self, bridge: Bridge, message: jsonrpc.Message) -> None:
        super().__init__(bridge, message.raw)
        self.message = message
        self._tries = 0
        self._replays = 0
        self._empty_resumes = 0
        self._resume_after = b""
        self._heard = 0.0
        self._idle: Timer | None = None
        self._done = False
        timeout = bridge.settings.timeout
        if timeout:
            self._heard = monotonic()
            self._idle = bridge.loop.after(timeout, self._check_idle)

    @property
    def is_settled(self) -> bool:
        """Tell whether nobody waits for the answer any more."""
        return self._done

    def __repr__(self) -> str:
        return f"<Exchange {self.message.method} {self.message.key}>"

    def extra_headers(self) -> bytes:
        """Ask for the rest of a stream when there is one."""
        if self.verb == GET:
            resume = b"Last-Event-ID: %b\r\n" % self._resume_after if self._resume_after else b""
            return b"Accept: text/event-stream\r\n" + resume
        return super().extra_headers()

    def accepted(self) -> None:
        """Put off the timeout."""
        if self._idle is not None:
            self._heard = monotonic()

    def event(self, data: bytes) -> None:
        """Pass a message of the stream on."""
        self._empty_resumes = 0
        message = self.bridge.incoming(data)
        if message is None:
            return
        if message.kind != jsonrpc.RESPONSE:
            self.bridge.to_agent(message.raw)
        elif message.key == self.message.key:
            self.finish(message.raw, message)
        elif message.key == "null" and "error" in message.body:
            self.finish(jsonrpc.readdress(message.raw, self.message.key), message)
        else:
            self.bridge.log.note(f"dropped an answer to {message.key}, which nobody asked here")

    def stream_ended(self, reason: str) -> None:
        """Ask for the rest of the stream, if it can be had."""
        if self._done or self.stream is None:
            return
        retry, self._resume_after = self.stream.retry, self.stream.last_id or self._resume_after
        self.stream = None
        if not self._resume_after or self._empty_resumes >= MAX_EMPTY_RESUMES:
            self.lost(reason, delivered=True)
            return
        self._empty_resumes += 1
        self.verb, self.body = GET, b""
        self.bridge.loop.after(RESUME_SECONDS if retry is None else retry, self.send)

    def answered(self, status: int, body: bytes) -> None:
        """Make the answer of a body, whatever the status."""
        if self._done:
            return
        if status == SERVICE_UNAVAILABLE and self.verb == POST:
            self.bridge.pool.postpone(self, "toolman is not ready (HTTP 503)")
            return
        text = jsonrpc.one_line(body)
        message = self._response_in(text)
        unknown_method = message is not None and jsonrpc.error_code(message) == jsonrpc.METHOD_NOT_FOUND
        if status == NOT_FOUND and self.session and self.session.identity and not unknown_method:
            self._session_lost()
        elif message is None:
            self.fail(self._refusal(status, body))
        elif message.key == self.message.key:
            self.finish(text, message)
        else:
            self.finish(jsonrpc.readdress(text, self.message.key), message)

    def lost(self, reason: str, *, delivered: bool) -> None:
        """Try again where nothing can have happened twice; otherwise say what is known."""
        if self._done:
            return
        url = self.bridge.endpoint.url
        if not delivered:
            self.fail(f"toolman cannot be reached at {url}: {reason}. Is it running?")
        elif self.message.method in REPEATABLE and self._tries + 1 < MAX_TRIES and self.verb == POST:
            self._tries += 1
            self.bridge.pool.postpone(self, reason)
        else:
            self.fail(
                f"the connection to toolman at {url} was lost while {self.message.method} ran: {reason}. "
                "It may have been carried out: check before calling it again.",
            )

    def finish(self, line: bytes, message: jsonrpc.Message | None = None) -> None:
        """Give the agent its answer, once.

        Args:
            line: The response.
            message: The same taken apart; None for an error of our own.
        """
        del message  # of interest to handshakes
        if not self._done:
            self.abandon()
            self.bridge.to_agent(line)

    def fail(self, text: str) -> None:
        """Answer with an error of our own."""
        self.bridge.log.trace(f"{self.message.method} {self.message.key}: {text}")
        self.finish(jsonrpc.error(self.message.key, jsonrpc.BRIDGE_ERROR, text))

    def abandon(self) -> None:
        """Answer no more: the agent does not expect it."""
        self._done = True
        if self._idle is not None:
            self._idle.cancel()
        self.bridge.settled(self)

    def cancelled(self) -> None:
        """Take note that the agent cancelled it.

        It must not run later if it did not leave yet; if it did, it may end without an answer, but end it must.
        """
        self.abandon()
        self.bridge.loop.after(CANCELLED_SECONDS, self._hang_up)

    def session_failed(self, reason: str) -> None:
        """Take note that the session could not be had again. The request itself never ran."""
        self.fail(f"toolman at {self.bridge.endpoint.url} forgot the session, and a new one failed: {reason}")

    def _hang_up(self) -> None:
        self.bridge.pool.cancel(self)

    def _response_in(self, text: bytes) -> jsonrpc.Message | None:
        if self.response is None or self.response.content_type != JSON_TYPE:
            return None
        try:
            message = jsonrpc.parse(text)
        except jsonrpc.MessageError:
            return None
        is_ours = message.key == self.message.key or (message.key == "null" and "error" in message.body)
        return message if message.kind == jsonrpc.RESPONSE and is_ours else None

    def _refusal(self, status: int, body: bytes) -> str:
        response, url = self.response, self.bridge.endpoint.url
        if response is not None and response.is_success:
            return f"{url} did not answer with a JSON-RPC response (HTTP {status}). Is this the URL of an MCP server?"
        plain = response is not None and response.content_type == b"text/plain"
        text = printable(body.decode("utf-8", "replace").strip(), REFUSED_TEXT_BYTES) if plain else ""
        return f"{url} answered HTTP {status}" + (f": {text}" if text else "")

    def _session_lost(self) -> None:
        self._replays += 1
        if self.session is None or self._replays >= MAX_TRIES:
            self.fail(f"toolman at {self.bridge.endpoint.url} forgets every session at once (HTTP 404)")
        elif self.verb == GET:
            self.lost("toolman forgot the session", delivered=True)
            self.bridge.session.lost(self.session)
        else:
            self.bridge.session.lost(self.session, self)

    def _check_idle(self) -> None:
        timeout = self.bridge.settings.timeout
        left = self._heard + timeout - monotonic()
        if left > 0:
            self._idle = self.bridge.loop.after(left, self._check_idle)
            return
        self.fail(f"no answer within {timeout:g} s of silence: {self.message.method} was cancelled")
        self.bridge.pool.cancel(self)
        if self.message.method != "initialize":
            self.bridge.cancel_upstream(self.message.key)


class Initialize(Exchange):
    """The first request of a session. All others wait for its answer."""

    in_session = False

    def send(self) -> None:
        """Begin a session, and forget the one before."""
        if self.is_settled:
            return
        self.bridge.session.opening(self.message)
        super().send()

    def finish(self, line: bytes, message: jsonrpc.Message | None = None) -> None:
        """Keep what the server says of the session."""
        if self._done:
            return
        super().finish(line)
        identity = self.response.headers.get(b"mcp-session-id", b"") if self.response else b""
        self.bridge.session.opened(message, identity)

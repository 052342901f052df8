"""One request of the agent, from its line to the line that answers it. Every request gets exactly one answer.

What is the same in all revisions is here; :mod:`mcp_wrapper.legacy` and :mod:`mcp_wrapper.modern` have the rest.
"""

from __future__ import annotations

from time import monotonic

from mcp_wrapper import jsonrpc
from mcp_wrapper.call import POST, SERVICE_UNAVAILABLE, Call
from mcp_wrapper.log import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mcp_wrapper.batch import Batch
    from mcp_wrapper.bridge import Bridge
    from mcp_wrapper.loop import Timer
    from mcp_wrapper.spool import Raw

MAX_TRIES = 3
"""Of a request that only reads, after connections that broke while it ran; and of sessions that vanish at once."""
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
        "server/discover",
        "subscriptions/listen",
        "tasks/get",
        "tasks/list",
        "tasks/result",
        "tools/list",
    ),
)
"""What may safely run twice. A tool call, and any method not known here, may not."""
ONE_TIME = frozenset(("inputResponses", "requestState"))
"""Parameters that go on with something that was begun, and may do so only once."""


class Exchange(Call):
    """A request and its one answer.

    Attributes:
        message: The request.
        batch: The array that it came in, and whose answer its own becomes a part of.
    """

    is_listening = False
    """Stays open for as long as the agent likes; nobody waits for its answer."""

    def __init__(self, bridge: Bridge, message: jsonrpc.Message) -> None:
        super().__init__(bridge, message.raw)
        self.message = message
        self.batch: Batch | None = None
        self._tries = 0
        self._heard = 0.0
        self._idle: Timer | None = None
        self._done = self._answered = False
        timeout = bridge.settings.timeout
        if timeout and not self.is_listening:
            self._heard = monotonic()
            self._idle = bridge.loop.after(timeout, self._check_idle)

    @property
    def is_settled(self) -> bool:
        """Tell whether nobody waits for the answer any more."""
        return self._done

    @property
    def may_run_twice(self) -> bool:
        """Tell whether it may be sent again when nobody knows whether it ran."""
        return self.message.method in REPEATABLE and ONE_TIME.isdisjoint(self.message.params)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.message.method} {self.message.key}>"

    def accepted(self) -> None:
        """Put off the timeout."""
        if self._idle is not None:
            self._heard = monotonic()

    def event(self, data: Raw) -> None:
        """Take the messages of an event."""
        for message in self.bridge.incoming(data):
            self.take(message)

    def take(self, message: jsonrpc.Message) -> None:
        """Pass on a message that came in answer to the request."""
        if message.kind != jsonrpc.RESPONSE:
            self.bridge.to_agent(message.raw)
            return
        if message.key == self.message.key:
            line = message.raw
        elif message.key == "null" and "error" in message.body:
            line = jsonrpc.readdress(message.raw, self.message.key)
        else:
            self.bridge.log.note(f"dropped an answer to {message.key}, which nobody asked here")
            return
        self._answered = True
        self.finish(line, message)

    def stream_ended(self, reason: str) -> None:
        """Take note that a stream ended, with the answer or without."""
        self.stream = None
        if not self._answered:
            self.lost(reason, delivered=True)

    def answered(self, status: int, body: Raw) -> None:
        """Make the answer of a body, whatever the status."""
        if self._done:
            return
        if status == SERVICE_UNAVAILABLE and self.verb == POST:
            self.bridge.pool.postpone(self, "toolman is not ready (HTTP 503)")
            return
        for message in self.messages(body):
            self.take(message)
        if not self._answered:
            self.fail(self._refusal(status, body))

    def lost(self, reason: str, *, delivered: bool) -> None:
        """Try again where nothing can have happened twice; otherwise say what is known."""
        if self._done:
            return
        url = self.bridge.endpoint.url
        if self.verb == POST and not delivered:
            self.fail(f"toolman cannot be reached at {url}: {reason}. Is it running?")
        elif self.verb == POST and self.may_run_twice and self._tries + 1 < MAX_TRIES:
            self._tries += 1
            self.bridge.pool.postpone(self, reason)
        else:
            self.fail(
                f"the connection to toolman at {url} was lost while {self.message.method} ran: {reason}. "
                "It may have been carried out: check before calling it again.",
            )

    def finish(self, line: Raw, message: jsonrpc.Message | None = None) -> None:
        """Give the agent its answer, once.

        Args:
            line: The response.
            message: The same taken apart; None for an error of our own.
        """
        del message  # of interest to some kinds of requests
        if self._done:
            return
        self._settle()
        if self.batch is not None:
            self.batch.answered(line)
        else:
            self.bridge.to_agent(line)

    def fail(self, text: str) -> None:
        """Answer with an error of our own."""
        self.bridge.log.trace(f"{self.message.method} {self.message.key}: {text}")
        self.finish(jsonrpc.error(self.message.key, jsonrpc.BRIDGE_ERROR, text))

    def cancelled(self) -> bool:
        """Take note that the agent cancelled it, and expects no answer; tell whether toolman is to hear of that."""
        self._settle()
        if self.batch is not None:
            self.batch.answered(None)
        return True

    def timed_out(self) -> None:
        """Let toolman know that nobody waits any more."""
        self.bridge.pool.cancel(self)

    def session_failed(self, reason: str) -> None:
        """Take note that the session could not be had again. The request itself never ran."""
        self.fail(f"toolman at {self.bridge.endpoint.url} forgot the session, and a new one failed: {reason}")

    def _settle(self) -> None:
        self._done = True
        if self._idle is not None:
            self._idle.cancel()
        self.bridge.settled(self)

    def _refusal(self, status: int, body: Raw) -> str:
        response, url = self.response, self.bridge.endpoint.url
        if response is not None and response.is_success:
            return f"{url} did not answer with a JSON-RPC response (HTTP {status}). Is this the URL of an MCP server?"
        plain = response is not None and response.content_type == b"text/plain"
        text = printable(str(body, "utf-8", "replace").strip(), REFUSED_TEXT_BYTES) if plain else ""
        return f"{url} answered HTTP {status}" + (f": {text}" if text else "")

    def _check_idle(self) -> None:
        timeout = self.bridge.settings.timeout
        left = self._heard + timeout - monotonic()
        if left > 0:
            self._idle = self.bridge.loop.after(left, self._check_idle)
            return
        self.fail(f"no answer within {timeout:g} s of silence: {self.message.method} was cancelled")
        self.timed_out()

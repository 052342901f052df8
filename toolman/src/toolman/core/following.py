"""Following what changes: subscriptions of the legacy era, and the open requests of the modern one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolman import jsonrpc
from toolman.core.context import UNAVAILABLE, Pending, session_of
from toolman.core.ledger import Used
from toolman.core.listening import read_filter
from toolman.upstreams import Failure

if TYPE_CHECKING:
    from msgspec import Raw

    from toolman.core.context import Cancel
    from toolman.core.forwarding import Forwarder, Request
    from toolman.core.hub import Hub
    from toolman.core.listening import Filter, Listener
    from toolman.jsonrpc import Outcome

_DONE = jsonrpc.result(b"{}")
_GONE = jsonrpc.error(UNAVAILABLE, "the client does not listen any more")


class Following:
    """Serves what begins and ends following.

    Args:
        forwarder: Refuses.
    """

    def __init__(self, forwarder: Forwarder) -> None:
        self._forwarder = forwarder
        self._context = forwarder.context
        self._listens: set[Listen] = set()

    def subscribe(self, request: Request) -> Cancel | None:
        """Serve ``resources/subscribe``."""
        return self._change(request, is_wanted=True)

    def unsubscribe(self, request: Request) -> Cancel | None:
        """Serve ``resources/unsubscribe``."""
        return self._change(request, is_wanted=False)

    def listen(self, request: Request) -> Cancel | None:
        """Serve ``subscriptions/listen``: open until the client closes it, or toolman ends."""
        request.params()  # refuses what could be read in two ways
        wanted = read_filter(request.message.params or b"{}")
        listen = Listen(self, request)
        try:
            listen.open(wanted)
        except Failure as problem:
            return self._forwarder.finish(request, jsonrpc.error(UNAVAILABLE, str(problem)))
        return listen.cancel

    @property
    def hub(self) -> Hub:
        """Who tells them."""
        return self._context.gateway.hub

    def end(self) -> None:
        """End all that listen, as the specification has it for a server that is going."""
        for listen in tuple(self._listens):
            listen.end()

    def opened(self, listen: Listen) -> None:
        """Note one that listens."""
        self._listens.add(listen)

    def closed(self, listen: Listen, outcome: Outcome) -> None:
        """Answer one that listens no more."""
        self._listens.discard(listen)
        self._forwarder.finish(listen.request, outcome)

    def _change(self, request: Request, *, is_wanted: bool) -> Cancel | None:
        uri = jsonrpc.text(request.params(), "uri")
        gateway = self._context.gateway
        session = session_of(request.caller)
        owner = gateway.view(session).owner(uri)
        if owner is None:
            if not gateway.is_introduced(session):
                return self._forwarder.when_introduced(request, self.subscribe if is_wanted else self.unsubscribe)
            return self._forwarder.deny_resource(request, uri)
        server, decision = owner
        used = Used("resources", uri, server, uri, decision.would_deny)

        async def change() -> Outcome:
            change = gateway.hub.subscribe if is_wanted else gateway.hub.unsubscribe
            await change(session, server, uri)
            gateway.sessions.save(session)
            self._context.ledger.ended(session, used, "ok", 0, request.started)
            return _DONE

        return Pending(self._context, session, request.message, request.reply).run(change())


class Listen:
    """One request that listens.

    Args:
        following: Answers it.
        request: The request.
    """

    def __init__(self, following: Following, request: Request) -> None:
        self.request = request
        self._following = following
        self._listener: Listener | None = None

    def open(self, wanted: Filter) -> None:
        """Begin.

        Raises:
            Failure: It wants too much.
        """
        caller, message = self.request.caller, self.request.message
        hub = self._following.hub
        self._listener = hub.listen(caller, message.identifier or b"null", wanted, self._send)
        self._following.opened(self)

    def cancel(self, _reason: Raw | None) -> None:
        """End it because the client has closed it."""
        self._end(_GONE)

    def end(self) -> None:
        """End it because toolman ends."""
        if self._listener is not None:
            self._end(jsonrpc.result(self._listener.result))

    def _send(self, message: bytes) -> None:
        if not self.request.reply.note(message):
            self._end(_GONE)  # a client that takes no events cannot listen

    def _end(self, outcome: Outcome) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
            self._following.closed(self, outcome)

"""What a server may ask of a client, and what it may know of one: decided by configuration, layers and the client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolman import jsonrpc
from toolman.core.capabilities import may_ask
from toolman.core.resources import decide_uri
from toolman.exchange import REFUSED
from toolman.policy import decide
from toolman.protocol import modern, translate

if TYPE_CHECKING:
    from toolman.config import Config, Server
    from toolman.core.gateway import Gateway
    from toolman.core.ledger import Used
    from toolman.exchange import Caller, Era
    from toolman.jsonrpc import Outcome
    from toolman.protocol.translate import InputRequest

_REMEMBERED = 512
"""Clients' capabilities with what servers see of them; there are only as many as kinds of clients."""

NOTHING = b"{}"


class Permission:
    """Decides for the configuration in force.

    Args:
        gateway: Knows the configuration.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._config: Config | None = None
        self._requests: dict[str, frozenset[str]] = {}
        self._shown: dict[tuple[str, Era, bytes], bytes] = {}

    def requests(self, server: Server) -> frozenset[str]:
        """Give what a server may ask: ``elicitation``, ``sampling``, ``roots``, as far as allowed."""
        self._keep_up()
        found = self._requests.get(server.name)
        if found is None:
            layers = self._gateway.config.layers
            found = self._requests[server.name] = frozenset(
                name for name in server.server_requests if may_ask(layers, server, name)
            )
        return found

    def shown(self, caller: Caller, server: Server) -> bytes:
        """Give what a server of the modern era may know of a client's capabilities: verbatim where all of it may."""
        self._keep_up()
        key = (server.name, caller.era, caller.capabilities)
        found = self._shown.get(key)
        if found is None:
            if len(self._shown) >= _REMEMBERED:
                self._shown.clear()
            found = self._shown[key] = self._cut(caller, server)
        return found

    def refusal(self, caller: Caller, server: Server, request: InputRequest) -> Outcome | None:
        """Tell why a client is not asked something, None if it is.

        Returns:
            An error that names a capability if the client would have to declare one; otherwise
            :data:`toolman.exchange.REFUSED`.
        """
        name = translate.REQUESTS.get(request.method)
        if name is None or name not in self.requests(server):
            return REFUSED
        try:
            lacking = translate.lacking(caller.capabilities, request)
        except jsonrpc.Malformed:
            return REFUSED
        return None if lacking is None else modern.missing_capability(lacking)

    def withdrawn(self, used: Used, caller: Caller, method: str) -> Outcome | None:
        """Give the error for something that was allowed and is not any more, the one for what is not there; else None.

        Args:
            used: What was decided on under a configuration that is not in force any more.
            caller: Who waits for it.
            method: Of the request.
        """
        layers = self._gateway.config.layers
        if used.kind == "resources":
            is_allowed = decide_uri(layers, used.server, used.name).allowed
        else:
            names = used.name.split(",") if used.kind == "extensions" else [used.name]
            is_allowed = all(decide(layers, used.server, used.kind, name).allowed for name in names)
        if is_allowed:
            return None
        if used.kind == "resources":
            return translate.resource_not_found(caller.era, used.shown)
        if used.kind == "extensions":
            return jsonrpc.error(jsonrpc.METHOD_NOT_FOUND, "Method not found")
        is_task = method.startswith("tasks/")
        text = "Unknown task" if is_task else f"Unknown {used.kind[:-1]}: {used.shown}"
        return jsonrpc.error(jsonrpc.INVALID_PARAMS, text)

    def may_extend(self, server: str, extension: str) -> bool:
        """Decide on an extension of the protocol."""
        return decide(self._gateway.config.layers, server, "extensions", extension).allowed

    def _cut(self, caller: Caller, server: Server) -> bytes:
        try:
            return translate.shown_capabilities(
                caller.capabilities,
                caller.era,
                self.requests(server),
                lambda extension: self.may_extend(server.name, extension),
            )
        except jsonrpc.Malformed:
            return NOTHING

    def _keep_up(self) -> None:
        config = self._gateway.config
        if config is not self._config:
            self._config = config
            self._requests.clear()
            self._shown.clear()

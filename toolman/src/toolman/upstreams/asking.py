"""Requests of toolman's own to a server: calls whose outcome is waited for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from toolman.exchange import Call, Outgoing
from toolman.protocol import outgoing
from toolman.upstreams.inflight import OWN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msgspec import Raw

    from toolman.jsonrpc import Outcome


class Asking(Call):
    """One request.

    Args:
        method: Such as ``tools/list``.
        params: Members of its params.
        limit: Seconds of silence after which it fails.
        capabilities: Of clients, as far as the server may know them; a raw JSON object.

    Attributes:
        reply: Done when the outcome is there.
    """

    __slots__ = ("reply",)

    def __init__(self, method: str, params: Mapping[str, bytes | Raw], limit: float, capabilities: bytes) -> None:
        sent = Outgoing(method, params, capabilities=capabilities, client_info=outgoing.CLIENT_INFO)
        super().__init__(sent, limit, OWN)
        self.reply: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def replied(self, outcome: Outcome) -> None:
        """Hand it to who waits."""
        if not self.reply.done():
            self.reply.set_result(outcome)

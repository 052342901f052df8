"""What the front asks of the core: one call a message, answered through what is passed along."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from msgspec import Raw

    from toolman.config import Config
    from toolman.exchange import Caller, Reply
    from toolman.jsonrpc import Message, Outcome
    from toolman.sessions import Session

    Cancel = Callable[[Raw | None], None]


class Core(Protocol):
    """Serves messages."""

    def request(self, caller: Caller, message: Message, reply: Reply) -> Cancel | None:
        """Answer a request through ``reply``, now or later, once.

        Returns:
            What to call when the client does not want it any more, None if it is answered already.
        """

    def notification(self, caller: Caller, message: Message) -> None:
        """Take a notification."""

    def response(self, session: Session, message: Message) -> None:
        """Take what a client says to a question."""

    async def initialize(self, session: Session) -> Outcome:
        """Answer ``initialize``; an error ends the session."""


class Surroundings(Protocol):
    """What the front asks of the gateway."""

    @property
    def config(self) -> Config:
        """The configuration in force."""

    def is_stateless_for(self, scope: str | None) -> bool:
        """Tell whether no server of an endpoint needs sessions."""

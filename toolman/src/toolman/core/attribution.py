"""Whose call a question belongs to that names none: servers of the legacy era over lines ask so.

A peer gives such a question to a call only while everything on its way is one client's. Here one of that client's calls
is chosen: one whose client is being asked already is taken to wait for that answer, and not to ask again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolman.config import Http

if TYPE_CHECKING:
    from toolman.core.calls import ClientCall
    from toolman.upstreams.supervisor import Supervisor


class Attribution:
    """Knows the calls of modern clients that are with legacy servers."""

    def __init__(self) -> None:
        self._calls: dict[Supervisor, dict[ClientCall, None]] = {}

    def add(self, supervisor: Supervisor, call: ClientCall) -> None:
        """Note a call that is on its way."""
        self._calls.setdefault(supervisor, {})[call] = None

    def remove(self, supervisor: Supervisor, call: ClientCall) -> None:
        """Note that a call is over."""
        calls = self._calls.get(supervisor)
        if calls is not None:
            calls.pop(call, None)
            if not calls:
                del self._calls[supervisor]

    def meant(self, supervisor: Supervisor, call: ClientCall) -> ClientCall | None:
        """Tell which call a question belongs to that was given to one of its client's; None if that is not sure."""
        if isinstance(supervisor.server.upstream, Http):
            return call  # it came on the call's own stream
        alike = [each for each in self._calls.get(supervisor, ()) if each.owner == call.owner]
        active = [each for each in alike if not each.is_parked]
        if not active:
            return call if len(alike) == 1 else None
        return active[-1]

"""The one decision: may this thing be seen and called?

Lists and calls alike ask :func:`decide`, and so does the operator for a resource's status, so that what is shown,
what is allowed and what is reported cannot drift apart. Pure: no I/O, no clock.
"""

from __future__ import annotations

import functools
import re
from fnmatch import translate
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Kind = Literal["tools"]
"""What can be listed and called. Prompts and resources join when the proxy serves them."""

Reason = Literal["Allowed", "Denied", "NotListed"]
"""Why: no layer objects; a layer's deny list matches; a layer has an allow list and none of it matches."""


class Rules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Globs over names as the server itself gives them, case-sensitive.

    Attributes:
        allow: None has no opinion; a list (even an empty one) denies what it does not match.
        deny: Wins over ``allow``.
    """

    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()


class Layer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One opinion about some servers: an admin's ToolPolicy, a server's owner or an agent's owner.

    Attributes:
        source: Who says so, for audit and status: ``ToolPolicy/base``, ``MCPServer/git``, ``MCPAgent/dev``.
        servers: Globs over server names; the layer says nothing about other servers.
        tools: Its opinion about tools.
    """

    source: str
    servers: tuple[str, ...] = ("*",)
    tools: Rules = Rules()


class Decision(msgspec.Struct, frozen=True):
    """The verdict and the layer that made it (``source`` is empty when no layer objects)."""

    allowed: bool
    reason: Reason
    source: str = ""


ALLOWED = Decision(allowed=True, reason="Allowed")


@functools.lru_cache(maxsize=4096)
def _pattern(glob: str) -> re.Pattern[str]:
    return re.compile(translate(glob))


def matches(globs: Iterable[str], name: str) -> bool:
    """Tell whether any of the globs (``*``, ``?``, ``[set]``; case-sensitive) matches the whole name."""
    return any(_pattern(glob).match(name) for glob in globs)


def decide(layers: Sequence[Layer], server: str, kind: Kind, name: str) -> Decision:
    """Decide on one thing of one server.

    Every layer must allow it; the first that does not is the one named. A layer can only narrow what the others allow.

    Args:
        layers: In the order in which they are to be named: policies by name, then the server, then the agent.
        server: The server's name in the configuration.
        kind: Which of a layer's rules apply.
        name: The thing's name as the server gives it, before any prefix.
    """
    for layer in layers:
        if not matches(layer.servers, server):
            continue
        rules: Rules = getattr(layer, kind)
        if matches(rules.deny, name):
            return Decision(allowed=False, reason="Denied", source=layer.source)
        if rules.allow is not None and not matches(rules.allow, name):
            return Decision(allowed=False, reason="NotListed", source=layer.source)
    return ALLOWED

"""The one decision: may this thing be seen and used?

Lists and calls alike ask :func:`decide`, and so does the operator for a resource's status, so that what is shown,
what is allowed and what is reported cannot drift apart. Pure: no I/O, no clock.
"""

from __future__ import annotations

import functools
import re
from fnmatch import translate
from typing import TYPE_CHECKING, Annotated, Final, Literal, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Kind = Literal["tools", "prompts", "resources", "extensions", "server_requests"]
"""What is decided on: names of tools and prompts, URIs of resources and templates, extensions' identifiers, and what
servers ask of clients: ``elicitation``, ``sampling``, ``roots``."""

Reason = Literal["Allowed", "Denied", "NotListed", "NoLayer"]
"""Why: no layer objects; a layer's deny list matches; a layer has an allow list and none of it matches; no enforcing
layer speaks about this server at all, so nobody has allowed anything."""

Enforcement = Literal["enforce", "audit"]

Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86400)]
"""In a file also as a text with a unit: ``500ms``, ``60s``, ``5m``, ``1h``."""


class _Strict(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"
):
    """Base of what people write."""


class Rules(_Strict, frozen=True):
    """Globs over names as the server itself gives them, case-sensitive.

    Attributes:
        allow: None has no opinion; a list (even an empty one) denies what it does not match.
        deny: Wins over ``allow``.
    """

    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()


class Limits(_Strict, frozen=True):
    """Bounds of what an agent may use of the servers that a layer is about; None has no opinion, the tightest counts.

    Attributes:
        calls_per_minute: Calls of tools, as a bucket that holds as many and fills evenly.
        max_concurrent_calls: Calls on their way at a time.
        max_tools: Visible tools; those behind, in the order of the list, are not shown.
        max_list_tokens: Tokens that the visible tools may take, as :mod:`toolman.manifest` estimates them.
        call_timeout: Seconds of silence after which a call fails; progress extends it.
        max_result_bytes: Bytes of one result.
    """

    calls_per_minute: Count | None = None
    max_concurrent_calls: Count | None = None
    max_tools: Count | None = None
    max_list_tokens: Count | None = None
    call_timeout: Seconds | None = None
    max_result_bytes: Count | None = None


class Layer(_Strict, frozen=True):
    """One opinion about some servers: an admin's ToolPolicy, a server's owner or an agent's owner.

    Attributes:
        source: Who says so, for audit and status: ``ToolPolicy/base``, ``MCPServer/git``, ``MCPAgent/dev``.
        enforcement: A layer in ``audit`` blocks nothing and grants nothing: what it would deny is counted.
        servers: Globs over server names; the layer says nothing about other servers.
        tools: Its opinion about tools.
        prompts: About prompts.
        resources: About resources and templates, by URI.
        extensions: About extensions of the protocol, by their identifiers.
        server_requests: About what servers may ask of clients.
        limits: How much may be used.
    """

    source: str
    enforcement: Enforcement = "enforce"
    servers: tuple[str, ...] = ("*",)
    tools: Rules = Rules()
    prompts: Rules = Rules()
    resources: Rules = Rules()
    extensions: Rules = Rules()
    server_requests: Rules = Rules()
    limits: Limits = Limits()


class Decision(msgspec.Struct, frozen=True):
    """The verdict, the layer that made it (``source`` is empty when none objects), and who would have denied it.

    Attributes:
        allowed: Whether it may be seen and used.
        reason: Why.
        source: The layer that denies it.
        would_deny: Sources of the layers in ``audit`` that object.
    """

    allowed: bool
    reason: Reason
    source: str = ""
    would_deny: tuple[str, ...] = ()


_WILDCARD: Final = re.compile(r"[*?]")

ALLOWED = Decision(allowed=True, reason="Allowed")
NO_LAYER = Decision(allowed=False, reason="NoLayer")


class _Glob(NamedTuple):
    part: str
    """In every name that it matches. Looking for it is twenty times as fast as matching: lists are long, and whoever
    writes them decides how much there is to do."""
    pattern: re.Pattern[str]


@functools.lru_cache(maxsize=4096)
def _glob(text: str) -> _Glob:
    parts = _WILDCARD.split(text.partition("[")[0])
    return _Glob(max(parts, key=len), re.compile(translate(text)))


def matches(globs: Iterable[str], name: str) -> bool:
    """Tell whether any of the globs (``*``, ``?``, ``[set]``; case-sensitive) matches the whole name."""
    for text in globs:
        part, pattern = _glob(text)
        if part in name and pattern.match(name):
            return True
    return False


def decide(layers: Sequence[Layer], server: str, kind: Kind, name: str) -> Decision:
    """Decide on one thing of one server.

    Every enforcing layer about the server must allow it, and there must be one; the first that does not is the one
    named. A layer can only narrow what the others allow.

    Args:
        layers: In the order in which they are to be named: policies by name, then the server, then the agent.
        server: The server's name in the configuration.
        kind: Which of a layer's rules apply.
        name: The thing's name as the server gives it, before any prefix.
    """
    verdict = NO_LAYER
    would_deny: tuple[str, ...] = ()
    for layer in layers:
        if not matches(layer.servers, server):
            continue
        reason = _objection(getattr(layer, kind), name)
        if layer.enforcement == "audit":
            would_deny += (layer.source,) if reason else ()
        elif reason and verdict.reason in {"NoLayer", "Allowed"}:
            verdict = Decision(allowed=False, reason=reason, source=layer.source)
        elif verdict is NO_LAYER:
            verdict = ALLOWED
    return msgspec.structs.replace(verdict, would_deny=would_deny) if would_deny else verdict


def tightest(layers: Iterable[Layer], server: str) -> dict[str, tuple[float, str]]:
    """Give the tightest bound of every kind that enforcing layers set for a server, each with the layer's source.

    Returns:
        Name of the field of :class:`Limits` to its value and who says so; kinds that nobody bounds are absent.
    """
    found: dict[str, tuple[float, str]] = {}
    for layer in layers:
        if layer.enforcement == "audit" or not matches(layer.servers, server):
            continue
        for field in Limits.__struct_fields__:
            value = getattr(layer.limits, field)
            if value is not None and (field not in found or value < found[field][0]):
                found[field] = (value, layer.source)
    return found


def _objection(rules: Rules, name: str) -> Reason | None:
    if matches(rules.deny, name):
        return "Denied"
    if rules.allow is not None and not matches(rules.allow, name):
        return "NotListed"
    return None

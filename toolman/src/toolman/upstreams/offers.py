"""What a server offers, as it listed it: raw, in its order, with nothing decided yet. Pure."""

from __future__ import annotations

import msgspec

from toolman import jsonrpc
from toolman.upstreams import Hello


class Item(msgspec.Struct, frozen=True):
    """A tool, a prompt, a resource or a template.

    Attributes:
        name: What decides: a name, a URI or a URI template, as the server gives it.
        members: All members, raw and in order.
    """

    name: str
    members: jsonrpc.Members


class Offers(msgspec.Struct, frozen=True):
    """Everything that one life of a server has listed. Lists of what it does not have are empty.

    Attributes:
        hello: What it says of itself.
        tools: By ``name``.
        prompts: By ``name``.
        resources: By ``uri``.
        templates: By ``uriTemplate``.
        ttl: Milliseconds that the shortest-lived list may be kept, None if the server gave no bound.
        is_public: Whether the server says of all its lists that caches may share them between clients.
    """

    hello: Hello
    tools: tuple[Item, ...] = ()
    prompts: tuple[Item, ...] = ()
    resources: tuple[Item, ...] = ()
    templates: tuple[Item, ...] = ()
    ttl: int | None = None
    is_public: bool = False

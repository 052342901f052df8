"""What clients of the modern era listen to: ``subscriptions/listen``, what it asks for and what is sent on it.

Source: modelcontextprotocol.io/specification/2026-07-28, *Subscriptions*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw

from toolman import jsonrpc
from toolman.protocol import modern

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolman.core.catalog import View
    from toolman.exchange import Caller
    from toolman.jsonrpc import Members
    from toolman.upstreams import ListKind


class Filter(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What a listener of the modern era wants to hear of, and what it is told that it will: as it is on the wire.

    Attributes:
        tools_list_changed: Changes of the list of tools.
        prompts_list_changed: Of prompts.
        resources_list_changed: Of resources and templates.
        resource_subscriptions: URIs of resources.
    """

    tools_list_changed: bool = False
    prompts_list_changed: bool = False
    resources_list_changed: bool = False
    resource_subscriptions: tuple[str, ...] = ()

    def wants(self, kind: ListKind) -> bool:
        """Tell whether changes of a list are wanted."""
        return bool(getattr(self, f"{kind}_list_changed"))


class Listener:
    """An open ``subscriptions/listen``.

    Args:
        caller: Whose it is.
        identifier: Of the request, raw.
        honoured: What it hears of.
        send: Sends a message.
        on_close: Called with it when it is closed.

    Attributes:
        caller: See above.
        honoured: See above.
        result: How it ends if toolman ends it, raw.
    """

    def __init__(
        self,
        caller: Caller,
        identifier: bytes,
        honoured: Filter,
        send: Callable[[bytes], None],
        on_close: Callable[[Listener], None],
    ) -> None:
        self.caller = caller
        self.honoured = honoured
        self._meta: Members = {modern.META_SUBSCRIPTION: Raw(identifier)}
        self._send = send
        self._on_close = on_close
        self.result = jsonrpc.dump({"resultType": modern.COMPLETE, "_meta": jsonrpc.dump(self._meta)})

    def acknowledge(self) -> None:
        """Say what it will hear of: the first message."""
        self.tell(modern.ACKNOWLEDGED.encode(), {"notifications": Raw(jsonrpc.encode(self.honoured))})

    def tell(self, method: bytes, params: Members | None = None, meta: Members | None = None) -> None:
        """Send a notification under its subscription, with what else its ``_meta`` holds."""
        about = jsonrpc.dump({**(meta or {}), **self._meta})
        told = jsonrpc.dump({**(params or {}), "_meta": about})
        self._send(jsonrpc.notification(method, jsonrpc.on_one_line(told)))

    def close(self) -> None:
        """Hear no more."""
        self._on_close(self)


class _Params(msgspec.Struct):
    notifications: Filter


_params = msgspec.json.Decoder(_Params).decode


def read_filter(params: bytes | Raw) -> Filter:
    """Read what a ``subscriptions/listen`` wants; kinds of notifications that are not known are not honoured.

    Raises:
        Malformed: It says nothing that can be read.
    """
    try:
        return _params(params).notifications
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise jsonrpc.Malformed(jsonrpc.INVALID_PARAMS, f'"notifications" cannot be read: {problem}') from None


def honoured(wanted: Filter, view: View) -> Filter:
    """Cut what is wanted to what there is in a view."""
    return Filter(
        wanted.tools_list_changed,
        wanted.prompts_list_changed and view.has("prompts"),
        wanted.resources_list_changed and view.has("resources"),
        tuple(uri for uri in dict.fromkeys(wanted.resource_subscriptions) if view.owner(uri) is not None),
    )

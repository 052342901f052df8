"""Whose a task is: the server that runs it, the tool that it came from, and the client that may ask about it.

Tasks of 2025-11-25 and of the extension of 2026-07-28 have nothing in common but the word and are not translated. An
id means something to its owner alone; a client that cannot be told from others gets ids that nobody can guess.
"""

from __future__ import annotations

import base64
import hmac
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from toolman import jsonrpc
from toolman.core.context import session_of
from toolman.protocol import legacy

if TYPE_CHECKING:
    from msgspec import Raw

    from toolman.core.calls import ClientCall
    from toolman.core.catalog import View
    from toolman.exchange import Caller, Era
    from toolman.jsonrpc import Members, Outcome
    from toolman.sessions import Session

MAX_TASKS = 2_000
"""Tasks that are remembered; the one that nobody has asked about for the longest is forgotten."""

_MARK_BYTES = 12

Owner = tuple["Era", str]


class Task(NamedTuple):
    """One task.

    Attributes:
        server: Who runs it.
        own: The server's id for it.
        tool: Name, as clients see it, of the tool that it came from; what is hidden meanwhile takes its tasks along.
        session: Of the client, None in the modern era.
    """

    server: str
    own: str
    tool: str
    session: Session | None


class Tasks:
    """All of them.

    Args:
        key: Secret; makes ids that cannot be guessed.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._tasks: OrderedDict[tuple[Owner, str], Task] = OrderedDict()

    def find(self, caller: Caller, view: View, identifier: str) -> Task | None:
        """Give a task of this caller's that it may still use; None for everything else."""
        key = (_owner(caller), identifier)
        task = self._tasks.get(key)
        if task is None:
            return None
        route = view.tools.get(task.tool)
        if route is None or route.server != task.server:
            return None
        self._tasks.move_to_end(key)
        return task

    def of(self, caller: Caller, view: View) -> dict[str, dict[str, str]]:
        """Give all tasks of a caller's that it may use: by server, the server's ids with the caller's."""
        found: dict[str, dict[str, str]] = {}
        owner = _owner(caller)
        for whose, identifier in tuple(self._tasks):
            task = self.find(caller, view, identifier) if whose == owner else None
            if task is not None:
                found.setdefault(task.server, {})[task.own] = identifier
        return found

    def noted(self, call: ClientCall, outcome: Outcome) -> Outcome:
        """Note the task that a result makes, and give the result with the caller's id for it.

        Raises:
            Malformed: The result could be read in two ways.
        """
        method = call.outgoing.method
        found = jsonrpc.members(outcome[1], jsonrpc.RESULT_KEYS)
        if method == legacy.CALL_TOOL:
            if call.caller.era == "modern":
                return self._renamed(outcome, found, "taskId", self._register(call, jsonrpc.text(found, "taskId")))
            if "task" not in found:
                return outcome
            task = jsonrpc.members(found["task"], jsonrpc.RESULT_KEYS)
            own = jsonrpc.text(task, "taskId")
            shown = self._register(call, own)
            return outcome if shown == own else _with(outcome, found, "task", _put(task, "taskId", shown))
        if method == legacy.TASK_RESULT:
            return _related(outcome, found, call.used.shown)
        return self._renamed(outcome, found, "taskId", call.used.shown) if "taskId" in found else outcome

    def tell(self, server: str, params: Raw) -> None:
        """Pass on what a server says of a task to the session that made it; what names no task is dropped."""
        try:
            found = jsonrpc.members(params, jsonrpc.RESULT_KEYS)
            own = jsonrpc.text(found, "taskId")
        except jsonrpc.Malformed:
            return
        for (_, identifier), task in self._tasks.items():
            if task.session is not None and (task.server, task.own) == (server, own):
                written = bytes(params) if own == identifier else _put(found, "taskId", identifier)
                task.session.push(jsonrpc.notification(legacy.TASK_STATUS.encode(), jsonrpc.on_one_line(written)))

    def forget(self, caller: Caller) -> None:
        """Forget the tasks of a session that is over."""
        owner = _owner(caller)
        for key in [key for key in self._tasks if key[0] == owner]:
            del self._tasks[key]

    def listed(self, raw: Raw, shown: dict[str, str]) -> bytes | None:
        """Give one task of a server's list as its owner sees it; None if it is somebody else's.

        Args:
            raw: From the server.
            shown: The server's ids of the caller's tasks, with the caller's.

        Raises:
            Malformed: It could be read in two ways.
        """
        found = jsonrpc.members(raw, jsonrpc.RESULT_KEYS)
        own = jsonrpc.text(found, "taskId")
        if own not in shown:
            return None
        return bytes(raw) if shown[own] == own else _put(found, "taskId", shown[own])

    def _register(self, call: ClientCall, own: str) -> str:
        caller = call.caller
        owner = _owner(caller)
        task = Task(call.used.server, own, call.used.shown, session_of(caller) if caller.era == "legacy" else None)
        identifier = own if caller.principal else f"{own}.{self._mark(task)}"
        known = self._tasks.get((owner, identifier))
        if known is not None and known.server != task.server:
            identifier = f"{task.server}.{identifier}"
        self._tasks[owner, identifier] = task
        self._tasks.move_to_end((owner, identifier))
        if len(self._tasks) > MAX_TASKS:
            self._tasks.popitem(last=False)
        return identifier

    def _mark(self, task: Task) -> str:
        digest = hmac.digest(self._key, f"{task.server}/{task.own}".encode("utf-8", "surrogatepass"), "sha256")
        return base64.urlsafe_b64encode(digest[:_MARK_BYTES]).decode()

    def _renamed(self, outcome: Outcome, found: Members, key: str, shown: str) -> Outcome:
        return outcome if jsonrpc.text(found, key) == shown else (outcome[0], _put(found, key, shown))


def _owner(caller: Caller) -> Owner:
    return caller.era, caller.principal


def _put(found: Members, key: str, value: str) -> bytes:
    return jsonrpc.dump({**found, key: jsonrpc.encode(value)})


def _with(outcome: Outcome, found: Members, key: str, value: bytes) -> Outcome:
    return outcome[0], jsonrpc.dump({**found, key: value})


def _related(outcome: Outcome, found: Members, shown: str) -> Outcome:
    """Put the caller's id for a task where a result names the task that it is of."""
    if bytes(found.get("_meta", b""))[:1] != b"{":
        return outcome
    meta = jsonrpc.members(found["_meta"], jsonrpc.META_KEYS)
    if bytes(meta.get(legacy.RELATED_TASK, b""))[:1] != b"{":
        return outcome
    related = jsonrpc.members(meta[legacy.RELATED_TASK], jsonrpc.RESULT_KEYS)
    if jsonrpc.text(related, "taskId") == shown:
        return outcome
    meta_written = jsonrpc.dump({**meta, legacy.RELATED_TASK: _put(related, "taskId", shown)})
    return _with(outcome, found, "_meta", meta_written)

"""What the schemas of listed tools ask of those who call them over HTTP: which arguments to repeat in headers."""

from __future__ import annotations

from mcp_wrapper import jsonrpc, routing, skim
from mcp_wrapper.call import Call
from mcp_wrapper.lean import quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mcp_wrapper.bridge import Bridge
    from mcp_wrapper.modern import ModernRequest
    from mcp_wrapper.spool import Raw

LIST, CALL = "tools/list", "tools/call"
MAX_PAGES = 100
"""Of a list that the bridge reads by itself. More is a server that has no end."""


class Toolbook:
    """Remembers the marks of tools that were listed, by the tool's name."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._marks: dict[str, list[routing.Mark]] = {}
        self._waiting: list[ModernRequest] = []

    def marks(self, name: str) -> list[routing.Mark]:
        """Give the marks of a tool; none if it has none, or was never listed."""
        return self._marks.get(name, [])

    def learn(self, answer: jsonrpc.Message, line: Raw) -> Raw:
        """Read a page of tools. Give the line to pass on: without the tools whose marks are invalid."""
        tools = _tools(answer, line)
        wanted = [self._take(tool) for tool in tools]
        if all(wanted):
            return line
        place = skim.find(line, "result", "tools")
        spans = list(skim.elements(line, place[0])) if place else []
        return skim.keep(line, spans, wanted)

    def refresh(self, request: ModernRequest) -> None:
        """List the tools again, in the name of a request whose headers were not right, and tell it."""
        self._waiting.append(request)
        if len(self._waiting) == 1:
            Relisting(self._bridge, self, request.message).send()

    def refreshed(self) -> None:
        """Tell all that wait."""
        waiting, self._waiting = self._waiting, []
        for request in waiting:
            request.refreshed()

    def _take(self, tool: object) -> bool:
        name = tool.get("name") if isinstance(tool, dict) else None
        if not isinstance(tool, dict) or not isinstance(name, str):
            return True  # nothing that can be called
        self._marks.pop(name, None)
        try:
            marks = routing.marks_of(tool.get("inputSchema"))
        except routing.AnnotationError as error:
            self._bridge.log.note(f"the tool {name} is left out: {routing.ANNOTATION}: {error}")
            return False
        if marks:
            self._marks[name] = marks
        return True


class Relisting(Call):
    """``tools/list``, page after page; the agent does not see it."""

    in_session = False

    def __init__(self, bridge: Bridge, book: Toolbook, request: jsonrpc.Message) -> None:
        super().__init__(bridge)
        begin, end = skim.find(request.raw, "params", "_meta") or (0, 0)
        self._meta = bytes(request.raw[begin:end]) or b"{}"
        self._book = book
        self._cursors: set[str] = set()
        self._answer: jsonrpc.Message | None = None
        self._ask(b"")

    def extra_headers(self) -> bytes:
        """Say in headers what the body says."""
        return super().extra_headers() + routing.headers(jsonrpc.parse(self.body), [])

    def event(self, data: Raw) -> None:
        """Take the answer from a stream."""
        for message in self.bridge.incoming(data):
            if message.kind == jsonrpc.RESPONSE:
                self._answer = message

    def stream_ended(self, reason: str) -> None:
        """Go on with the next page, if there is one."""
        del reason
        self._next()

    def answered(self, status: int, body: Raw) -> None:
        """Take the answer from a body."""
        del status
        for message in self.messages(body):
            self._answer = message
        self._next()

    def lost(self, reason: str, *, delivered: bool) -> None:
        """Give up: what waits keeps the error that it has."""
        del reason, delivered
        self._book.refreshed()

    def _next(self) -> None:
        answer, self._answer = self._answer, None
        cursor = None
        if answer is not None:
            self._book.learn(answer, answer.raw)
            result = answer.body.get("result")
            cursor = result.get("nextCursor") if isinstance(result, dict) else None
        if isinstance(cursor, str) and cursor not in self._cursors and len(self._cursors) < MAX_PAGES:
            self._cursors.add(cursor)
            self._ask(b'"cursor":%b,' % quoted(cursor))
            self.send()
        else:
            self._book.refreshed()

    def _ask(self, cursor: bytes) -> None:
        self.body = b'{"jsonrpc":"2.0","id":"mcp-wrapper","method":"tools/list","params":{%b"_meta":%b}}' % (
            cursor,
            self._meta,
        )


def _tools(answer: jsonrpc.Message, line: Raw) -> list[Any]:
    result = answer.body.get("result")
    if result is ... or (isinstance(result, dict) and result.get("tools") is ...):
        result = jsonrpc.decode(line).get("result")  # a long list
    tools = result.get("tools") if isinstance(result, dict) else None
    return tools if isinstance(tools, list) else []

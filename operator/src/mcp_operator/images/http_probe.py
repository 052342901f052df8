"""Find the MCP endpoint of something that listens, and shake hands with it: streamable HTTP in both eras, or SSE."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from mcp_operator.images import handshake, http_client
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.handshake import HandshakeError
from mcp_operator.images.http_client import Refused, Web
from mcp_operator.images.sandbox import Ended

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mcp_operator.images.budget import Budget
    from mcp_operator.images.contract import Transport
    from mcp_operator.images.handshake import Era, Manifest
    from mcp_operator.images.http_client import Dial

PATHS = ("/mcp", "/sse", "/", "/api/mcp", "/v1/mcp")
"""Where servers have their endpoint when they do not say."""
MAX_PATHS = 12
MAX_EVENTS = 1000
REDIRECTS = 2

_URL = re.compile(r"https?://[\w.\-\[\]:*]*:(\d{2,5})(/[\w./~-]*)?", re.ASCII)
_PLAIN = re.compile(r"/[!-~]{0,500}")
"""What may be asked for: paths come from a stranger's files, lines and headers."""
_UNAUTHORIZED, _FORBIDDEN = 401, 403
_REDIRECTS = (301, 302, 307, 308)
_HEADER_VALUE = re.compile(r"[!-~]{1,512}")


class Found(NamedTuple):
    """An endpoint, and what it said."""

    manifest: Manifest
    transport: Transport
    path: str


def paths_in(lines: Iterable[str]) -> list[str]:
    """Give the paths of the URLs with a port that a server wrote, each once."""
    found = (match[1].rstrip(".") for line in lines for match in _URL.findall(line) if match[1])
    return list(dict.fromkeys(found))


def find(dial: Dial, port: int, paths: Iterable[str], budget: Budget) -> Found:
    """Try the paths in their order, then those of :data:`PATHS`.

    Raises:
        HandshakeError: None of them is an endpoint that works; the text says what came nearest.
        BuildCancelled: The budget says so.
        BuildError: The time is used up.
    """
    tried = list(dict.fromkeys(path for path in (*paths, *PATHS) if _PLAIN.fullmatch(path)))[:MAX_PATHS]
    web = Web(dial, port)
    nearest: HandshakeError | None = None
    for look in (_streamable, _sse):
        for path in tried:
            try:
                return look(web, path, budget)
            except Refused:
                continue
            except HandshakeError as error:
                nearest = nearest or error
    raise nearest or HandshakeError(f"it speaks HTTP at port {port}, and no MCP at {', '.join(tried)}")


def ask(web: Web, transport: Transport, path: str, budget: Budget) -> Found:
    """Shake hands at one path by one transport, and end the session: the server goes on after us.

    Raises:
        HandshakeError: It is no endpoint that works; the text says how it answers.
        BuildCancelled: The budget says so.
        BuildError: The time is used up.
    """
    return _sse(web, path, budget) if transport == "sse" else _streamable(web, path, budget, is_kept=True)


def _streamable(web: Web, path: str, budget: Budget, *, is_kept: bool = False) -> Found:
    eras: tuple[Era, ...] = ("legacy", "modern")
    wrong: HandshakeError | None = None
    for era in eras:
        peer = _Streamable(web, path, budget)
        try:
            found = Found(handshake.perform(peer, era), "streamable-http", peer.path)
        except Refused as error:
            raise wrong or error from None
        except HandshakeError as error:
            wrong = wrong or error
        else:
            if is_kept:
                peer.end()
            return found
    raise wrong or Refused(0)


def _sse(web: Web, path: str, budget: Budget) -> Found:
    return Found(handshake.perform(_Sse(web, path, budget)), "sse", path)


class _Streamable:
    """A server at one path of streamable HTTP: each request is a POST, each answer JSON or a stream of events."""

    def __init__(self, web: Web, path: str, budget: Budget) -> None:
        self.path = path
        self.noise = 0
        self._web = web
        self._budget = budget
        self._last = 0
        self._session: dict[str, str] = {}

    def request(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and wait for its result."""
        self._last += 1
        message = {"jsonrpc": "2.0", "id": self._last, "method": method, "params": params}
        modern = {"MCP-Protocol-Version": handshake.MODERN_PROTOCOL, "Mcp-Method": method} if "_meta" in params else {}
        for _ in range(REDIRECTS):
            try:
                result = self._post(method, message, modern)
                break
            except Refused as error:
                if not error.location:
                    raise
                self.path = error.location
        else:
            raise Refused(http.client.TEMPORARY_REDIRECT)
        if method == "initialize":
            version = str(result.get("protocolVersion"))
            if _HEADER_VALUE.fullmatch(version):
                self._session["MCP-Protocol-Version"] = version
        return result

    def notify(self, method: str) -> None:
        """Send a notification."""
        body = json.dumps({"jsonrpc": "2.0", "method": method}).encode()
        with self._web.request("POST", self.path, self._headers({}), body, self._budget) as response:
            http_client.body_of(response)

    def end(self) -> None:
        """End the session, if there is one; servers may refuse that."""
        if "Mcp-Session-Id" in self._session:
            with (
                contextlib.suppress(HandshakeError),
                self._web.request("DELETE", self.path, self._session, None, self._budget) as response,
            ):
                http_client.body_of(response)

    def _post(self, method: str, message: dict[str, Any], more: Mapping[str, str]) -> dict[str, Any]:
        body = json.dumps(message).encode()
        with self._web.request("POST", self.path, self._headers(more), body, self._budget) as response:
            session = response.getheader("Mcp-Session-Id", "")
            if _HEADER_VALUE.fullmatch(session):
                self._session["Mcp-Session-Id"] = session
            for answer in http_client.answers(response):
                if answer.get("id") == self._last and "method" not in answer:
                    return handshake.result_of(method, answer)
                if "error" in answer:  # without the identity, when the request itself was not to its liking
                    return handshake.result_of(method, answer)
            raise self._refused(response)

    def _headers(self, more: Mapping[str, str]) -> dict[str, str]:
        common = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        return {**common, **self._session, **more}

    def _refused(self, response: http.client.HTTPResponse) -> HandshakeError:
        if response.status in (_UNAUTHORIZED, _FORBIDDEN):
            return HandshakeError(f"it wants an authorization at {self.path} (HTTP status {response.status})")
        location = ""
        if response.status in _REDIRECTS:
            location = urlsplit(urljoin(self.path, response.getheader("Location", ""))).path
        return Refused(response.status, location if _PLAIN.fullmatch(location) else "")


class _Sse:
    """A server of the transport before streamable HTTP: answers come on a stream of their own."""

    noise = 0

    def __init__(self, web: Web, path: str, budget: Budget) -> None:
        self._web = web
        self._budget = budget
        self._last = 0
        self._open = contextlib.ExitStack()
        accept = {"Accept": "text/event-stream"}
        response = self._open.enter_context(web.request("GET", path, accept, None, budget))
        if not http_client.is_stream(response):
            raise Refused(response.status)
        self._events = http_client.events(response)
        name, data = self._event()
        if name != "endpoint":
            raise Refused(response.status)
        target = urlsplit(urljoin(path, data))
        self._target = f"{target.path}?{target.query}" if target.query else target.path
        if not _PLAIN.fullmatch(self._target):
            raise HandshakeError("the stream of events names no usable address for messages")

    def request(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and wait for its result on the stream."""
        self._last += 1
        self._send({"jsonrpc": "2.0", "id": self._last, "method": method, "params": params})
        for _ in range(MAX_EVENTS):
            message = http_client.message_of(self._event()[1])
            if message.get("id") == self._last and "method" not in message:
                return handshake.result_of(method, message)
        raise HandshakeError(f"the server sent {MAX_EVENTS} events without answering {method}")

    def notify(self, method: str) -> None:
        """Send a notification."""
        self._send({"jsonrpc": "2.0", "method": method})

    def _event(self) -> tuple[str, str]:
        try:
            return next(self._events)
        except (StopIteration, http.client.HTTPException, Ended, TimeoutError) as error:
            raise HandshakeError("the stream of events ended") from error
        except BuildError as error:
            self._budget.check(Step.VERIFY)
            raise HandshakeError("nothing came on the stream of events") from error

    def _send(self, message: dict[str, Any]) -> None:
        headers = {"Content-Type": "application/json"}
        body = json.dumps(message).encode()
        with self._web.request("POST", self._target, headers, body, self._budget) as response:
            http_client.body_of(response)
            if response.status >= http.client.BAD_REQUEST:
                raise Refused(response.status)

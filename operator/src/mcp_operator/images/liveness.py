"""How Docker is told whether a server in a container is alive: the lines EXPOSE and HEALTHCHECK of an image.

HTTP is asked over HTTP, with what the image has: any answer at all is a sign of life. A server on stdio cannot be
asked, its stdin belongs to the client; but its process must not hang stopped, and must still have a client: started
without ``docker run -i`` its stdin is ``/dev/null``, and nobody will ever speak to it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcp_operator import names
from mcp_operator.images.tree import PLAIN_PATH

if TYPE_CHECKING:
    from mcp_operator.images.contract import Transport

PORT = names.TOOLMAN_PORT
"""Of a server that serves HTTP and does not say where."""

_TIMES = "--interval=30s --timeout=5s --start-period=60s --retries=3"
"""A slow server imports for up to 40 s before it answers."""
_STDIO = r'test "$(readlink /proc/1/fd/0)" != /dev/null && ! grep -q "^State:.[TXZ]" /proc/1/status'
_PYTHON = (
    "import http.client as h; c = h.HTTPConnection('127.0.0.1', {port}, timeout=4);"
    " c.request('GET', '{path}'); c.getresponse()"
)
_NODE = "fetch('http://127.0.0.1:{port}{path}').then(() => process.exit(0), () => process.exit(1))"
_SHELL = "exec 3<>/dev/tcp/127.0.0.1/{port}"


@dataclass(frozen=True, kw_only=True)
class Serving:
    """How a server is reached.

    Attributes:
        language: What is in its image to ask with: ``node``, ``python``, ``go``; of another nothing is known.
        transport: How it is spoken with.
        port: Where it listens, for HTTP.
        path: Of its endpoint, for HTTP.
    """

    language: str
    transport: Transport = "stdio"
    port: int | None = None
    path: str = ""


def lines(serving: Serving) -> list[str]:
    """Give the lines of a Dockerfile."""
    if serving.transport == "stdio":
        # Nothing is known of an image that somebody else described: it may have no shell.
        return [_line(["sh", "-c", _STDIO])] if serving.language != "dockerfile" else []
    port = serving.port or PORT
    check = _http(serving.language, port, serving.path)
    return [f"EXPOSE {port}", *([_line(check)] if check else [])]


def _line(check: list[str]) -> str:
    return f"HEALTHCHECK {_TIMES} CMD {json.dumps(check)}"


def _http(language: str, port: int, path: str) -> list[str]:
    path = path if PLAIN_PATH.match(path.removeprefix("/")) and path.startswith("/") else "/"
    if language == "python":
        return ["python", "-c", _PYTHON.format(port=port, path=path)]
    if language == "node":
        return ["node", "-e", _NODE.format(port=port, path=path)]
    return ["bash", "-c", _SHELL.format(port=port)] if language == "go" else []

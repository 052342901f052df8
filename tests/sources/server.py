"""A git server as hosts run it: ``git http-backend`` behind HTTP; read-only, smart protocol only."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import subprocess
import threading
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from sources.repositories import CREDENTIALS, ISOLATED, PRIVATE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGEST_REQUEST = 16 * 2**20
CLIENT_SECONDS = 60
"""A client that is silent for so long is dropped."""
BLOCK = 65536
BATCH = "/info/lfs/objects/batch"
CONTENT = "/lfs-content/"


class GitServer(ThreadingHTTPServer):
    """Serves the bare repositories below a folder until :meth:`shutdown`.

    Attributes:
        root: Folder with the repositories; new ones are served at once.
        requests: Request lines seen, for tests that ask whether something was fetched.
        objects: What Git LFS has, by SHA-256. Private repositories have the same.
        actions: What is said of an object that there is, besides its URL.
    """

    daemon_threads = True

    def __init__(self, root: Path, host: str = "127.0.0.1", port: int = 0) -> None:
        """Bind an address; port 0 takes a free one."""
        self.root = root
        self.requests: list[str] = []
        self.objects: dict[str, bytes] = {}
        self.actions: dict[str, Any] = {}
        super().__init__((host, port), _Handler)

    @property
    def address(self) -> str:
        """``host:port`` as bound."""
        return f"{self.server_address[0]!s}:{self.server_address[1]}"

    def keep(self, content: bytes) -> str:
        """Put a file into Git LFS; give what stands for it in a repository."""
        oid = hashlib.sha256(content).hexdigest()
        self.objects[oid] = content
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"

    def url(self, repository: str = "") -> str:
        """Give the URL of a repository by its path below the root."""
        return f"http://{self.address}/{repository}"


@contextmanager
def serving(root: Path, host: str = "127.0.0.1", port: int = 0) -> Iterator[GitServer]:
    """Serve a folder in a thread of its own for as long as the context lasts."""
    with GitServer(root, host, port) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="git-server")
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    """One request: check it, run the CGI program, pass its answer on."""

    server: GitServer
    timeout = CLIENT_SECONDS

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's signature
        self.server.requests.append(format % args)

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        # git serves "x" and "//x.git" for "x.git" as well
        private = PRIVATE.removesuffix(".git") in (part.removesuffix(".git") for part in path.split("/"))
        if private and not self._authorized():
            self.send_response(HTTPStatus.UNAUTHORIZED)
            self.send_header("WWW-Authenticate", 'Basic realm="private"')
            self.end_headers()
            return
        try:
            body = self._body()
        except ValueError as error:
            self.send_error(HTTPStatus.BAD_REQUEST, str(error))
            return
        if path.endswith(BATCH) or CONTENT in path:
            self._answer_lfs(path, body)
            return
        command = subprocess.Popen(
            ["git", "http-backend"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._environment(path, len(body)),
        )
        with command:
            try:
                self._relay(command, body)
            except OSError:
                self.close_connection = True  # the client has gone; it wants no answer

    def _answer_lfs(self, path: str, body: bytes) -> None:
        """Answer as the API of Git LFS has it: where objects are, or one of them."""
        if path.endswith(BATCH):
            place = f"{self.server.url()}{path.strip('/').removesuffix(BATCH)}{CONTENT}"
            objects = []
            for wanted in json.loads(body)["objects"]:
                there = wanted["oid"] in self.server.objects
                actions = {"download": {"href": f"{place}{wanted['oid']}", **self.server.actions}}
                objects.append(wanted | ({"actions": actions} if there else {"error": {"code": 404, "message": "no"}}))
            content = json.dumps({"transfer": "basic", "objects": objects}).encode()
        else:
            content = self.server.objects[path.rpartition("/")[2]]
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _relay(self, command: subprocess.Popen[bytes], body: bytes) -> None:
        source, sink = command.stdout, command.stdin
        assert source is not None
        assert sink is not None
        writer = threading.Thread(target=_feed, args=(sink, body))
        writer.start()
        try:
            status, headers = _cgi_headers(source)
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            while block := source.read(BLOCK):
                self.wfile.write(block)
        finally:
            command.kill()  # nothing when it has ended; else the client has gone and nobody reads on
            writer.join()

    def _authorized(self) -> bool:
        expected = "Basic " + base64.b64encode(":".join(CREDENTIALS).encode()).decode()
        return hmac.compare_digest(self.headers.get("Authorization", ""), expected)

    def _body(self) -> bytes:
        """Read the request's body, of a given length or in chunks (git's way above 1 MiB)."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            length = int(self.headers.get("Content-Length") or 0)
            if not 0 <= length <= LARGEST_REQUEST:
                raise ValueError("too large")
            return self.rfile.read(length)
        parts = bytearray()
        while size := int(self.rfile.readline(32).split(b";")[0], 16):
            if size < 0 or len(parts) + size > LARGEST_REQUEST:
                raise ValueError("too large")
            parts += self.rfile.read(size)
            self.rfile.readline(4)
        self.rfile.readline(4)
        return bytes(parts)

    def _environment(self, path: str, length: int) -> dict[str, str]:
        given = {
            "CONTENT_TYPE": "Content-Type",
            "HTTP_CONTENT_ENCODING": "Content-Encoding",
            "GIT_PROTOCOL": "Git-Protocol",
        }
        return {
            **ISOLATED,
            "GIT_PROJECT_ROOT": os.fspath(self.server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": urlsplit(self.path).query,
            "REMOTE_ADDR": str(self.client_address[0]),
            "CONTENT_LENGTH": str(length),
            **{name: self.headers[header] for name, header in given.items() if header in self.headers},
        }


def _feed(sink: IO[bytes], body: bytes) -> None:
    """Write and close; beside the reading, since both pipes may fill up."""
    try:
        with sink:
            sink.write(body)
    except BrokenPipeError:
        pass  # it answered without reading on


def _cgi_headers(source: IO[bytes]) -> tuple[int, list[tuple[str, str]]]:
    status, headers = HTTPStatus.OK.value, []
    while line := source.readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        if name.lower() == "status":
            status = int(value.split()[0])
        else:
            headers.append((name, value.strip()))
    return status, headers

"""A guard that really runs: TLS, a Kubernetes API that answers TokenReviews, and Pods that show tokens."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import json
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import ports
from lab.pki import Authority
from toolman_harness import HEADERS, LIMIT, SCRIPTED, Client, Starter, Toolman, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AUDIENCE = "toolman.dev/mcpserver/1234"
OWN = "the guard's own token"
POD = "authentication.kubernetes.io/pod-uid"


def token(pod: str, audience: str = AUDIENCE, serial: int = 0) -> str:
    """Write a service account token; nobody here checks its signature but the API, by heart."""
    claims = {"aud": [audience], "kubernetes.io": {"pod": {"name": "p", "uid": pod}}, "serial": serial}
    return ".".join(_part(each) for each in ({"alg": "none"}, claims, {"sealed": "secret"}))


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


class Api:
    """The Kubernetes API as far as a guard asks it.

    Attributes:
        asked: The tokens of all TokenReviews.
        good: Tokens that it knows, each with its Pod.
        status: What it answers with instead of an answer.
        audiences: What it says a token is meant for; None for what was asked.
        seconds: That it takes.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.shown: set[str] = set()
        self.good: dict[str, str] = {}
        self.status = 0
        self.audiences: list[str] | None = None
        self.seconds = 0.0
        self.port = 0

    def know(self, pod: str, serial: int = 0) -> str:
        """Give a Pod's token."""
        made = token(pod, serial=serial)
        self.good[made] = pod
        return made

    def answer(self, review: dict[str, Any]) -> dict[str, Any]:
        """Answer a review."""
        spec = review["spec"]
        self.asked.append(spec["token"])
        time.sleep(self.seconds)
        pod = self.good.get(spec["token"])
        if pod is None:
            return {"authenticated": False, "error": "invalid bearer token"}
        user = {"username": "system:serviceaccount:n:default", "extra": {POD: [pod]}}
        audiences = spec["audiences"] if self.audiences is None else self.audiences
        return {"authenticated": True, "audiences": audiences, "user": user}


@contextlib.contextmanager
def serving(api: Api, authority: Authority) -> Iterator[None]:
    """Let the API answer for the time of the block."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def __getattr__(self, name: str) -> object:
            if name == "do_POST":
                return self.answer
            raise AttributeError(name)

        def answer(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            api.shown.add(self.headers["Authorization"])
            status = api.status or 201
            body = json.dumps({**review, "status": api.answer(review)} if status == 201 else {}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.folder / "api.crt", authority.folder / "api.key")
    with http.server.ThreadingHTTPServer(("127.0.0.1", api.port), Handler) as server:
        server.daemon_threads = True
        server.socket = context.wrap_socket(server.socket, server_side=True)
        api.port = server.server_port
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()


def layer(*allow: str, **limits: int) -> dict[str, Any]:
    """Give a caller's layer."""
    return {"source": "MCPAgent/a", "tools": {"allow": list(allow)}, **({"limits": limits} if limits else {})}


class World:
    """A guard and its callers.

    Attributes:
        api: Says whose tokens are.
        callers: What the configuration says of them.
    """

    def __init__(self, folder: Path, starter: Starter) -> None:
        self.folder = folder
        self.starter = starter
        self.authority = Authority(folder / "pki")
        self.authority.create()
        self.authority.server("api", "/CN=api", ["IP:127.0.0.1"])
        self.renew()
        self.api = Api()
        self.port = ports.free()
        self.admin = ports.free()
        self.callers: list[dict[str, Any]] = []
        self.server: dict[str, Any] = {"name": "s", "upstream": {"kind": "process", "command": SCRIPTED}}
        self.guard: dict[str, Any] = {"drain": 0.2, "grace": 5}
        self.toolman: Toolman
        (folder / "own").write_text(OWN)

    @property
    def path(self) -> Path:
        """Where the configuration is."""
        return self.folder / "toolman.json"

    def renew(self) -> None:
        """Make another certificate for the guard."""
        self.authority.server("guard", "/CN=guard", ["DNS:localhost", "IP:127.0.0.1"])

    def write(self, **changes: object) -> None:
        """Write the configuration."""
        pki = self.authority.folder
        review = {
            "url": f"https://127.0.0.1:{self.api.port}/apis/authentication.k8s.io/v1/tokenreviews",
            "token": {"file": str(self.folder / "own")},
            "ca": str(self.authority.certificate),
        }
        config: dict[str, Any] = {
            "listen": {
                "loopback": False,
                "host": "127.0.0.1",
                "port": self.port,
                "tls": {"certificate": str(pki / "guard.crt"), "key": str(pki / "guard.key")},
            },
            "admin": {
                "host": "127.0.0.1",
                "port": self.admin,
                "token": {"sha256": hashlib.sha256(b"operator").hexdigest()},
            },
            "naming": "plain",
            "servers": [self.server],
            "guard": {"audience": AUDIENCE, "review": review, "callers": self.callers, **self.guard},
        }
        spare = self.path.with_suffix(".new")
        spare.write_text(json.dumps(config | changes))
        spare.replace(self.path)

    def start(self) -> None:
        """Start it."""
        self.write()
        self.toolman = self.starter.start("serve", "--config", str(self.path))
        self.toolman.said("listening at")
        self.toolman.said("MCP 2025")

    def change(self, *callers: dict[str, Any]) -> None:
        """Put other callers in force, and wait for that."""
        times = self.toolman.log.count("and is in force")
        self.callers = list(callers)
        self.write()
        self.toolman.said("the configuration has changed and is in force", times + 1)

    def visitor(self, shown: str | None) -> Client:
        """Give a client that shows a token."""
        client = Client(self.port)
        client.http.close()
        headers = HEADERS if shown is None else {**HEADERS, "Authorization": f"Bearer {shown}"}
        context = ssl.create_default_context(cafile=self.authority.certificate)
        client.http = httpx.Client(
            base_url=f"https://localhost:{self.port}", timeout=LIMIT, headers=headers, verify=context
        )
        self.starter.clients.append(client)
        return client

    def refused(self) -> dict[str, int]:
        """Count refusals by reason."""
        text = httpx.get(f"http://127.0.0.1:{self.admin}/metrics", timeout=LIMIT).text
        lines = [line for line in text.splitlines() if line.startswith("toolman_guard_refused_total{")]
        return {line.split('"')[1]: int(line.rpartition(" ")[2]) for line in lines}

    def report(self, shown: str = "operator") -> httpx.Response:
        """Ask for the report."""
        url = f"http://127.0.0.1:{self.admin}/report"
        return httpx.get(url, headers={"Authorization": f"Bearer {shown}"}, timeout=LIMIT)


def caller(pod: str, *layers: dict[str, Any]) -> dict[str, Any]:
    """Give a caller as the configuration has it."""
    return {"pod": pod, "name": f"MCPAgent/{pod}", "layers": list(layers)}


PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}

__all__ = ["AUDIENCE", "OWN", "PING", "Api", "World", "caller", "layer", "serving", "token", "until"]

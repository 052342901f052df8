"""Registries that lie, redirect or drip; what honest ones do is in tests/integration/test_registries.py."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import json
import threading
from typing import TYPE_CHECKING

import pytest
from mcp_operator.images import credentials, existing, registry, registry_http
from mcp_operator.images.budget import Budget
from mcp_operator.images.contract import BuildCancelled, BuildError, RegistryAuth, Step
from mcp_operator.images.reasons import Reason
from mcp_operator.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.requirement("B-21")

SECRET = "s3cr3t-of-the-test"
AUTH = RegistryAuth(username="ann", password=SECRET)
BASIC = f"Basic {base64.b64encode(f'ann:{SECRET}'.encode()).decode()}"
Reply = tuple[int, dict[str, str], bytes]


class Fake(http.server.ThreadingHTTPServer):
    """Answers as told; keeps the path and Authorization of every request."""

    daemon_threads = True

    def __init__(self, reply: Callable[[str, str, str], Reply]) -> None:
        self.reply = reply
        self.heard: list[tuple[str, str, str]] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def location(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Fake

    def answer(self) -> None:
        authorization = self.headers.get("Authorization", "")
        self.server.heard.append((self.command, self.path, authorization))
        status, headers, body = self.server.reply(self.command, self.path, authorization)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name in {"do_GET", "do_HEAD", "do_POST"}:
            return self.answer
        raise AttributeError(name)

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # refusing TLS, which is tried first
            super().handle()

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def fake(reply: Callable[[str, str, str], Reply]) -> Iterator[Fake]:
    with Fake(reply) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def no_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


def find(server: Fake, auth: RegistryAuth | None = None) -> str | None:
    return registry.find(f"{server.location}/a/b:1", auth, Budget(30))


def describe(server: Fake) -> registry.Remote | None:
    return registry.describe(f"{server.location}/a/b:1", None, Budget(30))


def refused(server: Fake, auth: RegistryAuth | None = None) -> BuildError:
    with pytest.raises(BuildError) as caught:
        find(server, auth)
    error = caught.value
    assert error.hint
    assert SECRET not in f"{error.message} {error.hint} {error.log_tail}"
    return error


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def image(labels: dict[str, str] | None = None) -> tuple[bytes, bytes]:
    config = json.dumps({"os": "linux", "architecture": "amd64", "config": {"Labels": labels}}).encode()
    return json.dumps({"config": {"digest": sha256(config)}, "layers": [{"size": 5}]}).encode(), config


@pytest.mark.requirement("B-14")
@pytest.mark.parametrize("head", [405, 200])
def test_a_registry_without_head_or_digest_header_is_asked_for_the_manifest_itself(head: int) -> None:
    manifest, _ = image()

    def reply(method: str, _path: str, _authorization: str) -> Reply:
        return head if method == "HEAD" else 200, {}, manifest

    with fake(reply) as server:
        assert find(server) == sha256(manifest)


@pytest.mark.requirement("B-14")
def test_labels_are_read_from_a_configuration_whose_digest_is_checked() -> None:
    manifest, config = image({"a": "b"})
    with fake(lambda _method, path, _auth: (200, {}, config if "/blobs/" in path else manifest)) as server:
        assert describe(server) == registry.Remote(
            digest=sha256(manifest), labels={"a": "b"}, compressed=5, platforms=("linux/amd64",)
        )
    lying = fake(lambda _method, path, _auth: (200, {}, b"{}" if "/blobs/" in path else manifest))
    with lying as server, pytest.raises(BuildError, match="asked for sha256"):
        describe(server)


@pytest.mark.requirement("B-24")
def test_an_index_of_several_platforms_is_read_without_its_attestations() -> None:
    manifest, config = image({"a": "b"})
    entries = [
        {"digest": sha256(b"attestation"), "platform": {"os": "unknown", "architecture": "unknown"}},
        {"digest": sha256(manifest), "platform": {"os": "linux", "architecture": "amd64"}},
        {"digest": sha256(b"other"), "platform": {"os": "linux", "architecture": "arm64"}},
    ]
    index = json.dumps({"manifests": entries}).encode()
    bodies = {"/v2/a/b/manifests/1": index, f"/v2/a/b/manifests/{sha256(manifest)}": manifest}
    with fake(lambda _method, path, _auth: (200, {}, bodies.get(path, config))) as server:
        found = describe(server)

    assert found
    assert found.digest == sha256(index)
    assert found.labels == {"a": "b"}
    assert found.platforms == ("linux/amd64", "linux/arm64")


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b"[" * 100_000])
def test_a_manifest_that_is_none_is_an_error(body: bytes) -> None:
    with fake(lambda *_: (200, {}, body)) as server, pytest.raises(BuildError, match="JSON"):
        describe(server)


def test_an_answer_without_end_is_cut_off() -> None:
    body = b"x" * (registry.MAX_DOCUMENT + 100_000)
    with fake(lambda *_: (200, {}, body)) as server, pytest.raises(BuildError, match="more than"):
        describe(server)


def test_an_answer_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_http, "ANSWER_SECONDS", 0.5)
    with fake(lambda *_: (200, {"Content-Length": "1000"}, b"x")) as server, pytest.raises(BuildError) as caught:
        describe(server)
    assert caught.value.transient


def test_a_cancelled_build_asks_nobody() -> None:
    cancelled = threading.Event()
    cancelled.set()
    with fake(lambda *_: (200, {}, b"")) as server, pytest.raises(BuildCancelled):
        registry.find(f"{server.location}/a/b:1", None, Budget(30, cancelled))
    assert server.heard == []


def test_a_token_is_got_with_the_credentials_and_for_this_repository_only() -> None:
    def reply(_method: str, path: str, authorization: str) -> Reply:
        if path.startswith("/token"):
            return 200, {}, b'{"token": "t0ken"}'
        if authorization == "Bearer t0ken":
            return 200, {"Docker-Content-Digest": "sha256:1"}, b""
        challenge = f'Bearer realm="http://{server.location}/token",service="s",scope="repository:other:*"'
        return 401, {"WWW-Authenticate": challenge}, b""

    with fake(reply) as server:
        assert find(server, AUTH) == "sha256:1"
        assert ("GET", "/token?service=s&scope=repository%3Aa%2Fb%3Apull", BASIC) in server.heard
        assert find(server) == "sha256:1"


def test_an_identity_token_is_exchanged_in_the_body_of_a_request() -> None:
    def reply(method: str, path: str, authorization: str) -> Reply:
        if path == "/token":
            return (200 if method == "POST" else 400), {}, b'{"access_token": "t0ken"}'
        if authorization == "Bearer t0ken":
            return 200, {"Docker-Content-Digest": "sha256:1"}, b""
        return 401, {"WWW-Authenticate": f'Bearer realm="http://{server.location}/token",service="s"'}, b""

    with fake(reply) as server:
        assert find(server, RegistryAuth(username="<token>", password=SECRET)) == "sha256:1"
        assert SECRET not in str(server.heard)


@pytest.mark.parametrize("body", [b"{}", b"nonsense", b"[]", b'{"token": ""}'])
def test_a_token_server_that_gives_none_is_an_error(body: bytes) -> None:
    def reply(_method: str, path: str, _authorization: str) -> Reply:
        status = 200 if path.startswith("/token") else 401
        return status, {"WWW-Authenticate": f'Bearer realm="http://{server.location}/token"'}, body

    with fake(reply) as server:
        refused(server, AUTH)


@pytest.mark.parametrize("scheme", ["Negotiate x", "", "Basic realm=x"])
def test_credentials_are_given_once_and_to_schemes_that_are_known(scheme: str) -> None:
    with fake(lambda *_: (401, {"WWW-Authenticate": scheme}, b"")) as server:
        assert refused(server, AUTH).reason == Reason.REGISTRY_AUTHENTICATION
    assert len([heard for heard in server.heard if heard[2]]) <= 1


def test_a_redirect_to_another_host_takes_no_credentials_along() -> None:
    with fake(lambda *_: (200, {"Docker-Content-Digest": "sha256:2"}, b"")) as other:

        def reply(_method: str, _path: str, authorization: str) -> Reply:
            if authorization:
                return 307, {"Location": f"http://{other.location}/elsewhere"}, b""
            return 401, {"WWW-Authenticate": "Basic realm=x"}, b""

        with fake(reply) as server:
            assert find(server, AUTH) == "sha256:2"
        assert other.heard == [("HEAD", "/elsewhere", "")]


def test_a_host_that_is_redirected_to_and_wants_credentials_gets_none_whatever_token_server_it_names() -> None:
    def elsewhere(_method: str, _path: str, _authorization: str) -> Reply:
        return 401, {"WWW-Authenticate": f'Bearer realm="http://{other.location}/token"'}, b""

    with fake(elsewhere) as other:
        away = {"Location": f"http://{other.location}/elsewhere"}
        with fake(lambda *_: (307, away, b"")) as server:
            assert "wants an authorization of its own" in refused(server, AUTH).message
        assert other.heard == [("HEAD", "/elsewhere", "")]


@pytest.mark.parametrize("status", [429, 503])
def test_a_registry_that_says_how_long_to_wait_is_asked_again_after_that(
    monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("mcp_operator.images.engine_wire.pause", lambda seconds, *_: waited.append(seconds))
    replies: list[Reply] = [
        (200, {"Docker-Content-Digest": "sha256:3"}, b""),
        (status, {"Retry-After": "7"}, b""),
        (status, {"Retry-After": "2"}, b""),
    ]
    with fake(lambda *_: replies.pop()) as server:
        assert find(server) == "sha256:3"
    assert waited == [2, 7]


@pytest.mark.parametrize("after", ["3600", "Wed, 21 Oct 2026 07:28:00 GMT", ""])
def test_a_registry_that_has_no_time_soon_is_an_error_that_passes(after: str) -> None:
    with fake(lambda *_: (429, {"Retry-After": after}, b"")) as server:
        error = refused(server)
    assert error.transient
    assert error.reason == Reason.REGISTRY_UNREACHABLE
    assert "slow down" in error.message


def test_redirects_in_a_circle_end() -> None:
    with fake(lambda *_: (302, {"Location": "/again"}, b"")) as server:
        assert "circle" in refused(server).message


def test_what_a_registry_says_is_told_in_one_printable_line() -> None:
    body = json.dumps({"errors": [{"code": "DENIED", "message": "no\x1b[31m\nway"}]}).encode()
    with fake(lambda *_: (403, {}, body)) as server, pytest.raises(BuildError) as caught:
        describe(server)
    assert caught.value.log_tail == "HTTP 403 DENIED: noway"


def test_a_name_that_is_none_is_told_before_anybody_is_asked() -> None:
    with pytest.raises(BuildError, match="no place"):
        registry.find("x/UPPER:1", None, Budget(30))


def test_a_certificate_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(BuildError) as caught:
        registry.find(
            "a.example.com/x:1", None, Budget(30), registry_http.Access(ca_file=str(tmp_path / "no.crt")), Step.BUILD
        )
    assert caught.value.reason == Reason.CERTIFICATE_UNTRUSTED
    assert "no.crt" in caught.value.log_tail


@pytest.mark.requirement("O-01")
def test_nobodys_credentials_are_sent_where_somebody_elses_image_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(*_: object) -> RegistryAuth:
        return AUTH

    monkeypatch.setattr(credentials, "find", found)
    with fake(lambda *_: (401, {"WWW-Authenticate": 'Basic realm="x"'}, b"")) as there:
        settings = Settings(registry="r", image_toolman="t", image_wrapper="w", plain_http_registries=(there.location,))
        with pytest.raises(BuildError) as caught:
            existing.digest(f"{there.location}/team/weather:1", None, settings, Budget(30))
    assert caught.value.reason == Reason.REGISTRY_AUTHENTICATION
    assert [authorization for _, _, authorization in there.heard] == [""] * len(there.heard)

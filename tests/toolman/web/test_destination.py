from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING

import pytest
from lab.pki import Authority
from toolman.config import Http, Reach, Secret
from toolman.upstreams import Failure
from toolman.upstreams.web import destination as module
from toolman.upstreams.web.destination import Destination, parse
from web_harness import LIMIT, client, post

from toolman import config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.requirement("T-02")


@pytest.mark.parametrize(
    ("url", "authority", "target"),
    [
        ("http://h", "h", "/"),
        ("https://h:443/mcp?a=b", "h", "/mcp?a=b"),
        ("http://h:8080/mcp/", "h:8080", "/mcp/"),
        ("http://[::1]:8080/mcp#x", "[::1]:8080", "/mcp"),
    ],
)
def test_a_url_is_read(url: str, authority: str, target: str) -> None:
    found = parse(url)
    assert (found.authority, found.target) == (authority, target)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h/",
        "h:80/mcp",
        "http://",
        "http://h:99999/",
        "http://[::1/",
        "http://user:hidden@h/",
        "http://h/a b",
        "http://h/\r\nX: y",
        "http://h\u00e4/",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ValueError, match="its url") as problem:
        parse(url)
    assert "hidden" not in str(problem.value)


@pytest.mark.parametrize("name", ["Host", "content-length", "Mcp-Session-Id", "Transfer-Encoding", "a b", "a\r\nb", ""])
def test_headers_that_toolman_writes_itself_are_refused(name: str) -> None:
    with pytest.raises(Failure, match="header"):
        Destination(Http(url="http://h/", headers={name: "x"}))


def test_a_header_cannot_be_there_twice() -> None:
    with pytest.raises(Failure, match="twice"):
        Destination(Http(url="http://h/", headers={"X-A": "1", "x-a": "2"}))


@pytest.mark.requirement("T-32")
@pytest.mark.parametrize("value", ["a\r\nHost: evil", "a\nb", "a\x00b"])
def test_a_value_cannot_end_its_header(value: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(value.encode())
    with pytest.raises(Failure, match="X-A") as problem:
        Destination(Http(url="http://h/", headers={"X-A": Secret(file=str(secret))}))
    assert value not in str(problem.value)
    with pytest.raises(Failure, match="X-A"):
        Destination(Http(url="http://h/", headers={"X-A": value}))


def test_a_secret_is_read_from_its_file_and_again_when_that_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_AGAIN", -1.0)
    secret = tmp_path / "secret"
    secret.write_text("Bearer one\n")
    found = Destination(Http(url="http://h/", headers={"Authorization": Secret(file=str(secret))}))
    assert b"Authorization: Bearer one\r\n" in found.head(b"POST")
    replacement = tmp_path / "new"
    replacement.write_text("Bearer two")
    replacement.replace(secret)
    assert b"Authorization: Bearer two\r\n" in found.head(b"POST")
    secret.unlink()
    assert b"Authorization: Bearer two\r\n" in found.head(b"POST")


@pytest.mark.requirement("O-04")
def test_a_token_is_a_header_of_its_own_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_AGAIN", -1.0)
    file = tmp_path / "token"
    file.write_text("first\n")
    found = Destination(Http(url="https://h", token=Secret(file=str(file))))
    assert b"\r\nAuthorization: Bearer first\r\n" in found.head(b"POST")
    file.write_text("second one")
    assert b"\r\nAuthorization: Bearer second one\r\n" in found.head(b"POST")
    with pytest.raises(Failure, match="both a token and the header Authorization"):
        Destination(Http(url="https://h", headers={"authorization": "x"}, token=Secret(file=str(file))))


def test_a_secret_that_cannot_be_read_is_an_error_that_agents_may_see(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="header Authorization cannot be read") as problem:
        Destination(Http(url="http://h/", headers={"Authorization": Secret(file=str(tmp_path / "none"))}))
    assert str(tmp_path) not in str(problem.value)
    assert str(tmp_path) in problem.value.detail


def test_a_server_of_another_kind_has_no_destination() -> None:
    with pytest.raises(Failure, match="not reached over HTTP"):
        Destination(config.Process(command=("x",)))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    found = Authority(tmp_path_factory.mktemp("authority"))
    found.create()
    found.server("server", "/CN=server", ["DNS:localhost", "IP:127.0.0.1"])
    found.server("other", "/CN=other", ["DNS:other.example"])
    return found


@contextlib.asynccontextmanager
async def over_tls(authority: Authority, name: str) -> AsyncIterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.folder / f"{name}.crt", authority.folder / f"{name}.key")
    tasks: set[asyncio.Task[object] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsafe")
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server, asyncio.timeout(LIMIT):
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}/mcp"
        server.close()
        await asyncio.gather(*(task for task in tasks if task is not None))


async def test_https_is_spoken_with_a_server_of_the_configured_authority(authority: Authority) -> None:
    async with over_tls(authority, "server") as url, client(url, ca=str(authority.certificate)) as found:
        for _ in range(3):
            assert await post(found, b"").answer() == b"safe"


async def test_the_environment_can_name_the_authorities(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    async with over_tls(authority, "server") as url, client(url) as found:
        assert await post(found, b"").answer() == b"safe"


async def test_an_unknown_authority_is_an_error_that_says_what_to_do(authority: Authority) -> None:
    async with over_tls(authority, "server") as url, client(url) as found:
        with pytest.raises(Failure, match=r"certificate is not trusted: .*; set its ca"):
            await post(found, b"").answer()


async def test_a_certificate_for_another_host_is_refused(authority: Authority) -> None:
    async with over_tls(authority, "other") as url, client(url, ca=str(authority.certificate)) as found:
        with pytest.raises(Failure, match="certificate is not trusted: Hostname mismatch"):
            await post(found, b"").answer()


async def test_https_to_a_server_without_it_is_an_error() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with client(f"https://127.0.0.1:{port}/") as found:
            with pytest.raises(Failure, match=f"cannot connect to https://127.0.0.1:{port}"):
                await post(found).answer()


def test_authorities_are_read_once_and_again_when_they_change(authority: Authority, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority.certificate.read_bytes())
    found = Destination(Http(url="https://h/", ca=str(ca)))
    before = found.trust()
    assert before is found.trust()
    ca.write_bytes(authority.certificate.read_bytes() * 2)
    assert found.trust() is not before
    assert Destination(Http(url="http://h/")).trust() is None


async def test_authorities_that_cannot_be_read_are_an_error() -> None:
    with pytest.raises(Failure, match="its ca cannot be read"):
        async with client("https://h/", ca="/nowhere/ca.pem"):
            pass


@pytest.mark.requirement("O-01")
@pytest.mark.parametrize(
    ("reach", "address", "allowed"),
    [
        ("public", "8.8.8.8", True),
        ("public", "10.0.0.1", False),
        ("public", "169.254.169.254", False),
        ("elsewhere", "10.0.0.1", True),
        ("elsewhere", "127.0.0.1", False),
        ("elsewhere", "::ffff:169.254.169.254", False),
        ("any", "127.0.0.1", True),
    ],
)
def test_a_host_may_lead_only_to_where_the_configuration_lets_it(reach: Reach, address: str, *, allowed: bool) -> None:
    destination = Destination(Http(url="https://mcp.example.com", reach=reach))
    if allowed:
        destination.check([address])
        return
    with pytest.raises(Failure) as told:
        destination.check(["8.8.8.8", address])
    assert address not in str(told.value)  # agents may see it

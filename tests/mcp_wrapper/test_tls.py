import contextlib
import datetime as dt
import ipaddress
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from mcp_wrapper.tls import CertificatesError
from scripted_server import Server
from wrapper_harness import BOUND, SOURCE, Request, call, handshake, wrapping

from mcp_wrapper import tls

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.requirement("W-05")


def certificate(path: Path, name: str) -> Path:
    """Write a self-signed certificate for a name or address, and its key, into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    try:
        san: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        san = x509.DNSName(name)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([san]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


class Encrypting(Server):
    """The scripted server behind TLS."""

    def __init__(self, reply: "Callable[[Request], object]", pem: Path) -> None:
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(pem)
        super().__init__(reply)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/mcp"

    def _serve(self, connection: "socket.socket") -> None:
        with contextlib.suppress(OSError):  # a client that does not trust us hangs up
            super()._serve(self.context.wrap_socket(connection, server_side=True))


@contextlib.contextmanager
def encrypting(reply: "Callable[[Request], object]", pem: Path) -> "Iterator[Encrypting]":
    server = Encrypting(reply, pem)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module", name="pem")
def fixture_pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls") / "localhost.pem", "localhost")


def ordinary(request: Request) -> None:
    if not handshake(request):
        request.result({"got": len(request.body), "text": "x" * request.message["params"]["arguments"].get("size", 0)})


def test_https_works_with_the_authorities_that_are_named(pem: Path) -> None:
    with encrypting(ordinary, pem) as server, wrapping("--url", server.url, SSL_CERT_FILE=str(pem)) as wrapper:
        wrapper.open_session()
        for number in range(20):
            assert wrapper.ask(call(number))["result"]["text"] == ""
        answer = wrapper.ask(call("big", size=3 << 20, text="y" * (3 << 20)))["result"]
        assert (len(answer["text"]), answer["got"] > 3 << 20) == (3 << 20, True)
        wrapper.say(*(call(number) for number in range(50)))
        assert sorted(wrapper.hear()["id"] for _ in range(50)) == list(range(50))
        wrapper.end()
        assert wrapper.log == ""


def test_a_user_is_checked_before_the_encryption_begins(pem: Path) -> None:
    environment: dict[str, Any] = {"SSL_CERT_FILE": str(pem), "MCP_WRAPPER_CONNECT_TIMEOUT": "0.2"}
    with encrypting(ordinary, pem) as server:
        with wrapping("--url", server.url, **environment, MCP_TOOLMAN_UID="1") as wrapper:
            assert "belongs to user" in wrapper.ask(call(1))["error"]["message"]
        assert server.requests == []


def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(pem: Path) -> None:
    with encrypting(ordinary, pem) as server, wrapping("--url", server.url) as wrapper:
        message = wrapper.ask(call(1))["error"]["message"]
        assert "self-signed" in message
        assert "SSL_CERT_FILE" in message
        assert server.requests == []


def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    other = certificate(tmp_path / "other.pem", "toolman.example.com")
    with encrypting(ordinary, other) as server, wrapping("--url", server.url, SSL_CERT_FILE=str(other)) as wrapper:
        assert "localhost" in wrapper.ask(call(1))["error"]["message"]
        assert server.requests == []


def test_an_address_is_compared_as_an_address(tmp_path: Path) -> None:
    pem = certificate(tmp_path / "address.pem", "127.0.0.1")
    with encrypting(ordinary, pem) as server:
        url = f"https://127.0.0.1:{server.port}/mcp"
        with wrapping("--url", url, SSL_CERT_FILE=str(pem)) as wrapper:
            assert "result" in wrapper.ask(call(1))


class Confused(Server):
    """Answers in plain text whatever it hears."""

    def _serve(self, connection: "socket.socket") -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def test_a_server_that_does_not_speak_tls_is_an_error() -> None:
    server = Confused(ordinary)
    try:
        url = f"https://localhost:{server.port}/mcp"
        with wrapping("--url", url, MCP_WRAPPER_CONNECT_TIMEOUT="0") as wrapper:
            assert "no TLS" in wrapper.ask(call(1))["error"]["message"]
    finally:
        server.close()


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_authorities_that_cannot_be_read_are_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "authorities.pem"
    if content:
        path.write_text(content)
    with pytest.raises(CertificatesError, match=r"SSL_CERT_FILE: .*authorities\.pem: "):
        tls.context(str(path))


def test_without_a_name_the_systems_authorities_are_trusted(pem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere")
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/at/all")
    monkeypatch.setattr(tls, "BUNDLES", ("/nowhere/else", str(pem)))
    assert tls.context("").cert_store_stats()["x509_ca"] == 1


def test_ssl_is_loaded_for_https_alone() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(SOURCE.parent)!r})\n"
        "from mcp_wrapper import run, settings\n"
        "for url in ('http://localhost/', 'https://localhost/'):\n"
        "    run._preparation(settings.read(['--url', url], {}))\n"
        "    print('ssl' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, check=True, timeout=BOUND)
    assert done.stdout == b"False\nTrue\n"

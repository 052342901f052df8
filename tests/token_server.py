"""A token server for a registry: checks a password and signs what may be done, as the distribution protocol wants."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import secrets
import threading
import time
import urllib.parse
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509 import load_pem_x509_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lab.pki import Authority

NAME = "lab"
LIFE_SECONDS = 300


@contextlib.contextmanager
def serving(authority: Authority, user: str, password: str) -> Iterator[Mapping[str, str]]:
    """Run it for the time of the block; gives the registry's ``auth.token`` configuration."""
    authority.server("tokens", "/CN=tokens", ["IP:127.0.0.1"])
    key = (authority.folder / "tokens.key").read_bytes()
    certificate = (authority.folder / "tokens.crt").read_bytes()
    expected = f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"

    class Handler(http.server.BaseHTTPRequestHandler):
        def __getattr__(self, name: str) -> object:
            if name == "do_GET":
                return self.answer
            raise AttributeError(name)

        def answer(self) -> None:
            allowed = self.headers.get("Authorization") == expected
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
            body = json.dumps({"token": _token(key, certificate, query.get("scope", []))}) if allowed else "{}"
            self.send_response(200 if allowed else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        realm = f"http://127.0.0.1:{server.server_port}/token"
        yield {"realm": realm, "service": NAME, "issuer": NAME, "rootcertbundle": str(authority.certificate)}
        server.shutdown()


def _token(key: bytes, certificate: bytes, scopes: list[str]) -> str:
    der = load_pem_x509_certificate(certificate).public_bytes(serialization.Encoding.DER)
    header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
    now = int(time.time())
    access = [_access(scope) for text in scopes for scope in text.split()]
    claims: dict[str, object] = {"iss": NAME, "aud": NAME, "sub": "", "jti": secrets.token_hex(8), "access": access}
    claims |= {"nbf": now - 30, "iat": now, "exp": now + LIFE_SECONDS}
    signed = f"{_packed(json.dumps(header).encode())}.{_packed(json.dumps(claims).encode())}"
    private = serialization.load_pem_private_key(key, None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    numbers = decode_dss_signature(private.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{_packed(b''.join(number.to_bytes(32, 'big') for number in numbers))}"


def _access(scope: str) -> dict[str, object]:
    kind, name, actions = scope.split(":")
    return {"type": kind, "name": name, "actions": actions.split(",")}


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

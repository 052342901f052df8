"""Speak HTTP with one registry: trust, plain HTTP only where asked for, Basic and token authentication, bounds."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import ssl
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
import requests.adapters
import urllib3.exceptions

from mcp_operator.images import credentials, engine_wire, redact, registry_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_operator.images.budget import Budget
    from mcp_operator.images.contract import BuildError, RegistryAuth, Step
    from mcp_operator.images.reference import Reference

ANSWER_SECONDS = 15.0
"""For one answer of a registry about a manifest: they come at once, or somebody is in trouble."""
MAX_TOKEN = 64 * 1024
"""Bytes of a token server's answer."""
CERTIFICATES = Path("/etc/docker/certs.d")
"""Where Docker finds the authorities of registries; so one file serves it and us."""
_FOREIGN = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
_REDIRECTS = 5
LONGEST_WAIT = 30
"""Seconds, when a registry says how long to wait; beyond that the build is the one that comes again."""
_WAITS = 2
_BUSY = frozenset({429, 503})
_UNAUTHORIZED = 401
_MOVED = frozenset({301, 302, 303, 307, 308})
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_CLIENT = "mcp-operator"


@dataclass(frozen=True, kw_only=True)
class Access:
    """How registries are reached.

    Attributes:
        ca_file: PEM file of authorities besides those that this machine trusts.
        plain_http: Hosts, with port, to which HTTP without TLS is spoken. This machine itself needs no entry.
    """

    ca_file: str = ""
    plain_http: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a registry answered; ``body`` is bounded, and may be cut off where the answer is an error."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def said(self) -> str:
        """The status and the registry's own words, for an error."""
        words = ""
        with contextlib.suppress(ValueError, KeyError, TypeError, IndexError):
            first = json.loads(self.body)["errors"][0]
            words = f" {first.get('code', '')}: {first.get('message', '')}"
        return redact.line(f"HTTP {self.status}{words}")


class Connection:
    """Requests about one repository."""

    def __init__(self, name: Reference, auth: RegistryAuth | None, access: Access, budget: Budget, step: Step) -> None:
        self._name = name
        self._auth = auth if auth and auth.username else None
        self._budget = budget
        self._step = step
        self._authorization = ""
        self._plain = name.server in access.plain_http
        self._session = requests.Session()
        self._session.auth = _unchanged
        self._session.headers["Accept-Encoding"] = "identity"  # digests are of what goes over the line
        self._session.mount("https://", _Trusting(_trust(name, access)))

    def close(self) -> None:
        """Close it."""
        self._session.close()

    def ask(self, method: str, path: str, *, accept: str = "*/*", limit: int = 0) -> Answer:
        """Send a request about the repository; authenticate if that is wanted.

        Args:
            method: ``GET`` or ``HEAD``.
            path: Below the repository's.
            accept: Media types.
            limit: Bytes of the answer.

        Raises:
            BuildError: No answer, a larger one, or credentials that do not do.
        """
        headers = {"Accept": accept}
        answer = self._patient(method, path, headers, limit)
        if answer.status == _UNAUTHORIZED:
            self._authorization = self._authorize(answer)
            answer = self._patient(method, path, headers, limit)
        return answer

    def _patient(self, method: str, path: str, headers: Mapping[str, str], limit: int) -> Answer:
        """Ask, and again when the registry says how long to wait."""
        for _ in range(_WAITS):
            answer = self._get(method, path, headers, limit)
            seconds = answer.headers.get("Retry-After", "")
            if answer.status not in _BUSY or not seconds.isdecimal() or int(seconds) > LONGEST_WAIT:
                return answer
            engine_wire.pause(int(seconds), self._budget, self._step)
        return self._get(method, path, headers, limit)

    def _get(self, method: str, path: str, headers: Mapping[str, str], limit: int) -> Answer:
        scheme = "http" if self._plain else "https"
        url = f"{scheme}://{self._name.server}/v2/{self._name.path}/{path}"
        sent = {**headers, **({"Authorization": self._authorization} if self._authorization else {})}
        try:
            return self._follow(method, url, sent, limit)
        except requests.ConnectionError as error:  # TLS errors are among them
            # As Docker does: this machine's own registries may do without TLS. Never after a bad certificate.
            if self._plain or not self._name.on_loopback or "CERTIFICATE" in str(error):
                raise self._failed(error) from error
        except _FOREIGN as error:
            raise self._failed(error) from error
        self._plain = True
        return self._get(method, path, headers, limit)

    def _follow(self, method: str, url: str, headers: dict[str, str], limit: int) -> Answer:
        """Send; blobs are often elsewhere, where our credentials are nobody's business."""
        origin = urllib.parse.urlsplit(url).netloc
        for _ in range(_REDIRECTS):
            answer = self._send(method, url, headers=headers, limit=limit)
            if answer.status not in _MOVED or "Location" not in answer.headers:
                # Another host's challenge is not answered: it may name any token server.
                if answer.status == _UNAUTHORIZED and urllib.parse.urlsplit(url).netloc != origin:
                    said = "it redirects to a host that wants an authorization of its own"
                    raise registry_errors.explain(said, str(self._name), self._step)
                return answer
            target = urllib.parse.urljoin(url, answer.headers["Location"])
            if urllib.parse.urlsplit(target).scheme != "https" and not self._plain:
                raise registry_errors.explain("it redirects to plain HTTP", str(self._name), self._step)
            if urllib.parse.urlsplit(target).netloc != urllib.parse.urlsplit(url).netloc:
                headers.pop("Authorization", None)
            url = target
        raise registry_errors.explain("it redirects in a circle", str(self._name), self._step)

    def _send(self, method: str, url: str, *, limit: int, **how: Any) -> Answer:  # noqa: ANN401 - requests' own
        self._budget.check(self._step)
        part = self._budget.at_most(ANSWER_SECONDS)
        seconds = max(0.1, part.remaining())
        with self._session.request(method, url, timeout=seconds, stream=True, allow_redirects=False, **how) as response:
            body = bytearray()
            # One read at a time, so that nobody can hold us with a byte now and then.
            while len(body) <= (limit or MAX_TOKEN) and (chunk := response.raw.read1(65536)):
                body += chunk
                if part.over():
                    raise TimeoutError("its answer timed out")
        if response.ok and len(body) > limit > 0:
            raise registry_errors.explain(f"it answered more than {limit} bytes", str(self._name), self._step)
        return Answer(status=response.status_code, headers=response.headers, body=bytes(body))

    def _authorize(self, answer: Answer) -> str:
        """Give the value of the header ``Authorization`` that a challenge asks for."""
        scheme, _, rest = answer.headers.get("WWW-Authenticate", "").partition(" ")
        if scheme.lower() == "bearer":
            return f"Bearer {self._token(dict(_PARAMETER.findall(rest)))}"
        if self._auth is None:
            raise registry_errors.explain("no credentials", str(self._name), self._step)
        if scheme.lower() == "basic" and not self._authorization:
            return _basic(self._auth)
        raise registry_errors.explain(answer.said, str(self._name), self._step)

    def _token(self, challenge: Mapping[str, str]) -> str:
        """Get a token: https://distribution.github.io/distribution/spec/auth/token/ and its refresh by OAuth2."""
        realm = challenge.get("realm", "")
        if urllib.parse.urlsplit(realm).scheme not in (("https", "http") if self._plain else ("https",)):
            raise registry_errors.explain("its token server is not on https", str(self._name), self._step)
        wanted = {"service": challenge.get("service", ""), "scope": f"repository:{self._name.path}:pull"}
        try:
            if self._auth and self._auth.username == credentials.IDENTITY_TOKEN:
                form = {**wanted, "grant_type": "refresh_token", "refresh_token": self._auth.password}
                answer = self._send("POST", realm, data={**form, "client_id": _CLIENT}, limit=MAX_TOKEN)
            else:
                headers = {"Authorization": _basic(self._auth)} if self._auth else {}
                answer = self._send("GET", realm, params=wanted, headers=headers, limit=MAX_TOKEN)
        except _FOREIGN as error:
            raise self._failed(error) from error
        with contextlib.suppress(ValueError, AttributeError):
            document = json.loads(answer.body)
            if token := document.get("token") or document.get("access_token"):
                return str(token)
        said = answer.said if answer.status != _UNAUTHORIZED or self._auth else "no credentials"
        raise registry_errors.explain(said, str(self._name), self._step)

    def _failed(self, error: Exception) -> BuildError:
        self._budget.check(self._step)
        return registry_errors.explain(f"{type(error).__name__}: {error}", str(self._name), self._step)


class _Trusting(requests.adapters.HTTPAdapter):
    """Trusts what a context trusts, also behind a proxy."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - requests' own
        """Pass the context on."""
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the same
        """Pass the context on."""
        return super().proxy_manager_for(*args, **kwargs, ssl_context=self._context)


def _trust(name: Reference, access: Access) -> ssl.SSLContext:
    context = ssl.create_default_context()
    files = [Path(access.ca_file)] if access.ca_file else []
    for file in (*files, *sorted((CERTIFICATES / name.host).glob("*.crt"))):
        try:
            context.load_verify_locations(file)
        except OSError as error:  # ssl.SSLError is one
            raise registry_errors.explain(f"certificate file {file}: {error}", str(name)) from error
    return context


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep requests from looking for credentials of its own in ``.netrc``."""
    return request


def _basic(auth: RegistryAuth) -> str:
    return f"Basic {base64.b64encode(f'{auth.username}:{auth.password}'.encode()).decode()}"

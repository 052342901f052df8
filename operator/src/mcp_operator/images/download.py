"""Fetch one file from a package registry: bounded in size and time, checked against its digest.

What is referred to is asked over https, or on the same host as the registry itself.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import ssl
import urllib.error
import urllib.request
from types import MappingProxyType
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from mcp_operator.images import redact
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from http.client import HTTPMessage

    from mcp_operator.images.budget import Budget

SILENCE_SECONDS = 15
"""Without a byte; a cancel is noticed after that at the latest."""
_BLOCK = 65536
_NONE: Mapping[str, str] = MappingProxyType({})
_NOT_FOUND = (404, 405, 410)
_DENIED = (401, 403)
_DIGESTS = ("sha512", "sha384", "sha256", "sha1")
"""The best first. npm's oldest packages have only the last."""


class NotFoundError(Exception):
    """The registry has no such thing."""


class Client:
    """Asks one registry.

    Args:
        origin: Its URL; what it refers to must be on the same host, or be asked over https.
        ca_file: Certificate authorities besides the system's; may be empty.
        budget: When to stop.
    """

    def __init__(self, origin: str, ca_file: str, budget: Budget) -> None:
        self._origin = origin
        self._budget = budget
        context = ssl.create_default_context()
        if ca_file:
            context.load_verify_locations(ca_file)
        self._opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _Redirects(self))

    def get(self, url: str, limit: int, accept: str = "*/*") -> bytes:
        """Give a document of at most ``limit`` bytes.

        Raises:
            NotFoundError: There is none.
            BuildError: It cannot be had, or is too large.
            BuildCancelled: The budget says so.
        """
        parts: list[bytes] = []
        self._read(_request(url, {"Accept": accept}), limit, parts.append)
        return b"".join(parts)

    def post(self, url: str, body: bytes, limit: int, headers: Mapping[str, str]) -> bytes:
        """Give the answer to a question, of at most ``limit`` bytes.

        Raises:
            NotFoundError: Nobody answers there.
            BuildError: As :meth:`get`.
            BuildCancelled: The budget says so.
        """
        parts: list[bytes] = []
        self._read(_request(url, headers, body), limit, parts.append)
        return b"".join(parts)

    def save(self, url: str, limit: int, target: IO[bytes], digest: str, headers: Mapping[str, str] = _NONE) -> None:
        """Write a file and check its digest, ``ALGORITHM-BASE64`` as npm writes it or ``ALGORITHM=HEX`` as PyPI does.

        Raises:
            NotFoundError: There is none.
            BuildError: It cannot be had, is too large, or is not what was announced.
            BuildCancelled: The budget says so.
        """
        algorithm, wanted = _expected(digest, url)
        # SHA-1 only where the registry has nothing better for a package; then this checks for accidents.
        found = hashlib.new(algorithm, usedforsecurity=False)

        def take(block: bytes) -> None:
            found.update(block)
            target.write(block)

        self._read(_request(url, {"Accept": "*/*", **headers}), limit, take)
        if not hmac.compare_digest(found.digest(), wanted):
            raise _failed(
                f"{redact.line(url)} is not the file that the registry announced: its {algorithm} differs",
                "Somebody between here and the registry changes files, or the package was changed: do not use it.",
            )

    def allowed(self, url: str) -> bool:
        """Tell whether something may be fetched from there."""
        asked, origin = urlsplit(url), urlsplit(self._origin)
        return asked.scheme == "https" or (asked.scheme, asked.netloc) == (origin.scheme, origin.netloc)

    def _read(self, request: urllib.request.Request, limit: int, take: Callable[[bytes], object]) -> None:
        url = request.full_url
        if not self.allowed(url):
            raise _failed(f"{redact.line(url)} would be fetched without https", "Use a registry that has https.")
        size = 0
        self._budget.check(Step.FETCH)
        try:
            with self._opener.open(request, timeout=SILENCE_SECONDS) as answer:
                while block := answer.read(_BLOCK):
                    self._budget.check(Step.FETCH)
                    size += len(block)
                    if size > limit:
                        raise BuildError(
                            Reason.SOURCE_TOO_LARGE,
                            f"{redact.line(url)} has more than {limit // 2**20} MiB",
                            step=Step.FETCH,
                            hint="Build a smaller package.",
                        )
                    take(block)
        except urllib.error.HTTPError as error:
            error.close()
            raise _status(url, error.code) from error
        except (OSError, http.client.HTTPException) as error:
            raise _unreachable(url, error) from error


def _request(url: str, headers: Mapping[str, str], body: bytes | None = None) -> urllib.request.Request:
    request = urllib.request.Request(url, body, {"User-Agent": "mcp-operator"})  # noqa: S310 - checked before it is sent
    for name, value in headers.items():
        request.add_unredirected_header(name, value)  # wherever it leads, credentials do not go along
    return request


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows only to where something may be fetched from."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        if not self._client.allowed(newurl):
            fp.close()
            raise _failed(f"{redact.line(req.full_url)} leads to a place without https", "Ask the registry's admin.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _expected(digest: str, url: str) -> tuple[str, bytes]:
    """Choose the best of the digests, which blanks separate."""
    for algorithm in _DIGESTS:
        for word in digest.split():
            try:
                if word.startswith(f"{algorithm}-"):
                    return algorithm, base64.b64decode(word.partition("-")[2].partition("?")[0], validate=True)
                if word.startswith(f"{algorithm}="):
                    return algorithm, bytes.fromhex(word.partition("=")[2])
            except ValueError:
                continue
    raise _failed(f"the registry gives no digest for {redact.line(url)}", "Use a registry that does.")


def _status(url: str, code: int) -> Exception:
    shown = redact.line(url)
    if code in _NOT_FOUND:
        return NotFoundError(shown)
    if code in _DENIED:
        return BuildError(
            Reason.AUTHENTICATION_REQUIRED,
            f"{shown} answers {code}: it asks for credentials",
            step=Step.FETCH,
            hint="Only public packages can be built; build the package's git repository instead.",
        )
    return BuildError(
        Reason.HOST_UNREACHABLE,
        f"{shown} answers {code}",
        step=Step.FETCH,
        hint="Try again later.",
        transient=True,
    )


def _unreachable(url: str, error: Exception) -> BuildError:
    cause = getattr(error, "reason", error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return BuildError(
            Reason.CERTIFICATE_UNTRUSTED,
            f"the certificate of {redact.line(url)} is not trusted",
            step=Step.FETCH,
            hint="Give the certificate authority with the setting TOOLMAN_BUILD_CA_FILE.",
        )
    return BuildError(
        Reason.HOST_UNREACHABLE,
        f"{redact.line(url)} cannot be reached: {redact.line(str(cause))}",
        step=Step.FETCH,
        hint="Check that the registry may be reached from here; it is tried again.",
        transient=True,
    )


def _failed(message: str, hint: str) -> BuildError:
    return BuildError(Reason.SOURCE_UNSAFE, message, step=Step.FETCH, hint=hint)

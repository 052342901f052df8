"""https: loaded only when toolman's URL begins with it. The ssl module costs three megabytes."""

from __future__ import annotations

import errno
import os
import socket
import ssl

from mcp_wrapper.dial import TO_READ, TO_WRITE, NotUsableError
from mcp_wrapper.environment import CERTIFICATES_VARIABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mcp_wrapper.dial import Preparation, Step
    from mcp_wrapper.spool import Raw

BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora and its kin
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",
)
"""Where distributions keep the authorities they trust. A library brought along may look elsewhere."""


class CertificatesError(Exception):
    """The certificates cannot be used; the text is one line that says which and why."""


def context(file: str) -> ssl.SSLContext:
    """Make what all connections share.

    Args:
        file: Authorities to trust instead of the system's; empty for the system's.

    Raises:
        CertificatesError: The file cannot be used.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if file:
        try:
            made.load_verify_locations(cafile=file)
        except (OSError, ssl.SSLError) as error:
            text = "holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
            raise CertificatesError(f"{CERTIFICATES_VARIABLE}: {file}: {text}") from None
        return made
    made.set_default_verify_paths()
    for bundle in BUNDLES:
        if not made.cert_store_stats()["x509_ca"] and os.access(bundle, os.R_OK):
            made.load_verify_locations(cafile=bundle)
    return made


def handshake(shared: ssl.SSLContext, host: str) -> Preparation:
    """Encrypt a connection, and make sure that the other end is who the URL says."""

    def prepare(connection: socket.socket) -> Step:
        plain = socket.socket(fileno=connection.detach())
        plain.settimeout(0)
        name = host.encode()  # a str would load the tables of international names, which the image has not got
        stream = Encrypted(shared.wrap_socket(plain, server_hostname=name, do_handshake_on_connect=False))
        yield stream, TO_WRITE  # at once: from here on the caller must close this one, for the socket was taken over
        while True:
            try:
                stream.secured.do_handshake()
            except ssl.SSLWantReadError:
                yield stream, TO_READ
            except ssl.SSLWantWriteError:
                yield stream, TO_WRITE
            except ssl.SSLCertVerificationError as error:
                hint = f"; {CERTIFICATES_VARIABLE} names a file with the authorities to trust"
                raise NotUsableError(f"{error.verify_message}{hint}", for_good=True) from None
            except OSError as error:
                raise NotUsableError(f"no TLS: {str(error.strerror or error).lower()}") from None
            else:
                return stream

    return prepare


class Encrypted:
    """A TLS connection that behaves like a plain one.

    Attributes:
        secured: What does the work.
    """

    __slots__ = ("secured",)

    def __init__(self, secured: ssl.SSLSocket) -> None:
        self.secured = secured

    def fileno(self) -> int:
        """Give the file descriptor."""
        return self.secured.fileno()

    def send(self, data: Raw, /) -> int:
        """Hand over some bytes; tell how many."""
        try:
            return self.secured.send(data)
        except ssl.SSLError as error:
            raise _plain(error) from None

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Take some bytes. Records are shorter than what is asked for, so none is left inside."""
        del flags  # of a look at an idle connection, which ends it if there is anything
        try:
            return self.secured.recv(size)
        except ssl.SSLError as error:
            raise _plain(error) from None

    def close(self) -> None:
        """Close it."""
        self.secured.close()


def _plain(error: ssl.SSLError) -> OSError:
    if isinstance(error, (ssl.SSLWantReadError, ssl.SSLWantWriteError)):
        return BlockingIOError()
    return OSError(errno.EPROTO, str(error))

"""What TLS is served with: read again when its files change, so that a renewed certificate costs no connection."""

from __future__ import annotations

import logging
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolman.config import Certificate

log = logging.getLogger(__name__)

LOOK_AGAIN = 1.0
"""Seconds between looks at the files; only a handshake looks."""


class Certificates:
    """Gives each handshake the certificate of the moment; one that cannot be used leaves the one before in force.

    Args:
        certificate: Where it is.
        clock: Seconds, monotonic.

    Raises:
        OSError: A file cannot be read, or they do not fit each other (:class:`ssl.SSLError` is one, too).
    """

    def __init__(self, certificate: Certificate, clock: Callable[[], float] = time.monotonic) -> None:
        self._files = certificate
        self._clock = clock
        self._stamp = self._look()
        self._looked = clock()
        self._current = self._load()
        self.context = self._load()
        self.context.sni_callback = self._choose
        self._is_broken = False

    def _choose(self, handshake: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
        if self._clock() - self._looked >= LOOK_AGAIN:
            self._looked = self._clock()
            self._refresh()
        handshake.context = self._current

    def _refresh(self) -> None:
        try:
            stamp = self._look()
            if stamp == self._stamp:
                return
            self._current, self._stamp = self._load(), stamp
        except OSError as problem:
            if not self._is_broken:
                log.error("the certificate cannot be read again, the one before stays in force: %s", problem)  # noqa: TRY400
            self._is_broken = True
        else:
            self._is_broken = False
            log.info("the certificate has changed and is in force")

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._files.certificate, self._files.key)
        return context

    def _look(self) -> object:
        found = [Path(file).stat() for file in (self._files.certificate, self._files.key)]
        return [(status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size) for status in found]

"""Take the name of an image apart as registries and Docker do: host, path, tag, digest. Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

HUB = "docker.io"
HUB_SERVER = "registry-1.docker.io"
"""Who answers for :data:`HUB`."""

_HUB_NAMES = frozenset({HUB, HUB_SERVER, "index.docker.io"})
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::\d{1,5})?"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
# https://github.com/distribution/reference: the grammar
_WHOLE = re.compile(
    rf"(?:(?P<host>{_HOST})/)?(?P<path>{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_MAX_PATH = 255


@dataclass(frozen=True, kw_only=True)
class Reference:
    """An image in a registry.

    Attributes:
        host: Of the registry, with port; ``docker.io`` for Docker Hub.
        path: Below it, without tag.
        tag: Empty if a digest says it all.
        digest: ``sha256:...`` or empty.
    """

    host: str
    path: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.repository}{tag}{'@' if self.digest else ''}{self.digest}"

    @property
    def repository(self) -> str:
        """Host and path."""
        return f"{self.host}/{self.path}"

    @property
    def server(self) -> str:
        """Host, with port, that speaks the registry's protocol."""
        return HUB_SERVER if self.host == HUB else self.host

    @property
    def version(self) -> str:
        """What the registry is asked for: the digest, else the tag."""
        return self.digest or self.tag

    @property
    def on_loopback(self) -> bool:
        """Whether the registry is on this machine, where Docker allows plain HTTP without being told."""
        name = self.host.rpartition(":")[0] or self.host
        try:
            return ipaddress.ip_address(name.strip("[]")).is_loopback
        except ValueError:
            return name == "localhost"


def parse(text: str) -> Reference:
    """Take a name apart; without tag and digest it means ``latest``.

    Raises:
        ValueError: No image has such a name.
    """
    match = _WHOLE.fullmatch(text if _names_host(text) else f"{HUB}/{text}")
    if match is None or len(match["path"]) > _MAX_PATH:
        raise ValueError(f"not the name of an image: {text!r}")
    tag = match["tag"] or ("" if match["digest"] else "latest")
    host, path = _at_home(match["host"], match["path"])
    return Reference(host=host, path=path, tag=tag, digest=match["digest"] or "")


def _names_host(text: str) -> bool:
    """Tell whether what is before the first slash is a host, by Docker's rule."""
    host, separator, _ = text.partition("/")
    return bool(separator) and (host == "localhost" or not set(host).isdisjoint(".:["))


def _at_home(host: str, path: str) -> tuple[str, str]:
    """Give host and path of Docker Hub in their one true form; others' are left alone."""
    if host not in _HUB_NAMES:
        return host, path
    return HUB, path if "/" in path else f"library/{path}"

"""Names of sources as ceilings see them, and globs over them: no spelling of a source evades a glob. Pure.

Two directions, each in doubt the narrower one. A glob that *allows* must match as written: the host as a whole, the
path with its case, the port. A glob that *targets* (chooses whom a ceiling caps) must not be evaded: there case, ports,
queries and the protocol do not count.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import quote, unquote

from toolman import policy

if TYPE_CHECKING:
    from mcp_operator.models.server import MCPServerSpec

Kind = Literal["git", "npm", "pypi", "image", "remote"]
KINDS: Final[tuple[Kind, ...]] = ("git", "npm", "pypi", "image", "remote")

DOCKER_HUB: Final = "docker.io"
_HUB_HOSTS: Final = frozenset({DOCKER_HUB, "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})
_DEFAULT_PORTS: Final = {"https": "443", "http": "80", "ssh": "22"}
_KEPT: Final = "/-._~!$&'()*+,;=:@[]?"
"""Characters of a path that mean the same with and without percent-encoding, and those of globs."""
_PLAIN_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\]")
_PLAIN_USER: Final = re.compile(r"([A-Za-z0-9._~+-]+@)?[^@]*")
_ODD_PATH: Final = re.compile(r"%(2e|2f|5c|25|[01])|\\|(^|/)\.{1,2}(/|$)", re.IGNORECASE)
_MAGIC: Final = re.compile(r"[*?\[]")
_SEPARATORS: Final = re.compile(r"[-_.]+")


@dataclass(frozen=True, kw_only=True)
class Name:
    """What a server is made from.

    Attributes:
        kind: Of the source.
        text: As it was written: a URL, a package, a reference.
    """

    kind: Kind
    text: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.text}"


def name_of(spec: MCPServerSpec) -> Name:
    """Name the source of a server."""
    source = spec.source
    if source.git is not None:
        return Name(kind="git", text=source.git.url)
    if source.npm is not None:
        return Name(kind="npm", text=source.npm.package)
    if source.pypi is not None:
        return Name(kind="pypi", text=source.pypi.package)
    if source.image is not None:
        return Name(kind="image", text=source.image.reference)
    if source.remote is not None:
        return Name(kind="remote", text=source.remote.url)
    raise ValueError("a source of no kind: the models let none through")


def parse(text: str) -> Name:
    """Read ``KIND:SOURCE``.

    Raises:
        ValueError: It has no kind that we know.
    """
    kind, _, rest = text.partition(":")
    for known in KINDS:
        if kind == known and rest:
            return Name(kind=known, text=rest)
    raise ValueError(f"not KIND:SOURCE with a kind of {', '.join(KINDS)}: {text!r}")


def allows(glob: str, name: Name) -> bool:
    """Tell whether a glob over ``KIND:SOURCE`` allows a source; ``*`` alone allows all."""
    kind, colon, rest = glob.partition(":")
    if not colon:
        return glob == "*"
    return kind in ("*", name.kind) and _matches(rest, name, strict=True)


def names_host(glob: str, name: Name) -> bool:
    """Tell whether a glob over ``KIND:SOURCE`` allows a URL and names its host without a wildcard."""
    pattern = _Url.of_glob(glob.partition(":")[2])
    return allows(glob, name) and bool(pattern.host) and not _MAGIC.search(pattern.host)


def targets(glob: str, name: Name) -> bool:
    """Tell whether a glob over sources of the same kind is about a source, however that is spelt."""
    return _matches(glob, name, strict=False)


def _matches(glob: str, name: Name, *, strict: bool) -> bool:
    if glob == "*":
        return True
    match name.kind:
        case "git" | "remote":
            return _url_matches(_Url.of_glob(glob), _Url.of_name(name.text), name.kind, strict=strict)
        case "image":
            return _image_matches(glob, name.text, strict=strict)
        case "pypi":
            return policy.matches([_pypi(glob)], _pypi(name.text))
        case "npm":
            return policy.matches([glob.lower()], name.text.lower())


@dataclass(frozen=True, kw_only=True)
class _Url:
    """A URL, or a glob over URLs. ``path`` is None in a glob that says nothing of it."""

    scheme: str
    host: str
    port: str
    path: str | None
    query: str = ""
    plain: bool = True
    """Nobody could read its path as another one: no dots or encoded slashes."""
    odd: bool = False
    """Its host is not one, or what is before it could be: git decodes both, and takes other alphabets' letters for
    plain ones. Nobody knows where such a URL leads."""

    @classmethod
    def of_name(cls, text: str) -> _Url:
        scheme, _, rest = text.partition("://")
        found = re.match(r"[^/?#\\]*", rest)
        authority = found.group() if found else ""
        path, _, query = rest[len(authority) :].partition("#")[0].partition("?")
        scheme = scheme.lower()
        host, port = _host(scheme, authority)
        odd = not (_PLAIN_HOST.fullmatch(host) and _PLAIN_USER.fullmatch(authority))
        plain = not _ODD_PATH.search(path)
        return cls(scheme=scheme, host=host, port=port, path=_path(path), query=query, plain=plain, odd=odd)

    @classmethod
    def of_glob(cls, text: str) -> _Url:
        scheme, found, rest = text.partition("://")
        if not found:
            scheme, rest = "https", text
            short = re.fullmatch(r"[^@/]*@([^:/]+):(.+)", text)  # as git also takes it: git@host:path
            if short is not None:
                rest = "/".join(short.groups())
        scheme = scheme.lower()
        authority, slash, path = rest.partition("/")
        host, port = _host(scheme, authority)
        return cls(scheme=scheme, host=host, port=port, path=_path(path) if slash else None)


def _host(scheme: str, authority: str) -> tuple[str, str]:
    host, port = authority.rpartition("@")[2].lower(), ""
    numbered = re.fullmatch(r"(.*):([0-9*?]*)", host)
    if numbered is not None:
        host, port = numbered.groups()
    return host.rstrip("."), "" if port == _DEFAULT_PORTS.get(scheme) else port


def _path(text: str) -> str:
    """Write a path in one way: what needs no encoding has none; no dots, no empty parts, no slash at either end."""
    return posixpath.normpath("/" + quote(unquote(text), safe=_KEPT)).lstrip("/")


def _url_matches(glob: _Url, url: _Url, kind: Kind, *, strict: bool) -> bool:
    if url.odd:
        return not strict
    return (
        (url.plain or not strict)
        and _scheme_matches(glob.scheme, url.scheme, strict=strict)
        and policy.matches([glob.host], url.host)
        and _port_matches(glob.port, url.port, strict=strict)
        and _path_matches(glob, url, kind, strict=strict)
    )


def _scheme_matches(glob: str, scheme: str, *, strict: bool) -> bool:
    """``https`` stands for ssh, too; where nothing may be evaded also for http, which is the same server."""
    secure = {"https", "ssh"}
    if glob in secure:
        return scheme in secure or not strict
    return policy.matches([glob], scheme)


def _port_matches(glob: str, port: str, *, strict: bool) -> bool:
    if not glob:
        return not port or not strict
    return policy.matches([glob], port)


def _path_matches(glob: _Url, url: _Url, kind: Kind, *, strict: bool) -> bool:
    if glob.path is None:
        return True
    pattern, path = glob.path, url.path or ""
    if not strict:
        pattern, path = pattern.lower(), path.lower()
    elif url.query:
        path = f"{path}?{url.query}"
    if kind == "git":
        pattern, path = pattern.removesuffix(".git"), path.removesuffix(".git")
    return policy.matches([pattern], path)


def _image_matches(glob: str, reference: str, *, strict: bool) -> bool:
    repository = _untagged(glob)
    if strict and repository != glob:
        return False  # a tag in a glob can never be met: references are compared without
    first, slash, rest = repository.partition("/")
    wanted = (first.lower(), rest) if slash and _MAGIC.search(first) else _image(repository)
    return all(policy.matches([pattern], part) for pattern, part in zip(wanted, _image(reference), strict=True))


def _image(reference: str) -> tuple[str, str]:
    """Give registry and repository of a reference, as Docker completes it."""
    plain = _untagged(reference)
    first, slash, rest = plain.partition("/")
    host, path = DOCKER_HUB, plain
    if slash and (re.search(r"[.:]", first) or first.lower() == "localhost"):
        host, path = first.lower().removesuffix(":443").rstrip("."), rest
    if host in _HUB_HOSTS:
        return DOCKER_HUB, path if "/" in path else f"library/{path}"
    return host, path


def _untagged(reference: str) -> str:
    plain = reference.partition("@")[0]
    folder, slash, last = plain.rpartition("/")
    return folder + slash + last.partition(":")[0]


def _pypi(name: str) -> str:
    """Normalise as PEP 503 says."""
    return _SEPARATORS.sub("-", name).lower()

"""Where an MCPServer comes from: a git repository, a package, an image that is there already, a server elsewhere."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from mcp_operator.models.base import Duration, Model, between, cel, keyed

GIT_URL = r"^(https?|ssh)://[!-,.0-~][!-~]*$"
"""Printable ASCII, and no host that begins with a hyphen: ssh would take it for an option."""
GIT_REF = r"^[^-\s~^:?*\[\\][^\s~^:?*\[\\]*$"
"""What git allows in a ref's name, and never an option."""
RELATIVE_PATH = r"^[^-/\s][^\s]*$"

NPM_PACKAGE = r"^(@[a-z0-9~-][a-z0-9._~-]*/)?[a-z0-9~-][a-z0-9._~-]*$"
PYPI_PACKAGE = r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"
PACKAGE_VERSION = r"^[0-9A-Za-z][0-9A-Za-z.+!_-]*$"
IMAGE_REFERENCE = r"^[a-zA-Z0-9][a-zA-Z0-9._:/@-]*$"
REMOTE_URL = r"^https?://[!-,.0-~][!-~]*$"
HEADER_NAME = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
SEMVER_RANGE = r"^[-0-9A-Za-z.*^~<>=| ,+]+$"

ConfigName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")]
"""Name of a Secret or ConfigMap."""


class GitRef(Model):
    """At most one; without any, the repository's default branch."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "[has(self.branch), has(self.tag), has(self.semver), has(self.commit)].filter(x, x).size() <= 1",
                "give one of branch, tag, semver and commit",
            ),
        ),
    )

    branch: Annotated[str, Field(pattern=GIT_REF, max_length=255)] | None = None
    """Newest commit of this branch."""
    tag: Annotated[str, Field(pattern=GIT_REF, max_length=255)] | None = None
    """Commit of this tag."""
    semver: Annotated[str, Field(pattern=SEMVER_RANGE, max_length=128)] | None = None
    """Highest tag in this range of versions, such as `^1.2`, `~1.4.0`, `>=1.0 <2.0`; tags may begin with `v`."""
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    """This commit, 40 hexadecimal digits."""


class SecretName(Model):
    """A Secret of the same namespace."""

    name: ConfigName
    """Name of the Secret."""


class ConfigMapName(Model):
    """A ConfigMap of the same namespace."""

    name: ConfigName
    """Name of the ConfigMap."""


class GitSource(Model):
    """A git repository."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            ("!self.path.split('/').exists(part, part == '..')", "path must stay inside the repository: no '..'"),
            (
                "!self.url.matches('^https?://[^/]*@') && !self.url.matches('^ssh://[^/@]*:[^/]*@')",
                "no credentials in the URL: anybody who may read this object would read them; use secretRef",
            ),
            between("interval", "30s", "24h"),
        ),
    )

    url: Annotated[str, Field(pattern=GIT_URL, max_length=2048)]
    """`https://` or `ssh://` URL to clone."""
    ref: GitRef = GitRef()
    """What to check out: at most one of these; without any, the default branch."""
    path: Annotated[str, Field(pattern=RELATIVE_PATH, max_length=512)] = "."
    """Folder of the server inside the repository."""
    secret_ref: SecretName | None = None
    """Secret for a private repository: `username` and `password`, or `ssh-privatekey` and `known_hosts`."""
    interval: Duration = "5m"
    """How often the ref is looked up again."""
    recurse_submodules: bool = False
    """Whether submodules are taken in: those on the repository's own host, with the same credentials."""
    lfs: bool = False
    """Whether the content of files of Git LFS is taken in, from the repository's own `https://` URL."""


class NpmSource(Model):
    """A package of npm's registry."""

    package: Annotated[str, Field(pattern=NPM_PACKAGE, max_length=214)]
    """Name of the package, such as `@example/weather`."""
    version: Annotated[str, Field(pattern=PACKAGE_VERSION, max_length=128)] | None = None
    """Exact version; without, the one that `latest` names, looked up every five minutes."""


class PypiSource(Model):
    """A package of PyPI."""

    package: Annotated[str, Field(pattern=PYPI_PACKAGE, max_length=214)]
    """Name of the package."""
    version: Annotated[str, Field(pattern=PACKAGE_VERSION, max_length=128)] | None = None
    """Exact version; without, the newest release, looked up every five minutes."""


class ImageSource(Model):
    """An image that is there already."""

    reference: Annotated[str, Field(pattern=IMAGE_REFERENCE, max_length=512)]
    """The image; its tag is resolved to a digest every five minutes, and agents get the digest."""
    pull_secret_ref: SecretName | None = None
    """Secret of type `kubernetes.io/dockerconfigjson` with credentials for its registry."""


class KeyRef(Model):
    """A key of a Secret or ConfigMap of the same namespace."""

    name: ConfigName
    """Name of the Secret or ConfigMap."""
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
    """Key inside it."""


class HeaderSource(Model):
    """Where a header's value is."""

    secret_key_ref: KeyRef
    """A key of a Secret of the same namespace; the value never leaves toolman's container."""


RESERVED_HEADERS = (
    r"^(?i:accept(-encoding)?|connection|content-(encoding|length|type)|expect|host|keep-alive|last-event-id"
    r"|proxy-connection|te|trailer|transfer-encoding|upgrade|mcp-.*)$"
)
"""What toolman writes itself."""


class Header(Model):
    """A header of every request to a remote server."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (f"!self.name.matches('{RESERVED_HEADERS}')", "toolman writes this header itself: leave it out"),
        ),
    )

    name: Annotated[str, Field(pattern=HEADER_NAME, max_length=128)]
    """Name of the header, such as `Authorization`."""
    value_from: HeaderSource
    """Where its value is."""


class RemoteSource(Model):
    """A server that runs elsewhere. Nothing is built; toolman connects to it."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!self.url.matches('^https?://[^/]*@')",
                "no credentials in the URL: anybody who may read this object would read them; use headers",
            ),
        ),
    )

    url: Annotated[str, Field(pattern=REMOTE_URL, max_length=2048)]
    """URL of its endpoint. Addresses of the cluster, the node and the cloud's metadata are refused."""
    transport: Literal["streamable-http", "sse"] = "streamable-http"
    """How it is spoken to."""
    headers: Annotated[list[Header], Field(max_length=16, json_schema_extra=keyed("name"))] = []
    """Sent with every request, from Secrets."""
    ca_ref: KeyRef | None = None
    """A key of a ConfigMap with the PEM certificates of the authorities to trust instead of the usual ones."""


_KINDS = ("git", "npm", "pypi", "image", "remote")


class Source(Model):
    """Exactly one kind of source."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                f"[{', '.join(f'has(self.{kind})' for kind in _KINDS)}].filter(x, x).size() == 1",
                f"give exactly one source: {', '.join(_KINDS[:-1])} or {_KINDS[-1]}",
            ),
        ),
    )

    git: GitSource | None = None
    """A git repository."""
    npm: NpmSource | None = None
    """A package of npm's registry."""
    pypi: PypiSource | None = None
    """A package of PyPI."""
    image: ImageSource | None = None
    """An image that is there already; it is verified, not built."""
    remote: RemoteSource | None = None
    """A server that runs elsewhere."""

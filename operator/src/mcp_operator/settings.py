"""Settings of the operator, each from one environment variable; the chart's values set them."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

REQUIRED = ("registry", "image_toolman", "image_wrapper")
"""Fields without which no cluster can be served; building an image needs none of them."""
CHOICES = {"default_access": ("Allow", "Deny"), "log_format": ("text", "json")}
"""Fields that take one of a few words; a misspelt one must not be taken for the default."""


class SettingsError(Exception):
    """A setting is missing or wrong; the text names the variable."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What an installation chooses. The variable of a field is its name in upper case behind ``TOOLMAN_``."""

    registry: str
    """Registry for built images as the engine and the nodes name it, such as ``registry.example.com``. Required."""
    image_toolman: str
    """Image of the sidecar. Required."""
    image_wrapper: str
    """Image of the init container that installs mcp-wrapper, busybox and the spawner. Required."""
    repository_prefix: str = "mcp"
    """Path in the registry below which all built images go."""
    base_python: str = "python:3.12-slim"
    """Base image for Python servers."""
    base_node: str = "node:22-slim"
    """Base image for Node servers."""
    more_bases_python: tuple[str, ...] = ("python:3.13-slim", "python:3.11-slim", "python:3.10-slim")
    """Others, in this order, for servers that refuse the Python of the first one; the tag says which they have."""
    more_bases_node: tuple[str, ...] = ("node:24-slim", "node:20-slim")
    """Others, in this order, for servers that refuse the Node of the first one; the tag says which they have."""
    base_manifest_python: str = "python:3.11-slim"
    """Base image for servers that a manifest.json describes, in Python or in both languages."""
    base_manifest_node: str = "node:20-alpine"
    """Base image for servers that a manifest.json describes, in TypeScript or JavaScript only."""
    base_go: str = "golang:1.25-bookworm"
    """Image that compiles Go servers."""
    base_debian: str = "debian:bookworm-slim"
    """Base image for compiled servers; with the C library of the one that compiles them."""
    git_protocols: tuple[str, ...] = ("https", "ssh")
    """Protocols from which sources may be cloned."""
    git_mirrors: tuple[str, ...] = ()
    """``PREFIX=MIRROR`` pairs: a URL that starts with PREFIX is cloned from MIRROR instead."""
    npm_registry: str = "https://registry.npmjs.org"
    """Where servers that are npm packages are looked up."""
    pypi_index: str = "https://pypi.org/simple"
    """Simple index where servers that are PyPI packages are looked up."""
    cluster_networks: tuple[str, ...] = ()
    """Networks of Pods, Services and nodes with public addresses, such as ``198.51.100.0/24``: no remote server may be
    there, unless a policy names it. Private networks need not be listed."""
    build_ca_file: str = ""
    """PEM file of certificate authorities that package managers must trust during a build, and git while cloning."""
    registry_ca_file: str = ""
    """PEM file of certificate authorities of registries, besides those that the machine trusts. Docker has its own."""
    plain_http_registries: tuple[str, ...] = ()
    """Registries, ``HOST:PORT``, to which HTTP without TLS is spoken; Docker must allow it, too."""
    build_logs: str = ""
    """Folder in which what builds print is kept, the newest ones; empty keeps nothing."""
    scans: tuple[str, ...] = ()
    """What is looked for in what is built, with the tools that are installed: dockerfile, secrets, sbom,
    vulnerabilities. A secret stops a build."""
    scan_severity: str = ""
    """Least severity of a vulnerability that stops a build: LOW, MEDIUM, HIGH or CRITICAL; empty for none."""
    default_access: Literal["Allow", "Deny"] = "Allow"
    """What holds where no ToolPolicy says anything; with ``Deny`` an enforced one must allow each thing by name."""
    max_builds: int = 2
    """Builds at the same time; further ones wait."""
    namespace: str = "mcp-system"
    """Namespace of the operator itself, where its Lease is."""
    pod: str = ""
    """UID of the operator's own Pod: who is started again in it does not wait for the Lease of the one that died."""
    installation: str = ""
    """Tells installations apart that share a Docker Engine, so that none tidies up behind another.
    By default the UID of the cluster's namespace ``kube-system``."""
    # --- how it runs
    watch_namespaces: tuple[str, ...] = ()
    """Namespaces that are served, by name; empty for all. Then Roles in these are enough, besides a small ClusterRole
    for ToolPolicy and namespaces."""
    read_api_port: int = 0
    """Where the read API is served; 0 for nowhere."""
    read_api_certificate: str = ""
    """PEM file with the certificate for the read API; without, it is served without TLS."""
    read_api_key: str = ""
    """PEM file with the certificate's key."""
    webhook_port: int = 0
    """Where the API server asks about labelled Pods and about MCPAgents; 0 for nowhere: then nothing is injected."""
    webhook_hosts: tuple[str, ...] = ()
    """DNS names under which it does: those of the webhooks' certificate."""
    log_level: str = "INFO"
    """Python's names."""
    log_format: Literal["text", "json"] = "text"
    """``json`` writes one object a line, with kind, namespace and name of what it is about."""

    @property
    def usual_bases(self) -> tuple[str, ...]:
        """Base images that most servers are built on: they are pulled before they are needed."""
        return (self.base_python, self.base_node)

    @property
    def seldom_bases(self) -> tuple[str, ...]:
        """Base images that some servers are built on."""
        more = (*self.more_bases_python, *self.more_bases_node, self.base_manifest_python, self.base_manifest_node)
        return (*more, self.base_go, self.base_debian)


def variable(field: str) -> str:
    """Name the environment variable of a setting."""
    return f"TOOLMAN_{field.upper()}"


def from_environment(environ: Mapping[str, str] = os.environ, required: Collection[str] = REQUIRED) -> Settings:
    """Read the settings.

    Args:
        environ: Where they are.
        required: Fields that must be set; the others of :data:`REQUIRED` are empty where they are not.

    Raises:
        SettingsError: A required variable is absent or a number is not one.
    """
    values: dict[str, Any] = dict.fromkeys(REQUIRED, "")
    missing = []
    for entry in fields(Settings):
        text = environ.get(variable(entry.name), "")
        if text:
            values[entry.name] = _parse(entry.name, str(entry.type), text)
        elif entry.name in required:
            missing.append(variable(entry.name))
    if missing:
        raise SettingsError(f"not set: {', '.join(missing)}")
    return Settings(**values)


def _parse(name: str, kind: str, text: str) -> object:
    if kind == "int":
        try:
            return int(text)
        except ValueError:
            raise SettingsError(f"{variable(name)} must be a whole number, not {text!r}") from None
    if name in CHOICES and text not in CHOICES[name]:
        raise SettingsError(f"{variable(name)} must be one of {', '.join(CHOICES[name])}, not {text!r}")
    if kind.startswith("tuple"):
        parts = tuple(part.strip() for part in text.split(",") if part.strip())
        return _networks(parts) if name == "cluster_networks" else parts
    return text


def _networks(parts: tuple[str, ...]) -> tuple[str, ...]:
    for part in parts:
        try:
            ipaddress.ip_network(part, strict=False)
        except ValueError:
            name = variable("cluster_networks")
            raise SettingsError(f"{name} must be networks such as 198.51.100.0/24, not {part!r}") from None
    return parts

"""MCPServer: where a server's source is, how it is built and run, which of its tools may be used."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from mcp_operator.models.agent import InlineAgent
from mcp_operator.models.base import Duration, Model, ToolRules, between, cel, unique, untouched
from mcp_operator.models.run import Run
from mcp_operator.models.source import RELATIVE_PATH, SecretName, Source

REPOSITORY = r"^[a-z0-9][a-z0-9._:/-]*$"


class Build(Model):
    """How the image is built. Everything is detected; these override."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            between("timeout", "10s", "2h"),
            between("pushTimeout", "10s", "2h"),
            (
                "!has(self.repository) || has(self.pushSecretRef)",
                "a repository of your own needs pushSecretRef: the installation's credentials are for its own prefix",
            ),
            (
                "!self.dockerfile.split('/').exists(part, part == '..')",
                "dockerfile must stay inside the source: no '..'",
            ),
            (
                "self.runtime == 'dockerfile' || (self.dockerfile == 'Dockerfile' && self.buildArgs.size() == 0)",
                "dockerfile and buildArgs are for the repository's own Dockerfile: say runtime: dockerfile, too",
            ),
            (
                "self.runtime != 'dockerfile' || self.systemPackages.size() == 0",
                "systemPackages are for Dockerfiles that are generated: install them in the repository's own",
            ),
        ),
    )

    runtime: Literal["auto", "node", "python", "go", "dockerfile"] = "auto"
    """Language to build for; `auto` looks where the MCP SDK is used; `dockerfile` takes the repository's own."""
    dockerfile: Annotated[str, Field(pattern=RELATIVE_PATH, max_length=512)] = "Dockerfile"
    """The repository's own, below the source's path, for `runtime: dockerfile`."""
    command: Annotated[list[Annotated[str, Field(min_length=1, max_length=4096)]], Field(max_length=64)] = []
    """Start command instead of the detected one, taken literally."""
    system_packages: Annotated[
        list[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.+-]*$", max_length=128)]],
        Field(max_length=64, json_schema_extra=unique()),
    ] = []
    """Debian packages that the server or its build needs; not with `runtime: dockerfile`."""
    build_args: Annotated[
        dict[str, Annotated[str, Field(max_length=4096)]],
        Field(max_length=64),
    ] = {}
    """Arguments of the repository's own Dockerfile, for `runtime: dockerfile`. They stay in the image: no secrets."""
    tags: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=128)]],
        Field(max_length=16, json_schema_extra=unique()),
    ] = []
    """Further tags of the image, such as `latest`, `v{version}`, `{timestamp}`, `{commit}`; agents use the digest."""
    platforms: Annotated[
        list[Annotated[str, Field(pattern=r"^[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?$", max_length=32)]],
        Field(max_length=8, json_schema_extra=unique()),
    ] = []
    """Such as `linux/amd64`; without, the engine's own."""
    timeout: Duration = "10m"
    """For everything before the push together."""
    push_timeout: Duration = "5m"
    """For the push."""
    verify: Literal["Handshake", "None"] = "Handshake"
    """`None` pushes the image without having spoken MCP with it; then its tools are known only from agents."""
    repository: Annotated[str, Field(pattern=REPOSITORY, max_length=400)] | None = None
    """Repository for the image, without tag; default: the installation's, by namespace and name."""
    push_secret_ref: SecretName | None = None
    """Secret of type `kubernetes.io/dockerconfigjson` with credentials for `repository`."""


class ServerTools(ToolRules):
    """Which of the server's tools any agent may use, and what happens when a new version changes them."""

    changes: Literal["Auto", "Manual"] = "Auto"
    """`Manual`: a new version whose tools differ waits for approval by the annotation `toolman.dev/approve: HASH`, and
    the last good one stays in service."""


class MCPServerSpec(Model):
    """From a source to a server that agents can use."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                f"!has(self.source.remote) || ({untouched(Run(), 'self.run', but=['serverRequests'])})",
                "a remote server is not run here: of run only serverRequests means something for it",
            ),
            (
                f"!has(self.source.remote) || ({untouched(Build(), 'self.build')})",
                "a remote server is not built: leave out build",
            ),
            (
                f"!has(self.source.image) || ({untouched(Build(), 'self.build', but=['timeout', 'verify'])})",
                "an image that is there already is not built: of build only timeout and verify mean something for it",
            ),
        ),
    )

    source: Source
    """Where the server comes from: exactly one of these."""
    build: Build = Build()
    """How its image is built. Everything is detected; these override."""
    run: Run = Run()
    """How it is run."""
    tools: ServerTools = ServerTools()
    """Which of the server's tools any agent may use."""
    agent: InlineAgent | None = None
    """One agent for this server: becomes an MCPAgent of the same name."""

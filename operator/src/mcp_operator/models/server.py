"""MCPServer: where a server's source is, how it is built and run, which of its tools may be used."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from mcp_operator.models.base import Model, ToolRules, cel

GIT_URL = r"^(https?|ssh)://[^\s]+$"
RELATIVE_PATH = r"^[^/\s][^\s]*$"


class GitRef(Model):
    """At most one; without any, the repository's default branch."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "[has(self.branch), has(self.tag), has(self.commit)].filter(x, x).size() <= 1",
                "give one of branch, tag and commit",
            ),
        ),
    )

    branch: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    tag: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None


class GitSource(Model):
    """A git repository."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!has(self.path) || !self.path.split('/').exists(part, part == '..')",
                "path must stay inside the repository",
            ),
            ("!self.url.contains('@') || self.url.startsWith('ssh://')", "no credentials in the URL"),
        ),
    )

    url: Annotated[str, Field(pattern=GIT_URL, max_length=2048, description="https:// or ssh:// URL to clone")]
    ref: GitRef = GitRef()
    path: Annotated[
        str,
        Field(pattern=RELATIVE_PATH, max_length=512, description="Folder of the server inside the repository"),
    ] = "."


class Source(Model):
    """Exactly one kind of source."""

    model_config = ConfigDict(json_schema_extra=cel(("has(self.git)", "give exactly one source: git")))

    git: GitSource | None = None


class Build(Model):
    """How the image is built. Everything is detected; these override."""

    runtime: Annotated[
        Literal["auto", "node", "python"],
        Field(description="Language to build for; auto looks where the MCP SDK is used"),
    ] = "auto"
    command: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=4096)]],
        Field(max_length=64, description="Start command instead of the detected one"),
    ] = []
    timeout_seconds: Annotated[int, Field(ge=10, le=7200, description="Seconds for the whole build")] = 600


class KeyRef(Model):
    """A key of a Secret or ConfigMap of the same namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    key: Annotated[str, Field(min_length=1, max_length=253)]


class ValueFrom(Model):
    """Exactly one."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            ("has(self.secretKeyRef) != has(self.configMapKeyRef)", "give one of secretKeyRef and configMapKeyRef"),
        ),
    )

    secret_key_ref: KeyRef | None = None
    config_map_key_ref: KeyRef | None = None


class EnvVar(Model):
    """A variable of the server's container; the agent's container never gets it."""

    model_config = ConfigDict(
        json_schema_extra=cel(("!(has(self.value) && has(self.valueFrom))", "give one of value and valueFrom")),
    )

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]
    value: Annotated[str, Field(max_length=32768)] | None = None
    value_from: ValueFrom | None = None


class ResourceList(Model):
    """Quantities as Kubernetes writes them."""

    cpu: Annotated[str, Field(pattern=r"^[0-9.]+m?$")] | None = None
    memory: Annotated[str, Field(pattern=r"^[0-9.]+(Ki|Mi|Gi|k|M|G)?$")] | None = None


class Resources(Model):
    """Requests and limits of the server's container."""

    requests: ResourceList = ResourceList(cpu="10m", memory="64Mi")
    limits: ResourceList = ResourceList(memory="512Mi")


class Run(Model):
    """How the server is run in an agent's Pod."""

    args: Annotated[
        list[Annotated[str, Field(max_length=4096)]],
        Field(max_length=64, description="Arguments after the start command"),
    ] = []
    env: Annotated[list[EnvVar], Field(max_length=64)] = []
    resources: Resources = Resources()


class MCPServerSpec(Model):
    """From a source to a server that agents can use."""

    source: Source
    build: Build = Build()
    run: Run = Run()
    tools: Annotated[ToolRules, Field(description="Which of the server's tools any agent may use")] = ToolRules()

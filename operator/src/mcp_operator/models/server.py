"""MCPServer: where a server's source is, how it is built and run, which of its tools may be used."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from mcp_operator.models.base import Model, ToolRules, cel, keyed, unique

GIT_URL = r"^(https?|ssh)://[!-,.0-~][!-~]*$"
"""Printable ASCII, and no host that begins with a hyphen: ssh would take it for an option."""
GIT_REF = r"^[^-\s~^:?*\[\\][^\s~^:?*\[\\]*$"
"""What git allows in a ref's name, and never an option."""
RELATIVE_PATH = r"^[^-/\s][^\s]*$"

CPU = r"^[0-9]+(\.[0-9]+)?m?$"
MEMORY = r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|k|M|G)?$"


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

    branch: Annotated[str, Field(pattern=GIT_REF, max_length=255)] | None = None
    """Newest commit of this branch."""
    tag: Annotated[str, Field(pattern=GIT_REF, max_length=255)] | None = None
    """Commit of this tag."""
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    """This commit, 40 hexadecimal digits."""


class GitSource(Model):
    """A git repository."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            ("!self.path.split('/').exists(part, part == '..')", "path must stay inside the repository: no '..'"),
            (
                "!self.url.matches('^https?://[^/]*@') && !self.url.matches('^ssh://[^/@]*:[^/]*@')",
                "no credentials in the URL: anybody who may read this object would read them",
            ),
        ),
    )

    url: Annotated[str, Field(pattern=GIT_URL, max_length=2048)]
    """`https://` or `ssh://` URL to clone."""
    ref: GitRef = GitRef()
    """What to check out: at most one of these; without any, the default branch."""
    path: Annotated[str, Field(pattern=RELATIVE_PATH, max_length=512)] = "."
    """Folder of the server inside the repository."""


class Source(Model):
    """Exactly one kind of source."""

    model_config = ConfigDict(json_schema_extra=cel(("has(self.git)", "give exactly one source: git")))

    git: GitSource | None = None
    """A git repository."""


class Build(Model):
    """How the image is built. Everything is detected; these override."""

    runtime: Literal["auto", "node", "python", "go", "dockerfile"] = "auto"
    """Language to build for; `auto` looks where the MCP SDK is used; `dockerfile` takes the repository's own."""
    dockerfile: Annotated[
        str,
        Field(
            pattern=RELATIVE_PATH,
            max_length=512,
            json_schema_extra=cel(
                ("!self.split('/').exists(part, part == '..')", "dockerfile must stay inside the source: no '..'"),
            ),
        ),
    ] = "Dockerfile"
    """The repository's own, below the source's path, for `runtime: dockerfile`."""
    command: Annotated[list[Annotated[str, Field(min_length=1, max_length=4096)]], Field(max_length=64)] = []
    """Start command instead of the detected one, taken literally."""
    system_packages: Annotated[
        list[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.+-]*$", max_length=128)]],
        Field(max_length=64, json_schema_extra=unique()),
    ] = []
    """Debian packages that the server or its build needs."""
    timeout_seconds: Annotated[int, Field(ge=10, le=7200)] = 600
    """Seconds for the whole build."""


class KeyRef(Model):
    """A key of a Secret or ConfigMap of the same namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    """Name of the Secret or ConfigMap."""
    key: Annotated[str, Field(min_length=1, max_length=253)]
    """Key inside it."""


class ValueFrom(Model):
    """Exactly one."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            ("has(self.secretKeyRef) != has(self.configMapKeyRef)", "give one of secretKeyRef and configMapKeyRef"),
        ),
    )

    secret_key_ref: KeyRef | None = None
    """A key of a Secret of the same namespace. An agent's template that mounts the same Secret is refused."""
    config_map_key_ref: KeyRef | None = None
    """A key of a ConfigMap of the same namespace."""


class EnvVar(Model):
    """A variable of the server's container; the agent's container never gets it."""

    model_config = ConfigDict(
        json_schema_extra=cel(("!(has(self.value) && has(self.valueFrom))", "give one of value and valueFrom")),
    )

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]
    """Name of the variable."""
    value: Annotated[str, Field(max_length=32768)] | None = None
    """Its value, taken literally."""
    value_from: ValueFrom | None = None
    """Where its value is: exactly one of these."""


def _text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _quantity(pattern: str) -> WithJsonSchema:
    """A number or a text, as in a Pod: ``cpu: 1`` is how most people write it."""
    return WithJsonSchema({"x-kubernetes-int-or-string": True, "maxLength": 32, "pattern": pattern})


class ResourceList(Model):
    """Quantities as Kubernetes writes them."""

    cpu: (
        Annotated[
            str,
            BeforeValidator(_text),
            StringConstraints(pattern=CPU, max_length=32),
            _quantity(CPU),
        ]
        | None
    ) = None
    """Cores, such as `1` or `250m`."""
    memory: (
        Annotated[
            str,
            BeforeValidator(_text),
            StringConstraints(pattern=MEMORY, max_length=32),
            _quantity(MEMORY),
        ]
        | None
    ) = None
    """Bytes, such as `512Mi`."""


def _at_most(resource: str) -> tuple[str, str]:
    request, limit = f"self.requests.{resource}", f"self.limits.{resource}"
    return (
        f"!has({request}) || !has({limit}) || quantity(string({request})).compareTo(quantity(string({limit}))) <= 0",
        f"requests.{resource} must not be more than limits.{resource}",
    )


class Resources(Model):
    """Requests and limits of the server's container."""

    model_config = ConfigDict(json_schema_extra=cel(_at_most("cpu"), _at_most("memory")))

    requests: ResourceList = ResourceList(cpu="10m", memory="64Mi")
    """What the scheduler keeps free for it."""
    limits: ResourceList = ResourceList(memory="512Mi")
    """What it may use at most."""


class Run(Model):
    """How the server is run in an agent's Pod."""

    args: Annotated[list[Annotated[str, Field(max_length=4096)]], Field(max_length=64)] = []
    """Arguments after the start command, taken literally."""
    env: Annotated[list[EnvVar], Field(max_length=64, json_schema_extra=keyed("name"))] = []
    """Environment of the server's container."""
    resources: Resources = Resources()
    """Requests and limits of the server's container."""


class MCPServerSpec(Model):
    """From a source to a server that agents can use."""

    source: Source
    """Where the server comes from: exactly one of these."""
    build: Build = Build()
    """How its image is built. Everything is detected; these override."""
    run: Run = Run()
    """How it is run in an agent's Pod."""
    tools: ToolRules = ToolRules()
    """Which of the server's tools any agent may use."""

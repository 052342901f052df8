"""ToolPolicy: an admin's ceiling. Owners of servers and agents can only narrow it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from mcp_operator.models.base import (
    Duration,
    Glob,
    Globs,
    Model,
    Rules,
    ServerRequest,
    between,
    cel,
    unique,
    untouched,
)

LabelKey = Annotated[str, Field(min_length=1, max_length=317)]
LabelValue = Annotated[str, Field(max_length=63)]
SOURCE_GLOB = r"^(\*|(\*|git|npm|pypi|image|remote):.+)$"
"""With its kind: a URL alone would allow nothing."""


class Requirement(Model):
    """One label requirement, as in Kubernetes."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "self.operator in ['In', 'NotIn'] ? self.values.size() > 0 : self.values.size() == 0",
                "In and NotIn need values; Exists and DoesNotExist take none",
            ),
        ),
    )

    key: LabelKey
    """Key of the label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """`NotIn` and `DoesNotExist` are also true without the label."""
    values: Annotated[list[LabelValue], Field(max_length=64)] = []
    """Values for `In` and `NotIn`."""


class LabelSelector(Model):
    """Labels that must all match; an empty selector matches everything."""

    match_labels: Annotated[dict[LabelKey, LabelValue], Field(max_length=32)] = {}
    """Labels with exactly these values."""
    match_expressions: Annotated[list[Requirement], Field(max_length=32)] = []
    """Requirements on labels."""


class PolicySources(Model):
    """Globs over sources, by kind. Absent: this kind is not asked about; an empty list: none of this kind."""

    git: Globs | None = None
    """Globs over URLs of git repositories; protocol, user, port, case and `.git` do not count."""
    npm: Globs | None = None
    """Globs over names of npm packages."""
    pypi: Globs | None = None
    """Globs over names of PyPI packages, normalized: lower case, with `-`."""
    image: Globs | None = None
    """Globs over image references without tag and digest."""
    remote: Globs | None = None
    """Globs over URLs of remote servers; protocol, port, case and query do not count."""


class Target(Model):
    """Whom the policy caps: everything that matches all of these."""

    namespace_selector: LabelSelector = LabelSelector()
    """Labels of the agent's namespace; empty: all of them."""
    agent_selector: LabelSelector = LabelSelector()
    """Labels of the MCPAgent; empty: all of them."""
    servers: Annotated[list[Glob], Field(min_length=1, max_length=64)] = ["*"]
    """Globs over MCPServer names."""
    sources: PolicySources | None = None
    """Only servers from these sources; absent: from any. A kind that is absent in it matches none."""


class SourceRules(Model):
    """What a namespace may build from or connect to at all."""

    allow: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=256, pattern=SOURCE_GLOB)]],
        Field(max_length=128),
    ]
    """Globs over `KIND:SOURCE`, such as `git:https://github.com/example/*`, `npm:@example/*`, `remote:https://*`.

    Of a URL, host and path are matched each by its own part of the glob, as written; `https` stands for `ssh`, too.
    All other sources are refused in the namespaces of the policy's target. A remote server inside of the cluster is
    only allowed where a glob names it without `*` in its host.
    """


class PolicyLimits(Model):
    """Bounds of what an agent may use of each server; the tightest of all policies wins."""

    model_config = ConfigDict(json_schema_extra=cel(between("callTimeout", "1s", "24h")))

    calls_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Calls of tools in a minute."""
    max_concurrent_calls: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Calls on their way at a time."""
    max_tools: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Visible tools; those behind, in the server's order, are not shown."""
    max_list_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Tokens that the visible tools may take in a model's context, estimated."""
    call_timeout: Duration | None = None
    """Silence after which a call fails; progress extends it."""
    max_result_bytes: Annotated[int, Field(ge=1, le=1_073_741_824)] | None = None
    """Bytes of one result."""


class ServerRequestRules(Model):
    """What servers may ask of agents in the middle of a call."""

    allow: Annotated[list[ServerRequest], Field(max_length=3, json_schema_extra=unique())]
    """All others are refused."""


_WHOLE_NAMESPACES = untouched(Target(), "self.target", but=["namespaceSelector"])
_PARTS = ("tools", "prompts", "resources", "extensions", "serverRequests", "sources", "limits")


class ToolPolicySpec(Model):
    """A ceiling over what agents see, call and are asked, and over what servers are made from."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                " || ".join(f"has(self.{part})" for part in _PARTS),
                f"a policy must say something: give at least one of {', '.join(_PARTS)}",
            ),
            (
                f"{' || '.join(f'has(self.{part})' for part in _PARTS if part != 'sources')} || ({_WHOLE_NAMESPACES})",
                "sources are said of whole namespaces: of target only namespaceSelector means something for them",
            ),
            *(
                (
                    f"!has(self.{part}) || has(self.{part}.allow) || self.{part}.deny.size() > 0",
                    f"{part} must allow or deny something",
                )
                for part in ("tools", "prompts", "resources", "extensions")
            ),
        ),
    )

    enforcement: Literal["Enforce", "Audit"] = "Enforce"
    """`Audit` blocks nothing and grants nothing: what it would deny is counted and reported."""
    target: Target = Target()
    """Whom the policy caps: everything that matches all of these; without it, every agent and every server.

    Tenants choose the names and labels of their own objects: ceilings that must hold select namespaces and sources.
    """
    tools: Rules | None = None
    """Tools that at most may be seen and called, by the server's own names."""
    prompts: Rules | None = None
    """Prompts that at most may be seen and used."""
    resources: Rules | None = None
    """Resources and templates that at most may be seen and read, by URI."""
    extensions: Rules | None = None
    """Extensions of the protocol that at most may be used, by identifier."""
    server_requests: ServerRequestRules | None = None
    """What servers may ask of agents."""
    sources: SourceRules | None = None
    """What servers of the target's namespaces may be made from; of the target only `namespaceSelector` counts here."""
    limits: PolicyLimits | None = None
    """How much at most may be used of a server by an agent."""

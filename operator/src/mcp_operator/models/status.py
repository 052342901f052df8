"""What the operator reports of each kind. Written by nobody else; kept small whatever a server answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from mcp_operator.models.base import Model

LISTED_TOOLS = 50
"""Tools, names or denials listed in a status at most; the counts beside them are always whole."""
LOG_TAIL_BYTES = 2048
"""Of a failed step's output."""


class Status(Model):
    """Base: fields that are not set are left out."""

    model_config = ConfigDict(frozen=False)


class Condition(Status):
    """As Kubernetes' own. Reasons are constants of ``mcp_operator.conditions``."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""
    observed_generation: int
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class BuildStatus(Status):
    """The build under way or the last one. ``step`` is one of fetch, detect, build, verify, push.

    ``progress`` is for people: ``Build 3/9``. Times are RFC 3339, UTC.
    """

    key: Annotated[str, Field(description="Hash of everything the build was made from")]
    started_at: str
    finished_at: str | None = None
    seconds: int | None = None
    progress: str | None = None
    detail: Annotated[str | None, Field(description="What the step is doing now")] = None
    failed_step: str | None = None
    hint: str | None = None
    log_tail: str | None = None
    attempts: int = 1


class SourceStatus(Status):
    """The commit in service."""

    commit: str


class ImageStatus(Status):
    """The image in service. ``reference`` is by digest; ``size`` in bytes, uncompressed."""

    reference: str
    id: str
    size: int
    command: list[str]
    working_dir: str
    build_key: Annotated[str, Field(description="build.key of the build that made it")]


class ToolStatus(Status):
    """A tool as the verified image listed it."""

    name: str
    hash: str


class ProtocolStatus(Status):
    """What the handshake found."""

    version: str
    transport: str
    server_info: str


class MCPServerStatus(Status):
    """Conditions: SourceReady, Built, Verified, Pushed, Ready; Reconciling or Stalled while true."""

    observed_generation: int | None = None
    conditions: list[Condition] = []
    summary: Annotated[str | None, Field(description="One phrase for kubectl get: Ready, Build 3/9, what failed")] = (
        None
    )
    source: SourceStatus | None = None
    image: ImageStatus | None = None
    build: BuildStatus | None = None
    protocol: ProtocolStatus | None = None
    detected: Annotated[list[str] | None, Field(description="What the detection saw, a line each")] = None
    tool_count: int | None = None
    tools: list[ToolStatus] | None = None


class AgentTools(Status):
    """What the agent sees: ``names`` as it sees them."""

    visible: int
    total: int
    names: list[str]


class DeniedTool(Status):
    """A tool (``server/tool``) that the agent does not get; ``by`` is the layer, such as ``ToolPolicy/base``."""

    tool: str
    by: str
    reason: str


class MCPAgentStatus(Status):
    """Conditions: PolicyResolved, ServersReady, ToolsReady, PodReady, Ready; Reconciling or Stalled while true."""

    observed_generation: int | None = None
    conditions: list[Condition] = []
    summary: Annotated[str | None, Field(description="One phrase for kubectl get")] = None
    phase: str | None = None
    pod_name: str | None = None
    tools: AgentTools | None = None
    denied: list[DeniedTool] | None = None
    denied_count: int | None = None


class ToolPolicyStatus(Status):
    """Conditions: Ready."""

    observed_generation: int | None = None
    conditions: list[Condition] = []
    matched_agents: int | None = None
    agents: Annotated[list[str] | None, Field(description="namespace/name of agents that it caps")] = None

"""What the operator reports of each kind. Written by nobody else; kept small whatever a server answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from mcp_operator.models.base import Model, keyed

SERVER_TOOLS = 500
"""Tools that a server's status lists at most. What agents' statuses say of tools is worked out from these."""
LISTED_TOOLS = 50
"""Tools, names or denials listed in a status at most; the counts beside them are always whole."""
LOG_TAIL_BYTES = 2048
"""Of a failed step's output."""


class Status(Model):
    """Base: fields that are not set are left out."""

    model_config = ConfigDict(frozen=False)


class Condition(Status):
    """As Kubernetes' own. Reasons are constants of `mcp_operator.conditions`."""

    type: str
    """What it is about."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: str
    """Why, as one CamelCase word."""
    message: str = ""
    """Why, for people, and what to do."""
    observed_generation: int
    """Generation of the object to which it applies."""
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When `status` last changed."""


Conditions = Annotated[list[Condition], Field(json_schema_extra=keyed("type"))]


class BuildStatus(Status):
    """Times are RFC 3339, UTC."""

    key: str
    """Hash of everything the build was made from."""
    commit: str = ""
    """Commit that is built."""
    started_at: str
    """When it began."""
    finished_at: str | None = None
    """When it ended, well or not."""
    seconds: int | None = None
    """How long it took."""
    progress: str | None = None
    """The step under way, for people: `Build 3/9`."""
    detail: str | None = None
    """What the step is doing now."""
    failed_step: str | None = None
    """The step that failed: Fetch, Detect, Build, Verify or Push."""
    reason: str | None = None
    """Why it failed, as one CamelCase word."""
    message: str | None = None
    """What is wrong."""
    hint: str | None = None
    """What to do about it."""
    log_tail: str | None = None
    """The last lines of the failed step's output."""
    attempts: int = 1
    """How often the same build was tried."""
    transient: bool | None = None
    """Whether a failed build is tried again by itself."""


class SourceStatus(Status):
    """The source of the image in service."""

    commit: str
    """Commit of the image in service."""


class ImageStatus(Status):
    """The image in service."""

    reference: str
    """What a Pod names, by digest."""
    id: str
    """Its ID in the engine's store."""
    size: int
    """Bytes, uncompressed."""
    command: list[str]
    """Start command."""
    working_dir: str
    """Folder in which it starts."""
    build_key: str
    """`build.key` of the build that made it."""
    bases: dict[str, str] = {}
    """Images that it was made from, with their IDs in the engine's store. Another one of the same name means building
    again."""


class ToolStatus(Status):
    """A tool as the verified image listed it."""

    name: str
    """The server's own name for it."""
    hash: str
    """Hash of its definition."""


class ProtocolStatus(Status):
    """What the handshake found."""

    version: str
    """Protocol version that the server answered."""
    transport: str
    """How it is spoken to."""
    server_info: str
    """The server's name and version as it gives them."""


class MCPServerStatus(Status):
    """Conditions: SourceReady, Built, Verified, Pushed, Ready; Reconciling or Stalled while true."""

    observed_generation: int | None = None
    """Generation of the spec that this status is about."""
    conditions: Conditions = []
    """SourceReady, Built, Verified, Pushed, Ready; Reconciling or Stalled while true."""
    summary: str | None = None
    """One phrase for `kubectl get`: Ready, Build 3/9, what failed."""
    source: SourceStatus | None = None
    """The source of the image in service."""
    image: ImageStatus | None = None
    """The image in service. A failed build leaves it as it was."""
    build: BuildStatus | None = None
    """The build under way or the last one."""
    protocol: ProtocolStatus | None = None
    """What the handshake found."""
    detected: list[str] | None = None
    """What the detection saw, a line each."""
    tool_count: int | None = None
    """How many tools the server has."""
    tools: list[ToolStatus] | None = None
    """The first 50 of them."""


class AgentTools(Status):
    """What the agent sees."""

    visible: int
    """How many tools the agent sees."""
    total: int
    """How many tools its servers have."""
    names: list[str]
    """The first 50 that it sees, by the names that it sees."""


class DeniedTool(Status):
    """A tool that the agent does not get."""

    tool: str
    """`server/tool`."""
    by: str
    """The layer that denies it, such as `ToolPolicy/base`."""
    reason: str
    """`Denied`: on a deny list; `NotListed`: not on the allow list."""


class MCPAgentStatus(Status):
    """Conditions: PolicyResolved, ServersReady, ToolsReady, PodReady, Ready; Reconciling or Stalled while true."""

    observed_generation: int | None = None
    """Generation of the spec that this status is about."""
    conditions: Conditions = []
    """PolicyResolved, ServersReady, ToolsReady, PodReady, Ready; Reconciling or Stalled while true."""
    summary: str | None = None
    """One phrase for `kubectl get`."""
    phase: str | None = None
    """Phase of the Pod."""
    pod_name: str | None = None
    """Name of the Pod."""
    tools: AgentTools | None = None
    """What the agent sees."""
    denied: list[DeniedTool] | None = None
    """The first 50 tools that it does not get, and why."""
    denied_count: int | None = None
    """How many tools it does not get."""


class ToolPolicyStatus(Status):
    """Conditions: Ready."""

    observed_generation: int | None = None
    """Generation of the spec that this status is about."""
    conditions: Conditions = []
    """Ready."""
    matched_agents: int | None = None
    """How many agents it caps."""
    agents: list[str] | None = None
    """`namespace/name` of the first 50 of them."""

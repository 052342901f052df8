"""What the operator reports of each kind. Written by nobody else; kept small whatever a server answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from mcp_operator.models.base import Model, keyed

LISTED_TOOLS = 50
"""Tools, names or denials listed in a status at most; the counts beside them are always whole."""
LOG_TAIL_BYTES = 2048
"""Of a failed step's output."""


class Status(Model):
    """Base: fields that are not set are left out."""

    model_config = ConfigDict(frozen=False)

    __deepcopy__ = BaseModel.__deepcopy__
    """A status is worked on as a copy of the one that was read."""


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

    number: int = 1
    """Counts the builds of this object; another attempt at the same one counts in `attempts`."""
    key: str
    """Hash of everything the build was made from."""
    revision: str = ""
    """What is built: commit, version or digest."""
    started_at: str
    """When it began."""
    finished_at: str | None = None
    """When it ended, well or not."""
    seconds: int | None = None
    """How long it took."""
    progress: str | None = None
    """The step under way, for people: `Build 3/9`."""
    step: int | None = None
    """Instruction of the Dockerfile under way, counted from 1."""
    of: int | None = None
    """How many instructions there are."""
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
    warnings: list[str] | None = None
    """What is worth knowing although it worked, the first 10."""
    attempts: int = 1
    """How often the same build was tried."""
    transient: bool | None = None
    """Whether a failed build is tried again by itself."""
    credentials: str | None = None
    """Stands for the versions of the Secrets that a failed build was given: with others it is tried again."""


class SourceStatus(Status):
    """What the server in service was made from."""

    name: str | None = None
    """`KIND:SOURCE`, as policies see it."""
    revision: str = ""
    """Commit, version or digest; of a remote server the hash of its tools."""
    commit: str | None = None
    """The commit, of a git repository."""
    tag: str | None = None
    """The tag that the range of versions led to."""


class ImageStatus(Status):
    """The image in service."""

    reference: str
    """What a Pod names, by digest."""
    id: str
    """Its ID in the engine's store."""
    size: int
    """Bytes, uncompressed."""
    tags: list[str] | None = None
    """All that it has in its repository, the first 20."""
    command: list[str]
    """Start command."""
    working_dir: str
    """Folder in which it starts."""
    build_key: str
    """`build.key` of the build that made it."""
    verified_with: str | None = None
    """Stands for what of `run` it was tried out with; until other settings are, running agents' Pods keep theirs."""
    bases: dict[str, str] = {}
    """Images that it was made from, with their IDs in the engine's store. Another one of the same name means building
    again."""


class ToolStatus(Status):
    """A tool as the verified server listed it."""

    name: str
    """The server's own name for it."""
    hash: str
    """Hash of its definition."""
    tokens: int = 0
    """About how many tokens a model reads for it."""
    read_only: bool | None = None
    """What its annotations claim; absent if they claim nothing."""


class ProtocolStatus(Status):
    """What the handshake found."""

    era: str = "legacy"
    """`legacy`, with a handshake, or `modern`, without."""
    version: str
    """Protocol version that the server answered."""
    transport: str
    """How it is spoken to."""
    port: int | None = None
    """Where it listens, for HTTP."""
    path: str | None = None
    """Path of its endpoint, for HTTP."""
    server_info: str
    """The server's name and version as it gives them."""


class Revision(Status):
    """A verified revision of a server: what agents are given of it once it is in service."""

    source: SourceStatus | None = None
    """What it was made from."""
    image: ImageStatus | None = None
    """Its image; absent for a remote server."""
    protocol: ProtocolStatus | None = None
    """What the handshake found."""
    tool_count: int | None = None
    """How many tools it has."""
    tools_hash: str | None = None
    """Hash over all of them; the annotation `toolman.dev/approve` names it."""
    tools: list[ToolStatus] | None = None
    """The first 50 of them; the ConfigMap that `manifest` names has all."""


class HeldStatus(Revision):
    """A revision that waits for approval, because its tools differ from those in service."""

    added: list[str] = []
    """Tools that it has more, the first 50."""
    removed: list[str] = []
    """Tools that it has no more, the first 50."""
    changed: list[str] = []
    """Tools whose definition differs, the first 50."""
    approve: str
    """The command that approves it."""


class EndpointStatus(Status):
    """Where agents' toolman reaches a server that is not in their Pods."""

    url: str
    """Of its endpoint."""
    transport: str
    """How it is spoken to."""
    ca_config_map: str | None = None
    """ConfigMap whose key `ca.crt` has the only authority to trust; absent for a remote server."""
    audience: str | None = None
    """Audience of the service account token that must be shown; absent for a remote server."""
    inside: bool | None = None
    """A policy lets this remote server be inside of the cluster; absent: it may not."""


class MCPServerStatus(Revision):
    """What runs for agents now, and what is being done about the next one. A failure leaves the former as it was."""

    observed_generation: int | None = None
    """Generation of the spec that this status is about."""
    conditions: Conditions = []
    """SourceReady, Built, Verified, Pushed, InputsReady, Available, AgentApplied (those that its spec has), Ready.

    While true: Reconciling or Stalled, AwaitingApproval, ToolsDrifted."""
    summary: str | None = None
    """One phrase for `kubectl get`: Ready, Build 3/9, what failed."""
    source_kind: str | None = None
    """`git`, `npm`, `pypi`, `image` or `remote`."""
    build: BuildStatus | None = None
    """The build under way or the last one."""
    held: HeldStatus | None = None
    """A revision that waits for approval (`tools.changes: Manual`)."""
    manifest: str | None = None
    """ConfigMap that lists all tools with their hashes."""
    handled_reconcile: str | None = None
    """The value of the annotation `toolman.dev/reconcile` that was last acted on."""
    detected: list[str] | None = None
    """What the detection saw, a line each."""
    endpoint: EndpointStatus | None = None
    """Where agents' toolman reaches it, if it is shared or remote."""


class AgentTools(Status):
    """What the agent sees."""

    visible: int
    """How many tools the agent sees."""
    total: int
    """How many tools its servers have."""
    names: list[str]
    """The first 50 that it sees, by the names that it sees."""


class AgentTokens(Status):
    """About how many tokens a model reads for lists of tools, as far as the servers' definitions are known."""

    visible: int
    """For the tools that the agent sees."""
    total: int
    """For all that its servers have."""


class RunStatus(Status):
    """How far an agent that runs to completion has come."""

    key: str
    """Hash of the spec that it runs. Another spec is another run; the same one never runs again once it is finished."""
    pod_uid: str
    """UID of its Pod."""
    started_at: str | None = None
    """When the agent's own containers were first started."""
    finished_at: str | None = None
    """When it was over."""
    result: Literal["Succeeded", "Failed"] | None = None
    """How it was."""
    container: str | None = None
    """The container that decided."""
    exit_code: int | None = None
    """Its exit code."""
    message: str | None = None
    """Its termination message, or why the Pod ended."""


class DeniedTool(Status):
    """A tool that the agent does not get."""

    tool: str
    """`server/tool`."""
    by: str
    """The layer that denies it, such as `ToolPolicy/base`."""
    reason: str
    """`Denied`: on a deny list; `NotListed`: not on the allow list; `NoLayer`: nobody allows it; `Limit`: beyond a
    layer's bounds; `SameName`: two tools have one name."""


class AuditedTool(Status):
    """A tool that the agent gets, and that layers in audit mode would deny."""

    tool: str
    """`server/tool`."""
    by: list[str]
    """The layers that object, such as `ToolPolicy/next`."""


class InjectedStatus(Status):
    """Pods of other workloads that have an agent's sidecars and have not ended."""

    count: int
    """How many there are."""
    pods: list[str]
    """Names of the first 50."""


class SeenServer(Status):
    """A server as an agent's toolman sees it."""

    name: str
    """Name of the MCPServer."""
    running: bool
    """Whether it can be used."""
    problem: str | None = None
    """Why it cannot be."""


class SeenStatus(Status):
    """What the toolman in an agent's Pod last reported."""

    visible: int
    """How many tools the agent sees."""
    total: int
    """How many tools its servers list."""
    servers: list[SeenServer]
    """Its servers."""
    problem: str | None = None
    """Why the last change of its configuration is not in force."""


class CappingPolicy(Status):
    """A ToolPolicy that caps an agent."""

    name: str
    """Name of the ToolPolicy."""
    enforcement: str
    """`Enforce` or `Audit`."""


class MCPAgentStatus(Status):
    """Conditions: PolicyResolved, ServersReady, ToolsReady, PodReady, Ready; Reconciling or Stalled while true."""

    observed_generation: int | None = None
    """Generation of the spec that this status is about."""
    conditions: Conditions = []
    """PolicyResolved, ServersReady, ToolsReady, PodReady, Ready; Reconciling or Stalled while true."""
    summary: str | None = None
    """One phrase for `kubectl get`."""
    phase: str | None = None
    """Phase of the Pod; of the run, for one that runs to completion."""
    pod_name: str | None = None
    """Name of the Pod."""
    tools: AgentTools | None = None
    """What the agent sees."""
    denied: list[DeniedTool] | None = None
    """The first 50 tools that it does not get, and why."""
    denied_count: int | None = None
    """How many tools it does not get."""
    would_deny: list[AuditedTool] | None = None
    """The first 50 tools that it gets and that policies in audit mode object to."""
    would_deny_count: int | None = None
    """How many these are."""
    tokens: AgentTokens | None = None
    """What the lists of tools cost."""
    run: RunStatus | None = None
    """With `restartPolicy` `OnFailure` or `Never`: how far it has come."""
    injected: InjectedStatus | None = None
    """Without `template`: the Pods of other workloads that have its sidecars."""
    seen: SeenStatus | None = None
    """What the toolman in its Pod sees, asked every half minute; of several Pods, what is worst.

    Of a thousand toolmans each is asked every hundred seconds.
    """
    policies: list[CappingPolicy] | None = None
    """The first 50 ToolPolicies that cap it, by name."""
    warnings: list[str] | None = None
    """What it asks for and no layer gives, and other things that are hardly meant; the first 10."""


class ToolPolicyStatus(Status):
    """Conditions: Ready; MatchesNothing, Stalled while true."""

    observed_generation: int | None = None
    """Generation of the spec that this status is about."""
    conditions: Conditions = []
    """Ready; MatchesNothing, Stalled while true."""
    summary: str | None = None
    """One phrase for `kubectl get`."""
    matched_agents: int | None = None
    """How many agents it caps."""
    agents: list[str] | None = None
    """`namespace/name` of the first 50 of them."""
    matched_servers: int | None = None
    """How many MCPServers it is about, used by an agent or not."""
    servers: list[str] | None = None
    """`namespace/name` of the first 50 of them."""
    denied: int | None = None
    """How many tools it denies, counted for each agent. Other layers may deny them, too."""
    would_deny: int | None = None
    """The same for `enforcement: Audit`, which blocks nothing."""
    unmatched: list[str] | None = None
    """The first 50 globs over tools that match no tool of any of its servers: very likely misspelt."""

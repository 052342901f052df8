"""Which opinions count for an agent, and in which order: the policies, then each server, then the agent itself.

Precedence: there is none among those that enforce. All must allow, so what the narrowest leaves is what there is; the
order only decides who is named when several object. A policy in audit mode neither blocks nor grants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from mcp_operator import ceilings, label_selectors
from mcp_operator.models.base import seconds
from mcp_operator.names import DEFAULT_ACCESS_LAYER
from toolman import policy

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from mcp_operator.models.agent import MCPAgentSpec
    from mcp_operator.models.base import ToolRules
    from mcp_operator.models.policy import PolicyLimits, ServerRequestRules, ToolPolicySpec
    from mcp_operator.models.server import MCPServerSpec
    from mcp_operator.objects import Resource
    from mcp_operator.source_globs import Name

DefaultAccess = Literal["Allow", "Deny"]
"""What holds where no ToolPolicy says anything: with ``Deny`` an enforced one must allow each thing by name."""

POLICY_PREFIX: Final = "ToolPolicy/"
"""Begins the source of every layer that is a policy's."""

_NOTHING: Final = policy.Rules(allow=())
_KINDS: Final[tuple[policy.Kind, ...]] = ("tools", "prompts", "resources", "extensions", "server_requests")
_ENFORCEMENT: Final[dict[str, policy.Enforcement]] = {"Enforce": "enforce", "Audit": "audit"}


def caps(
    ceiling: Resource[ToolPolicySpec],
    namespace_labels: Mapping[str, str],
    agent: Resource[MCPAgentSpec],
    servers: Sequence[Resource[MCPServerSpec]] = (),
) -> bool:
    """Tell whether a policy is about an agent and at least one of its servers.

    Args:
        ceiling: The policy.
        namespace_labels: Of the agent's namespace.
        agent: Its name, labels and servers.
        servers: The MCPServers of its namespace; one that is not among them may be from any source.
    """
    return bool(_capped(ceiling, namespace_labels, agent, _sources(servers)))


def layers(
    namespace_labels: Mapping[str, str],
    agent: Resource[MCPAgentSpec],
    servers: Sequence[Resource[MCPServerSpec]],
    policies: Sequence[Resource[ToolPolicySpec]],
    default_access: DefaultAccess = "Allow",
) -> tuple[policy.Layer, ...]:
    """Give the layers of an agent, in the order in which they are to be named when they object.

    Args:
        namespace_labels: Of the agent's namespace.
        agent: Its name, labels and servers.
        servers: The MCPServers of its namespace; those that it does not use say nothing.
        policies: All that there are, being deleted or not: a ceiling holds until it is gone.
        default_access: What the installation says where no policy does.
    """
    used = {server.name for server in agent.spec.servers}
    sources = _sources(servers)
    of_policies = [
        layer
        for each in sorted(policies, key=lambda each: each.name)
        for layer in _ceiling(each, namespace_labels, agent, sources)
    ]
    owners = sorted((each for each in servers if each.name in used), key=lambda each: each.name)
    return (
        *of_policies,
        *(_unless_allowed(agent, of_policies) if default_access == "Deny" else ()),
        # A server's name is a DNS label: as a glob it matches itself and nothing else.
        *(
            _owners(f"MCPServer/{each.name}", each.name, each.spec.tools)
            for each in owners
            if each.spec.tools.allow is not None or each.spec.tools.deny
        ),
        # Always there, even without an opinion: where no layer speaks about a server, nothing of it is allowed.
        *(_owners(f"MCPAgent/{agent.name}", each.name, each.tools) for each in agent.spec.servers),
    )


def of_policy(
    ceiling: Resource[ToolPolicySpec],
    namespace_labels: Mapping[str, str],
    agent: Resource[MCPAgentSpec],
    servers: Sequence[Resource[MCPServerSpec]],
) -> tuple[policy.Layer, ...]:
    """Give the layers that one policy alone puts onto an agent."""
    return tuple(_ceiling(ceiling, namespace_labels, agent, _sources(servers)))


class _Sources(NamedTuple):
    all: frozenset[Name]
    in_service: Name


def _sources(servers: Sequence[Resource[MCPServerSpec]]) -> dict[str, _Sources]:
    return {each.name: _Sources(ceilings.sources_of(each), ceilings.in_service(each)) for each in servers}


def _capped(
    ceiling: Resource[ToolPolicySpec],
    namespace_labels: Mapping[str, str],
    agent: Resource[MCPAgentSpec],
    sources: Mapping[str, _Sources],
) -> list[str]:
    """Name the agent's servers that a policy is about."""
    target = ceiling.spec.target
    if not ceilings.is_about_namespace(target, namespace_labels):
        return []
    if not label_selectors.matches(target.agent_selector, agent.labels):
        return []
    listed = [server.name for server in agent.spec.servers]
    known = {name: sources[name].all if name in sources else () for name in listed}
    return [name for name in listed if ceilings.is_about_server(target, name, known[name])]


def _ceiling(
    ceiling: Resource[ToolPolicySpec],
    namespace_labels: Mapping[str, str],
    agent: Resource[MCPAgentSpec],
    sources: Mapping[str, _Sources],
) -> Iterator[policy.Layer]:
    """Give what a policy says of an agent: its rules, and nothing at all for servers from a source that it refuses."""
    spec = ceiling.spec
    source, enforcement = POLICY_PREFIX + ceiling.name, _ENFORCEMENT[spec.enforcement]
    capped = _capped(ceiling, namespace_labels, agent, sources)
    if capped:
        yield policy.Layer(
            source=source,
            enforcement=enforcement,
            # What cannot be said as a glob over names is worked out here, anew with each change of a source.
            servers=tuple(spec.target.servers if spec.target.sources is None else capped),
            tools=_rules(spec.tools),
            prompts=_rules(spec.prompts),
            resources=_rules(spec.resources),
            extensions=_rules(spec.extensions),
            server_requests=_rules(spec.server_requests),
            limits=_limits(spec.limits),
        )
    if not ceilings.is_about_namespace(spec.target, namespace_labels):
        return
    refused = tuple(
        server.name
        for server in agent.spec.servers
        # What is only wanted is not refused here: it is not fetched, and what was allowed stays in service.
        if server.name in sources and ceilings.refuses(spec, sources[server.name].in_service)
    )
    if refused:
        yield _closed(source, refused, _KINDS, enforcement)


def _unless_allowed(
    agent: Resource[MCPAgentSpec],
    of_policies: Sequence[policy.Layer],
) -> Iterator[policy.Layer]:
    """Close, for each server, the kinds for which no enforced policy has an allow list.

    Where one has, nothing more is needed: that list itself denies what it does not name.
    """
    enforced = [layer for layer in of_policies if layer.enforcement == "enforce"]
    for server in agent.spec.servers:
        about = [layer for layer in enforced if policy.matches(layer.servers, server.name)]
        kinds = [kind for kind in _KINDS if all(getattr(layer, kind).allow is None for layer in about)]
        if kinds:
            yield _closed(DEFAULT_ACCESS_LAYER, (server.name,), kinds)


def _closed(
    source: str,
    servers: tuple[str, ...],
    kinds: Collection[policy.Kind],
    enforcement: policy.Enforcement = "enforce",
) -> policy.Layer:
    def rules(kind: policy.Kind) -> policy.Rules:
        return _NOTHING if kind in kinds else policy.Rules()

    return policy.Layer(
        source=source,
        enforcement=enforcement,
        servers=servers,
        tools=rules("tools"),
        prompts=rules("prompts"),
        resources=rules("resources"),
        extensions=rules("extensions"),
        server_requests=rules("server_requests"),
    )


def _owners(source: str, server: str, rules: ToolRules) -> policy.Layer:
    return policy.Layer(source=source, servers=(server,), tools=_rules(rules))


def _rules(rules: ToolRules | ServerRequestRules | None) -> policy.Rules:
    if rules is None:
        return policy.Rules()
    allow = None if rules.allow is None else tuple(rules.allow)
    return policy.Rules(allow=allow, deny=tuple(getattr(rules, "deny", ())))


def _limits(limits: PolicyLimits | None) -> policy.Limits:
    if limits is None:
        return policy.Limits()
    return policy.Limits(
        calls_per_minute=limits.calls_per_minute,
        max_concurrent_calls=limits.max_concurrent_calls,
        max_tools=limits.max_tools,
        max_list_tokens=limits.max_list_tokens,
        call_timeout=None if limits.call_timeout is None else seconds(limits.call_timeout),
        max_result_bytes=limits.max_result_bytes,
    )

"""Ceilings over sources: what a namespace may build from or connect to at all, and whom a policy is about. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_operator import conditions, label_selectors, source_globs
from mcp_operator.outcomes import Done, Stalled
from toolman import policy

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from mcp_operator.models.policy import PolicySources, Target, ToolPolicySpec
    from mcp_operator.models.server import MCPServerSpec
    from mcp_operator.objects import Resource
    from mcp_operator.source_globs import Name


def source_of(spec: MCPServerSpec) -> tuple[str, str]:
    """Give kind and name of a server's source: a URL, a package, a reference."""
    name = source_globs.name_of(spec)
    return name.kind, name.text


def in_service(server: Resource[MCPServerSpec]) -> Name:
    """Give the source of what agents are given of a server; the one that is wanted where nothing tells another."""
    name = (server.status.get("source") or {}).get("name")
    try:
        return source_globs.parse(str(name))
    except ValueError:
        return source_globs.name_of(server.spec)


def sources_of(server: Resource[MCPServerSpec]) -> frozenset[Name]:
    """Give the source that is wanted and the one in service: until the next image is there, they may differ."""
    return frozenset({source_globs.name_of(server.spec), in_service(server)})


def source_allowed(
    policies: Iterable[Resource[ToolPolicySpec]],
    namespace_labels: Mapping[str, str],
    spec: MCPServerSpec,
) -> Done | Stalled:
    """Say whether a server may be made from its source; to be asked before anything is fetched or connected to.

    Args:
        policies: All that there are, being deleted or not.
        namespace_labels: Of the server's namespace.
        spec: Of the server.
    """
    name = source_globs.name_of(spec)
    refusing = [
        each.name
        for each in _about_sources(policies, namespace_labels)
        if each.spec.enforcement == "Enforce" and refuses(each.spec, name)
    ]
    if not refusing:
        return Done(conditions.SUCCEEDED)
    text = (
        f"{name} is not allowed in this namespace by {', '.join(f'ToolPolicy/{each}' for each in refusing)}: "
        "use a source that sources.allow lists there, or ask whoever administers the policies to add it"
    )
    return Stalled(conditions.SOURCE_NOT_ALLOWED, text)


def inside_allowed(
    policies: Iterable[Resource[ToolPolicySpec]],
    namespace_labels: Mapping[str, str],
    spec: MCPServerSpec,
) -> bool:
    """Tell whether a remote server may be inside of the cluster: an enforced glob names its host without a wildcard.

    Besides, :func:`source_allowed` must allow it.
    """
    name = source_globs.name_of(spec)
    return any(
        source_globs.names_host(glob, name)
        for each in _about_sources(policies, namespace_labels)
        if each.spec.enforcement == "Enforce" and each.spec.sources is not None
        for glob in each.spec.sources.allow
    )


def refuses(spec: ToolPolicySpec, name: Name) -> bool:
    """Tell whether a policy that is about a namespace does not allow a source there."""
    return spec.sources is not None and not any(source_globs.allows(glob, name) for glob in spec.sources.allow)


def is_about_namespace(target: Target, namespace_labels: Mapping[str, str]) -> bool:
    """Tell whether a target selects a namespace."""
    return label_selectors.matches(target.namespace_selector, namespace_labels)


def is_about_server(target: Target, name: str, sources: Collection[Name]) -> bool:
    """Tell whether a target selects a server of a namespace that it selects.

    Args:
        target: Of a policy.
        name: Of the server.
        sources: Its sources, as :func:`sources_of` gives them; one that matches is enough. Without any, nobody knows
            the source, and it may be any.
    """
    return policy.matches(target.servers, name) and _is_from(target.sources, sources)


def _is_from(wanted: PolicySources | None, sources: Collection[Name]) -> bool:
    if wanted is None or not sources:
        return True
    return any(source_globs.targets(glob, source) for source in sources for glob in getattr(wanted, source.kind) or ())


def _about_sources(
    policies: Iterable[Resource[ToolPolicySpec]],
    namespace_labels: Mapping[str, str],
) -> list[Resource[ToolPolicySpec]]:
    found = [
        each
        for each in policies
        if each.spec.sources is not None and is_about_namespace(each.spec.target, namespace_labels)
    ]
    return sorted(found, key=lambda each: each.name)

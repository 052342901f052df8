"""The custom resource definitions, made from the models.

Kubernetes wants a *structural* schema: everything in place instead of references, no ``title``, no ``anyOf`` for what
is merely optional. ``scripts/generate`` writes the definitions into ``deploy/`` and the chart. Defaults stay in the
schema, so that ``kubectl get -o yaml`` shows what is in force.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mcp_operator import names
from mcp_operator.models.agent import MCPAgentSpec
from mcp_operator.models.base import NAME_LIMIT, NAME_PATTERN
from mcp_operator.models.policy import ToolPolicySpec
from mcp_operator.models.server import MCPServerSpec
from mcp_operator.models.status import MCPAgentStatus, MCPServerStatus, ToolPolicyStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_operator.models.base import Model

_KEPT = frozenset(
    {"type", "format", "enum", "pattern", "required"}
    | {"minLength", "maxLength", "minItems", "maxItems", "maxProperties", "minimum", "maximum"},
)
"""Keywords that mean the same in a structural schema; so do those that begin with ``x-kubernetes-``."""

_NAME_RULE = {
    "rule": f"self.metadata.name.size() <= {NAME_LIMIT} && self.metadata.name.matches('{NAME_PATTERN}')",
    "message": f"metadata.name must be a DNS label (a-z, 0-9, -) of at most {NAME_LIMIT} characters",
}
"""The name is part of the names of containers and volumes."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of ``kubectl get``; ``wide`` ones only with ``-o wide``."""

    name: str
    path: str
    description: str
    type: Literal["string", "integer", "date"] = "string"
    wide: bool = False


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One of our kinds, and what the API server must know of it."""

    kind: str
    plural: str
    short: str
    scope: Literal["Namespaced", "Cluster"]
    description: str
    spec: type[Model]
    status: type[Model]
    columns: tuple[Column, ...]

    @property
    def crd(self) -> str:
        """Name of the definition."""
        return f"{self.plural}.{names.GROUP}"


_READY = Column(name="Ready", path='.status.conditions[?(@.type=="Ready")].status', description="Whether it is fine")
_SUMMARY = Column(name="Status", path=".status.summary", description="What it is doing, or what is wrong")
_REASON = Column(
    name="Reason",
    path='.status.conditions[?(@.type=="Ready")].reason',
    description="Reason of the Ready condition",
    wide=True,
)
_AGE = Column(name="Age", path=".metadata.creationTimestamp", description="Time since it was made", type="date")

KINDS = (
    Kind(
        kind="MCPServer",
        plural=names.SERVERS,
        short="mcps",
        scope="Namespaced",
        description="An MCP server: built or found elsewhere, verified, and given to the agents that name it.",
        spec=MCPServerSpec,
        status=MCPServerStatus,
        columns=(
            _READY,
            Column(name="Source", path=".status.sourceKind", description="Kind of its source"),
            _SUMMARY,
            Column(name="Tools", path=".status.toolCount", description="How many tools it has", type="integer"),
            _AGE,
            Column(name="Revision", path=".status.source.revision", description="What is in service", wide=True),
            Column(name="Transport", path=".status.protocol.transport", description="How it is spoken to", wide=True),
            Column(name="Image", path=".status.image.reference", description="Image in service", wide=True),
            _REASON,
        ),
    ),
    Kind(
        kind="MCPAgent",
        plural=names.AGENTS,
        short="mcpa",
        scope="Namespaced",
        description="An agent: a Pod whose containers reach the allowed tools of some MCPServers, and no others.",
        spec=MCPAgentSpec,
        status=MCPAgentStatus,
        columns=(
            _READY,
            _SUMMARY,
            Column(name="Tools", path=".status.tools.visible", description="Tools that it sees", type="integer"),
            Column(name="Of", path=".status.tools.total", description="Tools that its servers have", type="integer"),
            Column(name="Pod", path=".status.podName", description="Its Pod"),
            _AGE,
            _REASON,
        ),
    ),
    Kind(
        kind="ToolPolicy",
        plural=names.POLICIES,
        short="tpol",
        scope="Cluster",
        description="A ceiling over the tools of agents, set by an admin; owners of servers and agents only narrow it.",
        spec=ToolPolicySpec,
        status=ToolPolicyStatus,
        columns=(
            _READY,
            _SUMMARY,
            Column(name="Enforcement", path=".spec.enforcement", description="Whether it blocks or only reports"),
            Column(name="Agents", path=".status.matchedAgents", description="Agents that it caps", type="integer"),
            Column(name="Servers", path=".status.matchedServers", description="Servers it is about", type="integer"),
            Column(name="Denied", path=".status.denied", description="Tools that it denies to agents", type="integer"),
            Column(name="Would Deny", path=".status.wouldDeny", description="The same, in audit", type="integer"),
            _AGE,
            _REASON,
        ),
    ),
)


def manifest(kind: Kind) -> dict[str, Any]:
    """Give the definition of a kind as the API server takes it (``apiextensions.k8s.io/v1``)."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        # Removing the definition removes every object: uninstalling the chart must not.
        "metadata": {"name": kind.crd, "annotations": {"helm.sh/resource-policy": "keep"}},
        "spec": {
            "group": names.GROUP,
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": [kind.short],
                "categories": [names.CATEGORY],
            },
            "scope": kind.scope,
            "versions": [
                {
                    "name": names.VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": root_schema(kind)},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(column) for column in kind.columns],
                },
            ],
        },
    }


def root_schema(kind: Kind) -> dict[str, Any]:
    """Give the structural schema of whole objects of a kind."""
    root: dict[str, Any] = {
        "type": "object",
        "description": kind.description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": schema(kind.spec),
            "status": _without_defaults(schema(kind.status)),
        },
    }
    if kind.scope == "Namespaced":
        root["x-kubernetes-validations"] = [_NAME_RULE]
    return root


def schema(model: type[Model]) -> dict[str, Any]:
    """Give the structural schema of a model."""
    raw = model.model_json_schema(by_alias=True)
    return _structural(raw, raw.get("$defs", {}))


def _structural(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    node = _resolved(node, definitions)
    result: dict[str, Any] = {"description": _prose(node["description"])} if "description" in node else {}
    result |= {key: node[key] for key in sorted(node) if key in _KEPT or key.startswith("x-kubernetes-")}
    if "const" in node:
        result["enum"] = [node["const"]]
    if "properties" in node:
        result["properties"] = {name: _structural(part, definitions) for name, part in node["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            result[key] = _structural(node[key], definitions)
    if node.get("default") is not None:
        result["default"] = _shortest(node["default"], result)
    return result


def _resolved(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Put what is referred to in the place of the reference; what is said at the reference goes before it."""
    own = {key: value for key, value in node.items() if key not in {"$ref", "anyOf"}}
    targets = [part for part in node.get("anyOf", ()) if part != {"type": "null"}]
    if "$ref" in node:
        targets.append(definitions[node["$ref"].removeprefix("#/$defs/")])
    if not targets:
        return own
    if len(targets) > 1:
        raise TypeError(f"a structural schema has no place for alternatives: {node}")
    return {**_resolved(targets[0], definitions), **own}


def _shortest(default: Any, node: Mapping[str, Any], *, whole: bool = False) -> Any:  # noqa: ANN401 - JSON
    """Leave out of an object's default what the defaults of its own fields fill in anyway, unless it is to be whole."""
    if not isinstance(default, dict) or "properties" not in node:
        return default
    fields = node["properties"]
    # Rules are asked about a default before the API server fills anything in, however deep.
    whole = whole or "x-kubernetes-validations" in node
    parts = {key: _shortest(value, fields[key], whole=whole) for key, value in default.items() if value is not None}
    if whole:
        return parts
    return {key: value for key, value in parts.items() if value != fields[key].get("default")}


def _without_defaults(node: dict[str, Any]) -> dict[str, Any]:
    """A status holds what was observed, so nothing may be filled in."""
    node = {key: value for key, value in node.items() if key != "default"}
    if "properties" in node:
        node["properties"] = {name: _without_defaults(part) for name, part in node["properties"].items()}
    if "items" in node:
        node["items"] = _without_defaults(node["items"])
    return node


def _prose(text: str) -> str:
    """One line a paragraph, and single backticks as in Markdown."""
    paragraphs = re.split(r"\n\s*\n", text.strip().replace("``", "`"))
    return "\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _column(column: Column) -> dict[str, Any]:
    result: dict[str, Any] = {
        "name": column.name,
        "type": column.type,
        "jsonPath": column.path,
        "description": column.description,
    }
    return {**result, "priority": 1} if column.wide else result

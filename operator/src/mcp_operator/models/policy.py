"""ToolPolicy: an admin's ceiling. Owners of servers and agents can only narrow it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from mcp_operator.models.base import Glob, Model, ToolRules, cel


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

    key: Annotated[str, Field(min_length=1, max_length=317)]
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: Annotated[list[Annotated[str, Field(max_length=63)]], Field(max_length=64)] = []


class LabelSelector(Model):
    """Labels that must all match; an empty selector matches everything."""

    match_labels: dict[str, Annotated[str, Field(max_length=63)]] = {}
    match_expressions: Annotated[list[Requirement], Field(max_length=32)] = []


class Target(Model):
    """Whom the policy caps: everything that matches all of these.

    Tenants choose the names and labels of their own objects, so a ceiling that must hold selects namespaces.
    """

    namespace_selector: LabelSelector = LabelSelector()
    agent_selector: LabelSelector = LabelSelector()
    servers: Annotated[list[Glob], Field(min_length=1, max_length=64, description="Globs over MCPServer names")] = ["*"]


class ToolPolicySpec(Model):
    """A ceiling over tools."""

    target: Target = Target()
    tools: Annotated[ToolRules, Field(description="What at most may be used")]

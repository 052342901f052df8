"""ToolPolicy: an admin's ceiling. Owners of servers and agents can only narrow it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from mcp_operator.models.base import Glob, Model, ToolRules, cel

LabelKey = Annotated[str, Field(min_length=1, max_length=317)]
LabelValue = Annotated[str, Field(max_length=63)]


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


class Target(Model):
    """Whom the policy caps: everything that matches all of these."""

    namespace_selector: LabelSelector = LabelSelector()
    """Labels of the agent's namespace; empty: all of them."""
    agent_selector: LabelSelector = LabelSelector()
    """Labels of the MCPAgent; empty: all of them."""
    servers: Annotated[list[Glob], Field(min_length=1, max_length=64)] = ["*"]
    """Globs over MCPServer names."""


class ToolPolicySpec(Model):
    """A ceiling over tools."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            ("has(self.tools.allow) || self.tools.deny.size() > 0", "tools must allow or deny something"),
        ),
    )

    target: Target = Target()
    """Whom the policy caps: everything that matches all of these; without it, every agent and every server.

    Tenants choose the names and labels of their own objects, so a ceiling that must hold selects namespaces.
    """
    tools: ToolRules
    """What at most may be used."""

"""What the models of all resources share: strictness, camelCase, CEL rules."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel

Glob = Annotated[str, StringConstraints(min_length=1, max_length=128)]


def cel(*rules: tuple[str, str]) -> dict[str, Any]:
    """Give the schema extension for CEL rules, each an (expression, message) pair, for ``json_schema_extra``."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in rules]}


class Model(BaseModel):
    """A part of a spec: unknown fields are errors, since YAML that is accepted must do something."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class ToolRules(Model):
    """Globs over the server's own tool names, case-sensitive. An allow list denies what it does not list; deny wins."""

    allow: list[Glob] | None = None
    deny: list[Glob] = []

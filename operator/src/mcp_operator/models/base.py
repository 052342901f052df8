"""What the models of all resources share: strictness, camelCase, CEL rules.

A docstring below a field is its description in the CRD and in the reference page.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

if TYPE_CHECKING:
    from collections.abc import Collection

NAME_LIMIT = 50
"""Characters in the name of an MCPServer or MCPAgent: containers, volumes and ConfigMaps carry it with a prefix."""
NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
"""A DNS label; so it holds no character that means something in a glob, a path or an image repository."""

Glob = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Globs = Annotated[list[Glob], Field(max_length=128)]
DURATION: Final = r"^([0-9]+(ms|s|m|h))+$"
"""How Go and so Kubernetes write a time: ``90s``, ``1h30m``."""
_PART: Final = re.compile(r"([0-9]+)(ms|s|m|h)")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

Duration = Annotated[str, StringConstraints(min_length=2, max_length=32, pattern=DURATION)]
"""A time as people write it; :func:`seconds` reads it."""
ServerRequest = Literal["elicitation", "sampling", "roots"]
"""What a server may ask of a client in the middle of a call."""
ObjectName = Annotated[str, StringConstraints(min_length=1, max_length=NAME_LIMIT, pattern=NAME_PATTERN)]


def cel(*rules: tuple[str, str]) -> dict[str, Any]:
    """Give the schema extension for CEL rules, each an (expression, message) pair, for ``json_schema_extra``."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in rules]}


def keyed(*keys: str) -> dict[str, Any]:
    """Give the schema extension of a list whose items are told apart by some of their fields."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


def unique() -> dict[str, Any]:
    """Give the schema extension of a list of scalars that holds nothing twice."""
    return {"x-kubernetes-list-type": "set"}


def seconds(duration: str) -> float:
    """Read a :data:`Duration`."""
    return sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(duration))


def between(field: str, least: str, most: str) -> tuple[str, str]:
    """Give the CEL rule that keeps a :data:`Duration` within bounds."""
    value = f"duration(self.{field})"
    rule = f"!has(self.{field}) || ({value} >= duration('{least}') && {value} <= duration('{most}'))"
    return rule, f"{field} must be from {least} to {most}"


def untouched(part: Model, path: str, *, but: Collection[str] = ()) -> str:
    """Give the CEL expression that is true of a part of a spec in which nobody has set anything.

    Args:
        part: With its defaults, which the API server has filled in by then.
        path: Where it is, such as ``self.build``.
        but: Fields, as in YAML, that may be set.
    """
    fields = ((to_camel(name), getattr(part, name)) for name in type(part).model_fields)
    return " && ".join(_is_default(f"{path}.{name}", value) for name, value in fields if name not in but)


def _is_default(place: str, value: object) -> str:
    if isinstance(value, Model):
        return untouched(value, place)
    if value is None:
        return f"!has({place})"
    if value in ([], {}):
        return f"{place}.size() == 0"
    if isinstance(value, str):  # a quantity may be a number
        return f"has({place}) && string({place}) == '{value}'"
    return f"{place} == {json.dumps(value)}"


class Model(BaseModel):
    """A part of a spec: unknown fields are errors, since YAML that is accepted must do something."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Give itself: nobody changes a spec, and pydantic copies each default for each object that it reads."""
        del memo
        return self


class ToolRules(Model):
    """Globs over the server's own tool names, case-sensitive. An allow list denies what it does not list; deny wins."""

    allow: Globs | None = None
    """Globs over the server's own tool names, case-sensitive: what at most may be used.

    Absent: no opinion; an empty list: nothing.
    """
    deny: Globs = []
    """Globs over the server's own tool names: what may not be used, whatever `allow` says."""


class Rules(ToolRules):
    """Globs over names as the server itself gives them, case-sensitive. Deny wins."""

"""Says what a change of a definition takes away from people who use the one before: there is no conversion.

Only additions are allowed within a version: new optional fields, wider enumerations, patterns that were dropped, looser
bounds. ``deploy/released/`` has the definitions of the last release; a release replaces them by those of
``deploy/crds/``, as CONTRIBUTING.md says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    Schema = dict[str, Any]

LOWER: Final = ("minimum", "minLength", "minItems", "minProperties")
"""Bounds that must not rise."""
UPPER: Final = ("maximum", "maxLength", "maxItems", "maxProperties")
"""Bounds that must not fall."""
IDENTITY: Final = ("group", "scope")
NAMES: Final = ("plural", "kind", "shortNames")


def taken_away(before: Schema, after: Schema) -> list[str]:
    """Compare two definitions; give a line for everything that was allowed or promised and is no more."""
    lines = [f"spec.{field} changed" for field in IDENTITY if before["spec"][field] != after["spec"][field]]
    old, new = before["spec"]["names"], after["spec"]["names"]
    lines += [f"spec.names.{name} changed" for name in NAMES if old.get(name) != new.get(name)]
    versions = {version["name"]: version for version in after["spec"]["versions"]}
    for version in before["spec"]["versions"]:
        now = versions.get(version["name"])
        if now is None or not now["served"]:
            lines.append(f"version {version['name']} is not served")
            continue
        if version["storage"] and not now["storage"]:
            lines.append(f"version {version['name']} is not the stored one")
        lines += _schemas("", version["schema"]["openAPIV3Schema"], now["schema"]["openAPIV3Schema"])
    return lines


def _schemas(path: str, before: Schema, after: Schema) -> Iterator[str]:
    yield from _kind(path, before, after)
    yield from _values(path, before, after)
    old, new = before.get("properties", {}), after.get("properties", {})
    for name in old:
        if name not in new:
            yield f"{path}.{name} was removed"
        else:
            yield from _schemas(f"{path}.{name}", old[name], new[name])
    for name in sorted(set(after.get("required", ())) - set(before.get("required", ()))):
        yield f"{path}.{name} became required"
    for inner in ("items", "additionalProperties"):
        if isinstance(before.get(inner), dict) and isinstance(after.get(inner), dict):
            yield from _schemas(f"{path}[]", before[inner], after[inner])


def _kind(path: str, before: Schema, after: Schema) -> Iterator[str]:
    for field in ("type", "format", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"):
        if before.get(field) != after.get(field):
            yield f"{path} has another {field}: {before.get(field)} before, {after.get(field)} now"
    for field in ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string", "nullable"):
        if before.get(field) and not after.get(field):
            yield f"{path} lost {field}"
    if "default" in before and before["default"] != after.get("default"):
        yield f"{path} has another default: {before['default']!r} before, {after.get('default')!r} now"


def _values(path: str, before: Schema, after: Schema) -> Iterator[str]:
    if "enum" in after and not set(before.get("enum", [object()])) <= set(after["enum"]):
        yield f"{path} allows fewer values: {after['enum']}"
    if "pattern" in after and before.get("pattern") != after["pattern"]:
        yield f"{path} has another pattern: {after['pattern']}"
    for field in LOWER:
        if after.get(field, 0) > before.get(field, 0):
            yield f"{path} has a higher {field}: {after[field]}"
    for field in UPPER:
        if field in after and after[field] < before.get(field, float("inf")):
            yield f"{path} has a lower {field}: {after[field]}"
    known = {rule["rule"] for rule in before.get("x-kubernetes-validations", ())}
    for rule in after.get("x-kubernetes-validations", ()):
        if rule["rule"] not in known:
            yield f"{path} has another rule: {rule['rule']}"

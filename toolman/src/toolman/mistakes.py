"""What to write instead of a value that the configuration file cannot have: advice behind the decoder's error. Pure."""

from __future__ import annotations

import re
from typing import Any

from msgspec import inspect

_PLACE = re.compile(r"(?P<what>.*?) - at `\$\.?(?P<place>.*)`", re.DOTALL)
_PART = re.compile(r"\[[^\]]*\]|[^.\[]+")
_NAME = "small letters, digits and `-`, 63 at most, with a letter or digit at both ends"
_DURATION = "a number of seconds, or a text with a unit: `500ms`, `60s`, `5m`, `1h`"


def advice(error: str, root: Any) -> str:  # noqa: ANN401 - a type
    """Give what belongs behind an error of msgspec's, or nothing if that says it all.

    Args:
        error: Its text.
        root: The type that the file as a whole has.
    """
    found = _PLACE.fullmatch(error)
    if found is None:
        return ""
    types: list[inspect.Type] = [inspect.type_info(root)]
    for part in _PART.findall(found["place"]):
        types = [inner for each in types for inner in _inside(each, part)]
    known = _known(types, found["what"])
    return f"; {known}" if known else ""


def _inside(outer: inspect.Type, part: str) -> list[inspect.Type]:
    """Give what a type may have at one step further down a place."""
    if isinstance(outer, inspect.Metadata):
        return _inside(outer.type, part)
    if isinstance(outer, inspect.UnionType):
        return [inner for each in outer.types for inner in _inside(each, part)]
    if isinstance(outer, inspect.StructType):
        if part == outer.tag_field:
            return [inspect.LiteralType((outer.tag,))]
        return [_plain(field.type) for field in outer.fields if field.encode_name == part]
    if isinstance(outer, inspect.VarTupleType):
        return [_plain(outer.item_type)]
    return [_plain(outer.value_type)] if isinstance(outer, inspect.DictType) else []


def _plain(wanted: inspect.Type) -> inspect.Type:
    return wanted.type if isinstance(wanted, inspect.Metadata) else wanted


def _known(types: list[inspect.Type], what: str) -> str:
    flat = [inner for each in types for inner in (each.types if isinstance(each, inspect.UnionType) else (each,))]
    if "missing required field `kind`" in what:
        flat = [inner for each in flat for inner in _inside(each, "kind")]
    return _one_of(flat) or _written(what) or _shaped(flat, what)


def _one_of(types: list[inspect.Type]) -> str:
    values = [f"`{value}`" for each in types if isinstance(each, inspect.LiteralType) for value in each.values]
    return f"write {' or '.join(values)}" if values else ""


def _written(what: str) -> str:
    if what.startswith("Expected `float`, got `str`"):
        return "write " + _DURATION
    return "write " + _NAME if what.startswith(r"Expected `str` matching regex '\\A[a-z0-9]") else ""


def _shaped(types: list[inspect.Type], what: str) -> str:
    wanted = {type(each) for each in types}
    if inspect.VarTupleType in wanted and what.endswith("got `str`"):
        return "write a list, such as `[one, two]`"
    is_unquoted = what.endswith(("got `int`", "got `float`", "got `bool`"))
    return "put quotes around it" if inspect.StrType in wanted and is_unquoted else ""

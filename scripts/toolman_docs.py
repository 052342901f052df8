"""The generated parts of docs/toolman.md: keys of the configuration, metrics, the command line's help."""

from __future__ import annotations

import argparse
import re
import types
import typing
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import msgspec

from toolman import __main__, config, metrics, policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class _Row(NamedTuple):
    path: str
    type: str
    default: str
    what: str


def parts() -> dict[str, Callable[[], Iterable[str]]]:
    """Give the generated parts by the name that stands in their markers."""
    return {"configuration": configuration, "metrics": metric_table, "command line": command_line}


def fill(text: str) -> str:
    """Write all parts between their markers."""
    for name, lines in parts().items():
        begin, end = f"<!-- generated: {name} -->", f"<!-- end of {name} -->"
        before, found, rest = text.partition(begin)
        if not found:
            raise ValueError(f"docs/toolman.md has no marker {begin}")
        text = "\n".join((f"{before}{begin}", "", *lines(), "", f"{end}{rest.partition(end)[2]}"))
    return text


def configuration() -> Iterator[str]:
    """Give the table of all keys."""
    yield from ("| key | type | default | what |", "|---|---|---|---|")
    for row in _rows("", config.Config):
        yield f"| `{row.path}` | {row.type} | {row.default} | {row.what} |"


def metric_table() -> Iterator[str]:
    """Give the table of all metrics."""
    yield from ("| metric | type | labels | what |", "|---|---|---|---|")
    for metric in metrics.Metrics():
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        yield f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |"


def command_line() -> Iterator[str]:
    """Give a table of the options of each command. Not what ``--help`` prints: that differs from Python to Python."""
    (commands,) = (each for each in __main__.parser()._actions if isinstance(each, argparse._SubParsersAction))  # noqa: SLF001 - argparse has no other way
    told = {each.dest: each.help for each in commands._choices_actions}  # noqa: SLF001
    for name, command in commands.choices.items():
        yield from (f"`toolman {name}`: {told[name]}.", "", "| option | what |", "|---|---|")
        for action in command._actions:  # noqa: SLF001
            if action.dest != "help":
                yield f"| {_option(action)} | {(action.help or '') % vars(action)} |"
        yield ""


def _option(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"`-- {action.metavar}...`"
    value = action.metavar or "\\|".join(action.choices or ())
    takes = action.nargs != 0
    return f"`{action.option_strings[0]}{f' {value or action.dest.upper()}' if takes else ''}`"


def _rows(path: str, section: type[msgspec.Struct]) -> Iterator[_Row]:
    hints = typing.get_type_hints(section, include_extras=True)
    told = _attributes(section)
    for field in msgspec.structs.fields(section):
        where = f"{path}.{field.encode_name}" if path else field.encode_name
        yield _Row(where, _type(hints[field.name]), _default(field), told[field.name])
        for below, suffix in _sections(hints[field.name]):
            kind = below.__struct_config__.tag
            mark = f"({kind})" if kind else ""
            if kind:
                what = " ".join((below.__doc__ or "").split("\n\n")[0].split())
                yield _Row(f"{where}{suffix}{mark}.kind", f"`{kind}`", "required", _plain(what))
            yield from _rows(f"{where}{suffix}{mark}", below)


def _sections(wanted: object) -> Iterator[tuple[type[msgspec.Struct], str]]:
    for choice in _choices(wanted):
        if _origin(choice) is tuple:
            yield from ((below, "[]") for below, _ in _sections(get_args(choice)[0]))
        elif isinstance(choice, type) and issubclass(choice, msgspec.Struct):
            yield choice, ""


def _choices(wanted: object) -> tuple[Any, ...]:
    if _origin(wanted) is Annotated:
        return _choices(get_args(wanted)[0])
    return get_args(wanted) if _origin(wanted) in {Union, types.UnionType} else (wanted,)


def _origin(wanted: object) -> object:
    return get_origin(wanted)


def _type(wanted: object) -> str:
    if wanted == policy.Seconds:
        return "duration"
    names = []
    for choice in _choices(wanted):
        origin, inner = _origin(choice), get_args(choice)
        if choice is types.NoneType:
            continue
        if origin is Annotated:
            names.append(_type(choice))
        elif origin is Literal:
            names += [f"`{value}`" for value in inner]
        elif origin is tuple:
            names.append(f"list of {_type(inner[0])}")
        elif origin is dict:
            names.append(f"map of {_type(inner[1])}")
        elif issubclass(choice, msgspec.Struct):
            names.append("object")
        else:
            names.append({str: "text", int: "number", float: "number", bool: "true or false"}[choice])
    return " \\| ".join(dict.fromkeys(names))


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if value is None or isinstance(value, msgspec.Struct):
        return ""
    return f"`{msgspec.json.encode(value).decode()}`"


def _attributes(section: type[msgspec.Struct]) -> dict[str, str]:
    """Read what the docstring says of each attribute."""
    text = (section.__doc__ or "").partition("Attributes:\n")[2]
    entries = re.findall(r"^ {8}(\w+): (.*(?:\n {12,}.*)*)", text, re.MULTILINE)
    return {name: " ".join(_plain(what).split()) for name, what in entries}


def _plain(text: str) -> str:
    """Give Markdown for what a docstring says in reStructuredText."""
    return re.sub(r":\w+:`([^`]+)`", r"`\1`", text).replace("``", "`").replace("|", "\\|")

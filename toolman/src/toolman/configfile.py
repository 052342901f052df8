"""Reading the configuration file: JSON, or YAML when people write it; mistakes are told with their place and a remedy.

A file that is right costs one decoding. Only when that fails it is looked at more closely: texts like ``60s`` become
seconds, and a key that nobody knows is named together with the one that it resembles most.
"""

from __future__ import annotations

import importlib.util
import re
import types
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Union, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec

from toolman import config
from toolman.config import ConfigError
from toolman.policy import Seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_YAML = {".yaml", ".yml"}

MAX_FILE = 8 * 1024 * 1024
"""Bytes of a configuration file; a ConfigMap has one MiB at most."""


def load(path: Path) -> config.Config:
    """Read a configuration file; ``.yaml`` and ``.yml`` are YAML.

    Raises:
        ConfigError: As :func:`loads`, or the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    if len(data) > MAX_FILE:
        raise ConfigError(f"{path}: a configuration may have {MAX_FILE} bytes at most")
    try:
        if path.suffix in _YAML:
            return _checked(_from_values(_read_yaml(data, str(path)), str(path)), str(path))
        return loads(data, str(path))
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply") from None
    except ValueError as error:  # such as text that is not UTF-8, or a number with thousands of digits
        raise ConfigError(f"{path}: {error}") from error


def loads(data: bytes, origin: str = "configuration") -> config.Config:
    """Read a configuration from JSON.

    Args:
        data: The JSON text.
        origin: What to call it in an error.

    Raises:
        ConfigError: Not JSON, a key twice, an unknown or missing key, a wrong type, or values that contradict.
    """
    try:
        found = config.loads(data)
        if not _is_plain(data):
            _parse(data)
    except msgspec.ValidationError:
        found = _from_values(_parse_or_explain(data, origin), origin)
    except msgspec.DecodeError as error:
        raise ConfigError(f"{origin}: {error}") from error
    except _RepeatedKeyError as error:
        raise ConfigError(f"{origin}: {error}") from error
    return _checked(found, origin)


class _RepeatedKeyError(ValueError):
    """A key stands twice in one object: one of the two would silently not count."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the key {key!r} appears twice in one object: keep one of them")


def _is_plain(data: bytes) -> bool:
    """Tell whether no key is repeated, as far as that is seen at a glance: nothing is lost by reading and writing."""
    return len(msgspec.json.encode(msgspec.json.decode(data))) == len(msgspec.json.format(data, indent=-1))


def _parse(data: bytes) -> Any:  # noqa: ANN401 - whatever JSON holds
    import json  # noqa: PLC0415 - only when msgspec, which takes the last of two equal keys, is not enough

    return json.loads(data, object_pairs_hook=_unique)


def _parse_or_explain(data: bytes, origin: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    try:
        return _parse(data)
    except ValueError as error:
        raise ConfigError(f"{origin}: {error}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _RepeatedKeyError(key)
        found[key] = value
    return found


def _read_yaml(data: bytes, origin: str) -> Any:  # noqa: ANN401 - whatever YAML holds
    if importlib.util.find_spec("yaml") is None:
        raise ConfigError(
            f"{origin}: YAML needs a package more: pip install 'mcp-operator-toolman[server]', or use JSON"
        )
    import yaml  # noqa: PLC0415 - only for files that people write

    class Loader(yaml.SafeLoader):
        """Refuses a key that stands twice."""

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[str, Any]:
        loader.flatten_mapping(node)
        return _unique(
            [(loader.construct_object(key), loader.construct_object(value, deep=True)) for key, value in node.value]
        )

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        found = yaml.load(data, Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, _RepeatedKeyError, TypeError) as error:
        raise ConfigError(f"{origin}: {error}") from error
    return {} if found is None else found


def _from_values(values: Any, origin: str) -> config.Config:  # noqa: ANN401 - whatever the file holds
    walk = _Walk()
    prepared = walk.value(values, config.Config, "")
    if walk.unknown:
        raise ConfigError(f"{origin}: {walk.unknown[0]}")
    try:
        return msgspec.convert(prepared, config.Config)
    except msgspec.ValidationError as error:
        from toolman.mistakes import advice  # noqa: PLC0415 - only for mistakes

        raise ConfigError(f"{origin}: {error}{advice(str(error), config.Config)}") from error


class _Field(NamedTuple):
    """A key of a section: its name in the file and the type that it has."""

    key: str
    type: Any


class _Walk:
    """Goes through a file's values beside the types that they should have.

    Attributes:
        unknown: One sentence for every unknown key.
    """

    def __init__(self) -> None:
        self.unknown: list[str] = []

    def value(self, value: Any, wanted: Any, place: str) -> Any:  # noqa: ANN401 - whatever the file holds
        """Give the value with durations in seconds."""
        if isinstance(value, str) and Seconds in _choices(wanted):
            found = _DURATION.fullmatch(value.strip())
            return float(found[1]) * _UNITS[found[2]] if found else value
        if get_origin(wanted) is Annotated:
            return self.value(value, get_args(wanted)[0], place)
        if isinstance(value, dict):
            section = _section(wanted, value)
            return value if section is None else self._object(value, section, place)
        if isinstance(value, list):
            inner = next((get_args(each)[0] for each in _choices(wanted) if get_origin(each) is tuple), Any)
            return [self.value(item, inner, f"{place}[{index}]") for index, item in enumerate(value)]
        return value

    def _object(self, value: dict[str, Any], section: type[msgspec.Struct], place: str) -> dict[str, Any]:
        known = {field.key: field for field in _fields(section)}
        tag = section.__struct_config__.tag_field
        found: dict[str, Any] = {}
        for key, item in value.items():
            here = f"{place}.{key}" if place else str(key)
            if key in known:
                found[key] = self.value(item, known[key].type, here)
            elif key == tag:
                found[key] = item
            else:
                self.unknown.append(_unknown(str(key), here, known))
        return found


def _unknown(key: str, place: str, known: dict[str, _Field]) -> str:
    import difflib  # noqa: PLC0415 - only for mistakes

    folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(key.replace("_", "").casefold(), folded, n=1, cutoff=0.6)
    advice = f"did you mean `{folded[near[0]]}`?" if near else f"known here: {', '.join(known) or 'nothing'}"
    return f"unknown field `{key}` at {place}: {advice}"


def _fields(section: type[msgspec.Struct]) -> list[_Field]:
    hints = get_type_hints(section, include_extras=True)
    return [
        _Field(key, hints[name])
        for name, key in zip(section.__struct_fields__, section.__struct_encode_fields__, strict=True)
    ]


def _choices(wanted: Any) -> tuple[Any, ...]:  # noqa: ANN401 - a type
    return get_args(wanted) if get_origin(wanted) in {Union, types.UnionType} else (wanted,)


def _section(wanted: Any, value: dict[str, Any]) -> type[msgspec.Struct] | None:  # noqa: ANN401 - a type
    """Find which section an object is; of several kinds the one that it names."""
    sections = [each for each in _choices(wanted) if isinstance(each, type) and issubclass(each, msgspec.Struct)]
    if len(sections) > 1:
        sections = [each for each in sections if each.__struct_config__.tag == value.get("kind")]
    return sections[0] if sections else None


def _checked(found: config.Config, origin: str) -> config.Config:
    """Give the configuration if its values fit each other.

    Raises:
        ConfigError: They do not.
    """
    for check in _CHECKS:
        for problem in check(found):
            raise ConfigError(f"{origin}: {problem}")
    return found


def _names(found: config.Config) -> Iterator[str]:
    for name, count in Counter(server.name for server in found.servers).items():
        if count > 1:
            yield f"two servers are named {name!r}: give each a name of its own"


def _texts(found: config.Config) -> Iterator[str]:
    if _NUL.search(msgspec.json.encode(found)):
        yield "a text holds the character NUL, which neither paths nor commands nor addresses can have: remove it"


def _callers(found: config.Config) -> Iterator[str]:
    if found.listen.refuse_uids and not found.listen.loopback:
        yield "listen.refuseUids needs listen.loopback: users are known on this machine alone"


def _tokens(found: config.Config) -> Iterator[str]:
    token = found.admin.token if found.admin is not None else None
    if token is not None and (token.file is None) is (token.sha256 is None):
        yield "admin.token needs either file or sha256"


def _guarded(found: config.Config) -> Iterator[str]:
    if found.guard is None:
        return
    if found.listen.tls is None:
        yield "guard needs listen.tls: tokens must not be sent in the clear"
    if found.listen.token is not None:
        yield "guard and listen.token exclude each other: a request has one Authorization header"
    if found.sessions.store != "memory":
        yield "guard needs sessions.store: memory, for a session is its caller's alone"
    if not found.guard.review.url.startswith("https://") or _url_problem(found.guard.review.url):
        yield "guard.review.url must be https://HOST[:PORT]/PATH"
    for pod, count in Counter(caller.pod for caller in found.guard.callers).items():
        if count > 1:
            yield f"two guard.callers are the Pod {pod!r}: keep one of them"


def _urls(found: config.Config) -> Iterator[str]:
    for index, server in enumerate(found.servers):
        if isinstance(server.upstream, config.Http | config.Sse):
            problem = _url_problem(server.upstream.url)
            if problem:
                yield f"servers[{index}].upstream.url {problem}"


def _url_problem(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        return "must be http://HOST[:PORT]/PATH or https://..."
    if parts.username is not None or parts.password is not None:
        return "must not hold a password: put it into a file and name that in headers.Authorization"
    return ""


_CHECKS: tuple[Callable[[config.Config], Iterator[str]], ...] = (_texts, _names, _callers, _tokens, _guarded, _urls)

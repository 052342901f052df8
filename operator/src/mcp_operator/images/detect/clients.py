"""Read how clients are told to start a server: ``mcp.json``, and the like in the code blocks of a README."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from typing import TYPE_CHECKING, Any

from mcp_operator.images import placeholders
from mcp_operator.images.detect.candidate import Hints, Setting

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

MAX_BLOCKS = 40
"""Code blocks of a README that are read."""
MAX_BYTES = 512 * 1024

_BLOCK = re.compile(r"^[ \t]*```[a-zA-Z0-9]*[ \t]*\n(.*?)^[ \t]*```", re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r"^[ \t]*//.*$|[ \t]//[ \t].*$", re.MULTILINE)
_ASSIGNED = re.compile(r"[A-Z][A-Z0-9_]*=")
_VERSION = re.compile(r"(?<=.)@[\w.^~-]+\Z|(?:\[[\w,-]+\])?(?:==[\w.]+)?\Z")
"""Behind the name of a package: ``@latest``, ``[cli]``, ``==1.2``."""
_TRAILING = re.compile(r",(\s*[}\]])")
_URL = re.compile(r"http://(?:localhost|127\.0\.0\.1|0\.0\.0\.0):(\d{1,5})(/[\w./-]*)?\Z")
_LAUNCHERS = re.compile(r"(?:.*/)?(?:npx|bunx|uvx|pipx|node|bun|python\d*(?:\.\d+)?|uv)\Z")
_TAKES_VALUE = frozenset(
    {"--from", "--with", "--with-editable", "--directory", "--python", "-p", "--package", "--project", "-m"}
    | {"--refresh-package", "--index", "--index-url", "--extra-index-url", "--prerelease", "--env-file", "--import"}
)
_HAS_COMMANDS = re.compile(r"(?:.*/)?(?:uv|bun|pipx)\Z")
_SKIPPED = frozenset({"run", "exec", "x", "tool"})
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._,:-]*\Z")
_PATH = re.compile(r"[/~.]|[A-Za-z]:\\|\$\{?(?:HOME|PWD|workspaceFolder)")
_YOURS = re.compile(r"your|example|path|xxx|key|token|secret|\bname\b|<|>", re.IGNORECASE)


def read(text: str) -> Hints:
    """Give what the first server in a client's configuration says; nothing if it cannot be read."""
    return next(map(_server, _entries(text)), Hints())


def read_prose(text: str) -> Hints:
    """Give what the first usable code block of a README says."""
    found = Hints()
    for hints in map(_server, _written(text)):
        if hints.transport == "stdio":
            return hints
        found = found if found != Hints() else hints
    return found


def programs(text: str) -> list[str]:
    """Give the programs that clients are told to start, by a ``mcp.json`` or the code blocks of a README."""
    found = []
    for entry in _entries(text[:MAX_BYTES]) if text.lstrip().startswith("{") else _written(text):
        command = str(entry.get("command", ""))
        arguments = entry.get("args")
        words = [str(word) for word in arguments] if isinstance(arguments, list) else []
        found += words[_program(command, words) :][:1] if _LAUNCHERS.match(command) else [command.rpartition("/")[2]]
    return [name for name in dict.fromkeys(found) if name]


def read_commands(text: str, own: Collection[str]) -> Hints:
    """Give what the first command line of a README says that starts one of these programs or packages."""
    blocks = itertools.islice(_BLOCK.finditer(text[:MAX_BYTES]), MAX_BLOCKS)
    for line in itertools.chain.from_iterable(match[1].replace("\\\n", " ").splitlines() for match in blocks):
        words = _words(line)
        env = list(itertools.takewhile(_ASSIGNED.match, words))
        command, *rest = words[len(env) :] or [""]
        program = "".join(rest[_program(command, rest) :][:1]) if _LAUNCHERS.match(command) else command
        args = _own(command, rest)
        if _VERSION.sub("", program) in own and (args or env):
            return Hints(transport="stdio", env=tuple(Setting(name=each.partition("=")[0]) for each in env), args=args)
    return Hints()


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line.strip().removeprefix("$ "), comments=True)
    except ValueError:
        return []


def _written(text: str) -> Iterator[dict[str, Any]]:
    for match in list(_BLOCK.finditer(text[:MAX_BYTES]))[:MAX_BLOCKS]:
        if '"command"' in match[1] or '"url"' in match[1]:
            yield from _entries(match[1])


def _entries(text: str) -> Iterator[dict[str, Any]]:
    entry = _lenient(text)
    for key in ("mcpServers", "servers", "context_servers"):
        table = entry.get(key)
        if key not in entry and isinstance(entry.get("mcp"), dict):
            table = entry["mcp"].get(key)
        if isinstance(table, dict):
            yield from (each for each in table.values() if isinstance(each, dict))
            return
    for each in ({"": entry} if "command" in entry else entry).values():
        if isinstance(each, dict) and "command" in each:
            yield each


def _lenient(text: str) -> dict[str, Any]:
    """Read JSON as people write it in a README: with comments, trailing commas, or without the outer braces."""
    bare = _TRAILING.sub(r"\1", _COMMENT.sub("", text)).strip()
    for attempt in (bare, f"{{{bare.rstrip(',')}}}"):
        try:
            value = json.loads(attempt)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            return value
    return {}


def _server(entry: dict[str, Any]) -> Hints:
    command, arguments = entry.get("command"), entry.get("args")
    env = entry.get("env")
    names = [str(name) for name in env] if isinstance(env, dict) else []
    if not isinstance(command, str):
        return _remote(str(entry.get("url", entry.get("serverUrl", ""))))
    words = [str(word) for word in arguments] if isinstance(arguments, list) else []
    if command.rpartition("/")[2] in ("docker", "podman"):
        names += _container_variables(words)
        words = []
    return Hints(
        transport="stdio",
        env=tuple(Setting(name=name) for name in dict.fromkeys(names)),
        args=_own(command, words),
    )


def _remote(url: str) -> Hints:
    match = _URL.match(url)
    if not match:
        return Hints()
    path = match[2] or ""
    return Hints(transport="sse" if path.endswith("/sse") else "streamable-http", port=int(match[1]), path=path)


def _container_variables(words: list[str]) -> list[str]:
    return [value.partition("=")[0] for option, value in itertools.pairwise(words) if option in ("-e", "--env")]


def _own(command: str, words: list[str]) -> tuple[str, ...]:
    """Give the server's own arguments, behind package or file, with placeholders for what its user has to fill in."""
    if _LAUNCHERS.match(command):
        index = _program(command, words)
        # `python -m package` and `uvx --from x program` name the program as the value of an option or behind it.
        words = words[index + 1 :] if "-m" not in words[:index] else words[index:]
    return tuple(_filled(words))


def _filled(words: Iterable[str]) -> Iterator[str]:
    option = ""
    for word in words:
        name, equals, given = word.partition("=")
        if not word.startswith("-"):
            yield word if _known(option, word) else _placeholder(option, word)
        else:
            yield f"{name}={given if _known(name, given) else _placeholder(name, given)}" if equals else word
        option = word if word.startswith("-") and not equals else ""


def _known(option: str, given: str) -> bool:
    """Tell whether a value means itself: what an option for a key has may be somebody's."""
    return bool(_PLAIN.match(given)) and not _YOURS.search(f"{option} {given}")


def _placeholder(option: str, given: str) -> str:
    """Give what may stand for a value: what its option is named for, else of the kind that is shown."""
    found = placeholders.value(option) if option else placeholders.PLACEHOLDER
    path = found == placeholders.PLACEHOLDER and "://" not in given and _PATH.match(given)
    return placeholders.value("PATH") if path else found


def _program(command: str, words: list[str]) -> int:
    """Give where in a launcher's words the program is, or would be."""
    index = 0
    skipped = _SKIPPED if _HAS_COMMANDS.match(command) else frozenset()
    while index < len(words) and (words[index].startswith("-") or words[index] in skipped):
        if words[index] in skipped:
            skipped = skipped & {"run"} if words[index] == "tool" else frozenset()
        index += 2 if words[index] in _TAKES_VALUE else 1
    return index

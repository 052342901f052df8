"""What a server asked for when it refused to start, and values with which it may start all the same. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from mcp_operator import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PLACEHOLDER = "placeholder"
MOST = 8
"""Settings taken from one failed start: a text that names more is a help page."""

_VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
_WANTED = re.compile(
    r"(?i)\b(?:required|requires|not set|must be|missing|not found|undefined|unset|not provided|not specified"
    r"|not defined|not configured|is empty|(?:please|must) (?:set|provide|specify)|set the|environment variables?"
    r"|env vars?|field required)\b|KeyError: |no .{0,40}\b(?:provided|configured|found|given)\b",
)
_OPTIONAL = re.compile(r"(?i)\b(?:default(?:s|ing)?|optional(?:ly)?|warn(?:ing)?|deprecat\w+|fall(?:ing)? back)\b")
"""In a line that says that something is not set, and that it goes on without."""
_NOT_SETTINGS = ("NODE_", "ERR_", "PYTHON", "MODULE_NOT_FOUND", "npm_", "E_")
_NAMED_BEFORE = re.compile(r"(?i)(?:environment|env)\b[^\n]{0,40}:?\s*$|(?:required|missing)[^\n]{0,60}:\s*$")
_BARE = re.compile(r"^\s*(?:[-*\u2022]\s*)?(?:export\s+)?([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\b")
"""A name alone in its line, as in a list of what is missing."""
_PYDANTIC = re.compile(r"^([A-Za-z][A-Za-z0-9_]*)\n\s+Field required", re.MULTILINE)

_VALUES = (
    (r"TRANSPORT", "stdio"),
    (r"(?:ENABLE|DISABLE|DEBUG|INSECURE|VERIFY|READ_?ONLY)", "true"),
    (r"(?:DATABASE_UR[LI]|POSTGRES\w*UR[LI]|PG\w*UR[LI]|CONNECTION_STRING|_DSN)$", "postgresql://u:p@127.0.0.1:9/db"),
    (r"MONGO\w*", "mongodb://127.0.0.1:9/db"),
    (r"REDIS\w*UR[LI]", "redis://127.0.0.1:9/0"),
    (r"(?:UR[LI]S?|ENDPOINT|BASE|WEBHOOK)$", "http://127.0.0.1:9"),
    (r"(?:HOST|HOSTNAME|SERVER|ADDRESS|DOMAIN)$", "127.0.0.1"),
    (r"(?:E?MAIL|USER_EMAIL)$", "placeholder@example.com"),
    (r"PORT$", "9"),
    (r"(?:TIMEOUT|LIMIT|COUNT|SIZE|SECONDS|_MS|NUMBER)$", "10"),
    (r"(?:DB|DATABASE|SQLITE)_?(?:PATH|FILE)$", f"{names.SERVER_HOME}/placeholder.db"),
    (r"(?:DIRS?|DIRECTOR(?:Y|IES)|FOLDERS?|PATHS?|ROOTS?|WORKSPACE|VAULT|HOME|REPO(?:SITORY)?)$", names.SERVER_HOME),
    (r"(?:TENANT|CLIENT|SUBSCRIPTION)_ID$|UUID$|GUID$", "00000000-0000-4000-8000-000000000000"),
)
_REQUIRED_ARGUMENTS = re.compile(r"(?i)the following (?:arguments|options) are required: *([^\n]+)")
_MISSING_ARGUMENT = re.compile(
    r"(?i)missing (?:required )?(?:command[- ]line )?(?:arguments?|options?|parameters?|flags?)"
    r"\b[:\s]*['\"`]?([-\w<>./ ,|]*)"
    r"|required (?:option|flag)s?(?:\(s\))?[:\s]*['\"]?(--?[\w-]+)"
    r"|(--[a-z][\w-]+)\b[^\n]{0,40}\b(?:is required|required|missing|must be)"
)
_COBRA = re.compile(r'required flag\(s\) "([\w-]+)"')
_CHOICES = re.compile(r"\{([a-z][\w,-]+)\}")
_USAGE = re.compile(r"(?im)^\s*usage:? *([^\n]*)")
_POSITIONAL = re.compile(r"<([\w |./:-]{1,60})>")
_OPTIONAL_PART = re.compile(r"\[[^\[\]]*\]")
_OPTION_BEFORE = re.compile(r"(?<!\S)--?[\w-]+[ =]$")
_ASKED = re.compile(
    r"(?i)\b(?:at least one|must|please|need to|no) (?:be )?(?:provide|specify|supply|give|pass|set)?d?\b[^\n]{0,60}?"
    r"\b(director(?:y|ies)|folder|path|file|url|connection string|repository|argument)s?\b"
)
_COMMANDS = ("stdio", "serve", "start", "run", "mcp")


class Asked(NamedTuple):
    """What a server seems to need: variables by name, and whole words for its command line."""

    env: tuple[str, ...] = ()
    args: tuple[str, ...] = ()


def asked(lines: Sequence[str]) -> Asked:
    """Read from a server's last lines what it refused to start without."""
    env = variables(lines)
    return Asked(env=env, args=() if env else arguments("\n".join(lines)))


def value(name: str) -> str:
    """Give something that a variable or argument of this name may plausibly hold."""
    plain = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")
    return next((given for pattern, given in _VALUES if re.search(pattern, plain)), PLACEHOLDER)


def variables(lines: Sequence[str]) -> tuple[str, ...]:
    """Give the names of the variables that are said to be missing."""
    found: list[str] = [name.upper() for name in _PYDANTIC.findall("\n".join(lines))]
    listing = False
    for line in lines:
        bare = _BARE.match(line)
        if (_WANTED.search(line) and not _OPTIONAL.search(line)) or (listing and bare):
            found += _VARIABLE.findall(line)
        listing = bool(_NAMED_BEFORE.search(line)) or (listing and bool(bare))
    return tuple(dict.fromkeys(name for name in found if not name.startswith(_NOT_SETTINGS)))[:MOST]


def arguments(text: str) -> tuple[str, ...]:
    """Give words for the command line that a text about its use asks for."""
    if required := _REQUIRED_ARGUMENTS.search(text):
        return _words(re.split(r"[,\s]+", required[1]), text)
    if flag := _COBRA.search(text):
        return (f"--{flag[1]}", value(flag[1]))
    if missing := _MISSING_ARGUMENT.search(text):
        named = next((group for group in missing.groups() if group), "")
        if words := _words(re.split(r"[,|\s]+", named)[:1], text):
            return words
    if (usage := _USAGE.search(text)) and (words := _from_usage(usage[1])):
        return words
    if wanted := _ASKED.search(text):
        return (value(wanted[1]),)
    return ()


def _words(named: Iterable[str], text: str) -> tuple[str, ...]:
    words: list[str] = []
    for part in named:
        name = part.strip("'\"`<>.;:,()")
        if not name:
            continue
        if name.startswith("-"):
            option = name.rpartition("/")[2]  # of short and long form the long one
            words += [option, value(option)]
        elif name.lower() in ("command", "subcommand", "cmd", "transport", "mode"):
            words.append(_command(text))
        else:
            words.append(value(name))
    return tuple(words[: 2 * MOST])


def _command(text: str) -> str:
    choices: list[str] = next((match.split(",") for match in _CHOICES.findall(text)), [])
    return next((name for name in _COMMANDS if name in choices), choices[0] if choices else "stdio")


def _from_usage(usage: str) -> tuple[str, ...]:
    words: list[str] = []
    usage = _OPTIONAL_PART.sub(" ", usage)
    for match in _POSITIONAL.finditer(usage):
        if option := _OPTION_BEFORE.search(usage[: match.start()]):
            words.append(option[0].rstrip(" ="))
        words.append(value(match[1]))
    return tuple(words[: 2 * MOST])

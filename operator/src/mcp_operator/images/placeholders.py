"""What a server asked for when it refused to start, and values with which it may start all the same. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from mcp_operator import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PLACEHOLDER = "placeholder"
NUMBER = "1"
SQLITE = f"sqlite:///{names.SERVER_HOME}/placeholder.db"
"""For SQLAlchemy: a database that every Python has. One in memory takes no pool, which most ask for."""
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
_EXPORTED = re.compile(r"\bexport ([A-Z][A-Z0-9_]*)=")
_PYDANTIC = re.compile(r"^([A-Za-z][A-Za-z0-9_]*)\n\s+Field required", re.MULTILINE)

_DATABASE = "postgresql://u:p@127.0.0.1:9/db"
_VALUES = (
    # What kind of value it is says the end of a name; the first that fits counts.
    (r"(?:^|_)PORTS?$", "9"),
    (r"(?:TIMEOUT|LIMIT|COUNT|SIZE|SECONDS|_MS|NUMBER|RETRIES|INTERVAL|MAX|MIN|DAYS|HOURS|MINUTES)$", "10"),
    (r"TRANSPORT(?:_TYPE|_MODE)?$", "stdio"),
    (r"(?:TENANT|CLIENT|SUBSCRIPTION)_ID$|UUID$|GUID$", "00000000-0000-4000-8000-000000000000"),
    (r"(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|PWD|_ID|NAME|USER)$", PLACEHOLDER),
    (r"M(?:ONGO|DB)\w*(?:UR[LI]|STRING|DSN)$", "mongodb://127.0.0.1:9/db"),
    (r"(?:REDIS|VALKEY)\w*(?:UR[LI]|STRING|DSN)$", "redis://127.0.0.1:9/0"),
    (r"MYSQL\w*(?:UR[LI]|STRING|DSN)$", "mysql://u:p@127.0.0.1:9/db"),
    (r"(?:NEO4J|BOLT)\w*UR[LI]$", "bolt://127.0.0.1:9"),
    (r"^DSN$", "sqlite:///:memory:"),
    (r"(?:DATABASE_UR[LI]|DB_UR[LI]|POSTGRES\w*UR[LI]|PG\w*UR[LI]|CONNECTION_?STRING|DSN)$", _DATABASE),
    (r"(?:UR[LI]S?|ENDPOINT|BASE|WEBHOOK|ORIGINS?)$", "http://127.0.0.1:9"),
    (r"E?MAIL(?:_ADDRESS)?$", "placeholder@example.com"),
    (r"(?:HOST|HOSTNAME|SERVER|ADDRESS|DOMAIN|BIND|_IP)$", "127.0.0.1"),
    (r"REGION$|LOCATION$", "us-east-1"),
    (r"LOG_?LEVEL$", "info"),
    (r"(?:DB|DATABASE|SQLITE)_?(?:PATH|FILE)$", f"{names.SERVER_HOME}/placeholder.db"),
    (r"(?:DIRS?|DIRECTOR(?:Y|IES)|FOLDERS?|PATHS?|ROOTS?|WORKSPACE|VAULT|HOME|REPO(?:SITORY)?)$", names.SERVER_HOME),
    (r"(?:ENABLED?|DISABLED?|DEBUG|INSECURE|VERIFY|READ_?ONLY|ALLOW\w*|USE_\w+|IS_\w+)$", "true"),
    (r"^(?:ENABLE|DISABLE|ALLOW|USE|IS)_|_(?:ENABLE|DISABLE)_", "true"),
)
"""Values that are read as what they are named: no server takes a word for a port."""
_REQUIRED_ARGUMENTS = re.compile(r"(?i)the following (?:arguments|options) are required: *([^\n]+)")
_MISSING_ARGUMENT = re.compile(
    r"(?i)missing (?:required )?(?:command[- ]line )?(?:arguments?|options?|parameters?|flags?)"
    r"\b[:\s]*['\"`]?([-\w<>./ ,|]*)"
    r"|required (?:option|flag)s?(?:\(s\))?[:\s]*['\"]?(--?[\w-]+)"
    r"|(--[a-z][\w-]+)\b[^\n]{0,40}\b(?:is required|required|missing|must be)"
)
_SWITCH = re.compile(
    r"(?i)\b(?:requires?|needs?|without|must (?:use|pass|set)) (?:the )?(--[a-z][\w-]+) (?:flag|switch)\b"
)
_COBRA = re.compile(r'required flag\(s\) "([\w-]+)"')
_CHOICES = re.compile(r"\{([a-z][\w,-]+)\}")
_USAGE = re.compile(r"(?im)^\s*usage:? *([^\n]*)")
_POSITIONAL = re.compile(r"<([\w |./:-]{1,60})>")
_OPTIONAL_PART = re.compile(r"\[[^\[\]]*\]")
_OPTION_BEFORE = re.compile(r"(?<!\S)--?[\w-]+[ =]$")
_ASKED = re.compile(
    r"(?i)\b(?:at least one|must|please|need to|no(?! such\b)) (?:be )?(?:provide|specify|supply|give|pass|set)?d?\b"
    r"[^\n]{0,60}?"
    r"\b(director(?:y|ies)|folder|path|file|url|connection string|repository|argument)s?\b"
)
_COMMANDS = ("stdio", "serve", "start", "run", "mcp")
_HEAD = re.compile(r"(?i)^\W*(?:available |sub)?(?:commands|positional arguments)\b\W*$")
"""What stands above the commands in a help page, with lines drawn around it or without."""
_LISTED = re.compile(r"^[\s\u2502|]+([a-z][\w:-]*)(?:[\s,|\u2502]|$)")
_SERVING = (
    r"(?:mcp[-_:])?stdio",
    r"mcp",
    r"(?:start|run|serve|launch)[-_:](?:mcp|stdio)(?:[-_:]server)?|mcp[-_:](?:server|serve|start|run)",
    r"server?",
    r"(?:start|run)(?:[-_:]server)?",
)
"""Names of the command that is a server, the surest first."""


_NO_NUMBER = re.compile(
    r"(?i)invalid literal for int|could not convert string to float|int_parsing|strconv\.(?:Atoi|Parse\w+)"
    r"|must be an? (?:valid |positive )?(?:number|integer)"
)
_LINES_BEFORE = 4
"""Of an error, in which the name of what is no number may be."""


_EITHER = re.compile(
    r"(?i)mutually exclusive|(?:can ?not|can't|must not) (?:both )?be (?:both )?(?:set|used|specified|provided|given)"
    r"(?: at the same time| together| both)|\bnot both\b|\bonly one of\b|\bcannot (?:both be|set both|use both)\b"
)
_ONE_OF = re.compile(
    r"(?i)(?:must be|should be|expected|is not) (?:either |one of |set to (?:either |one of )?)?(?=['\"`\u2018\u201c])"
    r"|(?:one of|choose from|(?:allowed|valid|possible|supported|available) (?:values|choices|options|modes|types))\b"
    r"(?: are| is)?[:\s(\[{]*(?=[\w'\"`])"
)
"""What stands before a list of the values that a setting may have: in quotes, or of a text that says it is a list."""
_CHOICE = re.compile(r"['\"`\u2018\u201c]?([A-Za-z][\w.-]*)['\"`\u2019\u201d]?(?:\s*(?:,(?: or)?|\||/|or\b)\s*)?")
_BEGINS = re.compile(
    r"(?i)\b(?:start|begin)s? with ['\"`]?([A-Za-z][A-Za-z0-9]{0,9}[_-](?:[A-Za-z0-9]+[_-])?)['\"`.,)\s]"
)
"""Of a key: ``must start with "sk_"``."""
_SQLALCHEMY = re.compile(r"\bsqlalchemy\b")


class Asked(NamedTuple):
    """What a server seems to need: variables by name, and whole words for its command line."""

    env: tuple[str, ...] = ()
    args: tuple[str, ...] = ()


def asked(lines: Sequence[str]) -> Asked:
    """Read from a server's last lines what it refused to start without."""
    env = variables(lines)
    return Asked(env=env, args=() if env else arguments("\n".join(lines)))


def lacks(text: str) -> bool:
    """Tell whether a server says that it was not given something."""
    return bool(_WANTED.search(text))


def value(name: str) -> str:
    """Give something that a variable or argument of this name may plausibly hold."""
    plain = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")
    return next((given for pattern, given in _VALUES if re.search(pattern, plain)), PLACEHOLDER)


def numbers(lines: Sequence[str], given: Iterable[str]) -> tuple[str, ...]:
    """Give those of the given variables whose placeholder is no number, where a server wants one."""
    bad = [number for number, line in enumerate(lines) if _NO_NUMBER.search(line)]
    said = "\n".join(line.upper() for number in bad for line in lines[max(0, number - _LINES_BEFORE) : number + 1])
    return tuple(name for name in given if name.upper() in said)


def rivals(lines: Sequence[str], given: Iterable[str]) -> tuple[str, ...]:
    """Give those of the given variables of which a server wants one only."""
    said = "\n".join(line for line in lines if _EITHER.search(line))
    found = tuple(name for name in given if re.search(rf"\b{re.escape(name)}\b", said))
    return found if len(found) > 1 else ()


def choices(lines: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """Give a value for each of the given variables that may only have one of a list; the one for stdio if there is."""
    found: dict[str, str] = {}
    for number, line in enumerate(lines):
        if not (said := _ONE_OF.search(line)) or not (listed := _list(line[said.end() :])):
            continue
        chosen = "stdio" if "stdio" in listed else listed[0]
        near = "\n".join(lines[max(0, number - _LINES_BEFORE) : number + _LINES_BEFORE + 1])
        for where in (line, near):
            if named := [name for name in given if re.search(rf"(?i)\b{re.escape(name)}\b", where)]:
                found |= {name: chosen for name in named if given[name] not in listed}
                break
    return found


def fitting(lines: Sequence[str], args: Sequence[str]) -> tuple[str, ...]:
    """Give the words of a command line with one of a list where a server wants that; empty if it says no such thing."""
    for line in lines:
        if not (said := _ONE_OF.search(line)) or not (listed := _list(line[said.end() :])):
            continue
        wrong = [word for word in args if re.search(rf"['\"`]{re.escape(word)}['\"`]", line[: said.end()])]
        if wrong and wrong[-1] not in listed:
            chosen = "stdio" if "stdio" in listed else listed[0]
            return tuple(chosen if word == wrong[-1] else word for word in args)
    return ()


def prefix(lines: Sequence[str]) -> str:
    """Give what a server says that a key or token begins with; empty if it says no such thing."""
    return next((found[1] for line in lines if (found := _BEGINS.search(line))), "")


def begun(text: str, start: str) -> str:
    """Give a value, or an option with one, that begins so; the same if it is no placeholder."""
    option, equals, given = text.rpartition("=")
    return f"{option}{equals}{start}{given}" if given == PLACEHOLDER else text


def joined(args: Sequence[str]) -> tuple[str, ...]:
    """Give options and their values as one word each: what takes a command line apart by hand may want them so."""
    found: list[str] = []
    for word in args:
        if found and found[-1].startswith("--") and "=" not in found[-1] and not word.startswith("-"):
            found[-1] += f"={word}"
        else:
            found.append(word)
    return tuple(found)


def _list(text: str) -> list[str]:
    """Read the values at the start of a text, of which there are two at least."""
    found: list[str] = []
    place = 0
    while match := _CHOICE.match(text, place):
        found.append(match[1])
        place = match.end()
        if not re.search(r"[,|/\s]$|or\s*$", match[0]):
            break
    return found if len(found) > 1 else []


def databases(lines: Sequence[str], given: Mapping[str, str]) -> tuple[str, ...]:
    """Give those of the given variables whose placeholder is a database that SQLAlchemy cannot open."""
    return tuple(name for name, text in given.items() if text == _DATABASE and any(map(_SQLALCHEMY.search, lines)))


def variables(lines: Sequence[str]) -> tuple[str, ...]:
    """Give the names of the variables that are said to be missing."""
    found: list[str] = [name.upper() for name in _PYDANTIC.findall("\n".join(lines))]
    listing = False
    for line in lines:
        bare = _BARE.match(line)
        if (_WANTED.search(line) and not _OPTIONAL.search(line)) or (listing and bare):
            found += _VARIABLE.findall(line)
        found += _EXPORTED.findall(line)
        listing = bool(_NAMED_BEFORE.search(line)) or (listing and bool(bare))
    # One of the two is wanted: a value, or a file that has it. There is no such file.
    given = {f"{name}_FILE" for name in found}
    wanted = (name for name in found if name not in given and not name.startswith(_NOT_SETTINGS))
    return tuple(dict.fromkeys(wanted))[:MOST]


def arguments(text: str) -> tuple[str, ...]:
    """Give words for the command line that a text about its use asks for."""
    if required := _REQUIRED_ARGUMENTS.search(text):
        return _words(re.split(r"[,\s]+", required[1]), text)
    if flag := _COBRA.search(text):
        return (f"--{flag[1]}", value(flag[1]))
    if switch := _SWITCH.search(text):
        return (switch[1],)
    if missing := _MISSING_ARGUMENT.search(text):
        named = next((group for group in missing.groups() if group), "")
        if words := _words(re.split(r"[,|\s]+", named)[:1], text):
            return words
    if (usage := _USAGE.search(text)) and (words := _from_usage(usage[1])):
        return words
    wanted = _ASKED.search(text)
    word = _serving(text) or (value(wanted[1]) if wanted else "")
    return (word,) if word else ()


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
    return _serving(text) or next((name for name in _COMMANDS if name in choices), choices[0] if choices else "stdio")


def _serving(text: str) -> str:
    """Give the command of a help page that starts the server; empty if none looks like it."""
    listed: list[str] = []
    below = False
    for line in text.splitlines():
        below = (below and bool(line.strip())) or bool(_HEAD.match(line))
        if below and (match := _LISTED.match(line)):
            listed.append(match[1])
    return next((name for pattern in _SERVING for name in listed if re.fullmatch(pattern, name)), "")


def _from_usage(usage: str) -> tuple[str, ...]:
    words: list[str] = []
    usage = _OPTIONAL_PART.sub(" ", usage)
    for match in _POSITIONAL.finditer(usage):
        if option := _OPTION_BEFORE.search(usage[: match.start()]):
            words.append(option[0].rstrip(" ="))
        words.append(value(match[1]))
    return tuple(words[: 2 * MOST])

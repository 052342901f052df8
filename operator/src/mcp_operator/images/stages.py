"""Pin what a repository's own Dockerfile starts from, and leave nothing in it that reaches beyond its own build.

A Dockerfile may name any image of the engine, other owners' among them, by name or by the first digits of an ID; may
have the engine itself fetch a URL, from the engine's network; and shares the cache of all builds, whose key knows
nothing of a proxy that is given as a build argument. So it is written anew, an instruction a line: each image by what
its name means now, each stage with its owner's labels, so that its cache is his own.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, NamedTuple

from mcp_operator import names
from mcp_operator.images import redact, reference
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mcp_operator.images.stored import Image

HEAD = """\
# The repository's own Dockerfile, an instruction a line; images by what their names meant. What it starts is below.
# hadolint global ignore=DL4004"""
"""First lines: what would be a directive for the parser behind them is a comment."""
SCRATCH = "scratch"

_CONTINUED = re.compile(r"\\[ \t]*\Z")
_INSTRUCTION = re.compile(r"([A-Za-z]+)(?:[ \t]+(.*))?\Z")
_FLAG = re.compile(r"--([a-z-]+)(?:=([!#-&(-\[\]-~]+))?\Z")
"""Without quotes and backslashes, which Docker takes out before it reads a flag."""
_STAGE = re.compile(r"[a-z][a-z0-9_.-]*\Z")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?:(:[-+])([^}]*))?\}|(\w+))", re.ASCII)
_ASSIGNED = re.compile(r"[A-Za-z_]\w*=", re.ASCII)
_URL = re.compile(r"(?i)[a-z][a-z0-9+.-]*://|\bgit@")
_PLAIN = re.compile(r"[\w@.,/*?=+~ \t-]+\Z", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_SPACE = re.compile(r"[ \t]+")
_HEREDOC = re.compile(r"(?:\s|\A)\d*<<-?[A-Za-z_\"']")


class Line(NamedTuple):
    """An instruction.

    Attributes:
        before: What stands before the image, or all of it.
        image: Whole name of an image from elsewhere; empty if there is none.
        behind: What stands behind it.
        labelled: The owner's labels stand behind it: where a stage begins, and where others may have been written over.
    """

    before: str
    image: str = ""
    behind: str = ""
    labelled: bool = False


class Pin(NamedTuple):
    """What an image's name means.

    Attributes:
        id: In the engine's store; empty if it is not known.
        name: By which it is named where nothing may change what is meant.
    """

    id: str
    name: str


def pinned(name: str, image: Image, uid: str) -> Pin:
    """Say by what to name an image that a Dockerfile uses.

    Args:
        name: As the Dockerfile has it, whole.
        image: What it means.
        uid: The Dockerfile's owner: of all images that builds have made, only his own may be used.

    Raises:
        BuildError: It is somebody else's, or has instructions that would run in a build.
    """
    if image.labels.get(names.LABEL_UID, uid) != uid:
        raise _refused(
            Reason.SOURCE_UNSAFE,
            f"the Dockerfile uses {name}, which was built for another server",
            "Start from an image that everybody may use; what other servers are made of is theirs.",
        )
    if image.triggers:
        raise _refused(
            Reason.UNSUPPORTED,
            f"the Dockerfile uses {name}, which has instructions of its own for builds (ONBUILD)",
            "Write these instructions into the Dockerfile, and start from an image without.",
        )
    wanted = reference.parse(name).repository
    # By its digest in its repository, which other engines know, too.
    same = (one for one in image.digests if reference.parse(one).repository == wanted)
    return Pin(image.id, next(same, image.id))


def unavailable(error: BuildError) -> BuildError:
    """Word an error of the engine for an image that a Dockerfile names."""
    if error.reason == Reason.BASE_IMAGE_UNAVAILABLE:
        error.hint = "Check its name in the Dockerfile; for a build, images are pulled without credentials."
    return error


def images(lines: Sequence[Line]) -> tuple[str, ...]:
    """Give the images from elsewhere, each once."""
    return tuple(dict.fromkeys(line.image for line in lines if line.image))


def render(lines: Sequence[Line], pins: Mapping[str, Pin], labels: Sequence[str]) -> list[str]:
    """Give the lines of the Dockerfile, with further ones where they belong."""
    written = [HEAD]
    for line in lines:
        written.append(f"{line.before}{pins[line.image].name if line.image else ''}{line.behind}")
        written += labels if line.labelled else ()
    return written


def read(text: str, arguments: Mapping[str, str]) -> list[Line]:
    """Read a Dockerfile.

    Args:
        text: Of the Dockerfile.
        arguments: What ``ARG`` is given.

    Raises:
        BuildError: It does what is not done here, or cannot be read for certain.
    """
    found: list[Line] = []
    stages: list[str] = []
    values: dict[str, str] = {}
    for whole in _logical(text):
        match = _INSTRUCTION.match(whole)
        if not match:
            raise _unclear(whole)
        instruction, value = match[1].upper(), (match[2] or "").strip()
        if instruction == "FROM":
            found.append(_from(value, stages, values))
        elif instruction in ("COPY", "ADD"):
            found.append(_copy(instruction, value, stages))
        else:
            _check(instruction, value)
            if instruction == "ARG" and not stages:
                values |= _defaults(value, arguments, values)
            found.append(Line(f"{instruction} {value}", labelled=instruction == "LABEL"))
    return found


def _logical(text: str) -> Iterator[str]:
    """Give the instructions, each in one line. Lines end where Docker ends them, and nowhere else."""
    joined = ""
    begun = False
    for raw in text.replace("\r\n", "\n").removeprefix("\ufeff").split("\n"):
        line = raw.strip(" \t") if not begun else raw
        if not line.strip(" \t") or line.lstrip(" \t").startswith("#"):
            continue
        if _CONTROL.search(line):
            raise _unclear(line)
        begun = bool(_CONTINUED.search(line))
        joined += _CONTINUED.sub("", line)
        if not begun:
            yield joined
            joined = ""
    if begun:
        raise _unclear(f"{joined} \\")


def _from(value: str, stages: list[str], values: Mapping[str, str]) -> Line:
    _, rest = _flags(value, ("platform",))
    match rest.split():
        case [start]:
            stage = ""
        case [start, between, stage] if between.lower() == "as":
            stage = stage.lower()
        case _:
            raise _unclear(f"FROM {value}")
    if stage and not _STAGE.match(stage):
        raise _unclear(f"FROM {value}")
    source = _expanded(start, values).strip("\"'")
    before = bool(source) and source.lower() in stages
    image = "" if before or source == SCRATCH else _name(source, f"FROM {value}")
    stages.append(stage)
    behind = f" AS {stage}" if stage else ""
    if image:
        return Line("FROM ", image, behind, labelled=True)
    return Line(f"FROM {source.lower()}{behind}", labelled=True)


def _copy(instruction: str, value: str, stages: Sequence[str]) -> Line:
    _check(instruction, value)
    flags, rest = _flags(value, ("from", "chown"))
    if instruction == "ADD":
        if _URL.search(rest):
            raise _refused(
                Reason.UNSUPPORTED,
                f"the Dockerfile has the engine itself fetch something: ADD {redact.line(rest)}",
                "Fetch it inside the build, with RUN curl or wget, or keep it in the repository.",
            )
        # What can turn into a URL when variables and quotes are read is none for COPY.
        instruction = "ADD" if _PLAIN.match(rest) else "COPY"
    owner = f"--chown={flags['chown']} " if "chown" in flags else ""
    if "from" not in flags:
        return Line(f"{instruction} {owner}{rest}")
    source = flags["from"]
    # Not the one that is being built: its name is that of an image until it is finished.
    if source.isdecimal() or source.lower() in stages[:-1]:
        if source.isdecimal() and int(source) >= len(stages) - 1:
            raise _unclear(f"{instruction} {value}")
        return Line(f"{instruction} {owner}--from={source.lower()} {rest}")
    return Line(f"{instruction} {owner}--from=", _name(source, f"{instruction} {value}"), f" {rest}")


def _check(instruction: str, value: str) -> None:
    """Refuse what runs later, or elsewhere."""
    if instruction == "ONBUILD":
        raise _refused(
            Reason.UNSUPPORTED,
            "the Dockerfile has ONBUILD, which is for images that others start from",
            "Take it out: an MCP server is started, nothing is built from it.",
        )
    flagged = instruction == "RUN" and value.startswith("--")
    if flagged or (instruction in ("RUN", "COPY", "ADD") and _HEREDOC.search(value)):
        raise _refused(
            Reason.UNSUPPORTED,
            f"the Dockerfile uses what only BuildKit understands: {instruction} {redact.line(value)[:100]}",
            "Write it for the classic builder, or let a Dockerfile be generated: runtime node, python or go.",
        )


def _flags(value: str, known: Sequence[str]) -> tuple[dict[str, str], str]:
    """Take the flags from the beginning of an instruction's value."""
    flags: dict[str, str] = {}
    rest = value
    while rest.startswith("--"):
        word, *more = _SPACE.split(rest, maxsplit=1)
        rest = more[0] if more else ""
        match = _FLAG.match(word)
        if not match or match[1] not in known or not match[2]:
            raise _unclear(value)
        flags[match[1]] = match[2]
    return flags, rest


def _defaults(value: str, arguments: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    try:
        words = shlex.split(value)
    except ValueError:
        raise _unclear(f"ARG {value}") from None
    found: dict[str, str] = {}
    for word in words:
        name, _, default = word.partition("=")
        given = arguments.get(name)
        if given is not None:
            found[name] = given
        elif _ASSIGNED.match(word):
            found[name] = _expanded(default, {**values, **found})
    return found


def _expanded(word: str, values: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        said = values.get(match[1] or match[4], "")
        if match[2] == ":-":
            return said or _expanded(match[3], values)
        if match[2] == ":+":
            return _expanded(match[3], values) if said else ""
        return said

    return _VARIABLE.sub(value, word)


def _name(text: str, line: str) -> str:
    """Give an image's whole name. Written so it is never taken for the ID of one."""
    try:
        return str(reference.parse(text))
    except ValueError:
        raise _unclear(line) from None


def _unclear(line: str) -> BuildError:
    return _refused(
        Reason.UNSUPPORTED,
        f"the Dockerfile has a line that cannot be read for certain: {redact.line(line)[:200]}",
        "Write it plainly: images by name, flags without quotes, no control characters.",
    )


def _refused(reason: Reason, message: str, hint: str) -> BuildError:
    return BuildError(reason, message, step=Step.DETECT, hint=hint)

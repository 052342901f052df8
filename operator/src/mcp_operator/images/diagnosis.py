"""Guess from what a program wrote why it failed, and say what to do. Pure; a guess is worded as one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mcp_operator.images import placeholders
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.reasons import Reason
from mcp_operator.images.signs import ABSENT, PACKAGES, SIGNS, STARTS, Finding, Sign

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp_operator.images.build_log import BuildLog


_CODE = re.compile(r"npm (?:error|ERR!) code .*\nnpm (?:error|ERR!) (?!syscall|errno|path)")


def build(text: str) -> Finding:
    """Explain a failed instruction from its last lines."""
    otherwise = Finding(
        Reason.DOCKER_BUILD_FAILED, "The last lines of the step say why; try the same in a fresh clone."
    )
    return _first(SIGNS, text) or otherwise


def packages(text: str) -> tuple[str, ...]:
    """Give the Debian packages of what a step or a server missed; none if it missed nothing that is known."""
    wanted = [sign for sign in (*ABSENT, *SIGNS) if sign.finding.reason == Reason.SYSTEM_PACKAGE_MISSING]
    match = next(filter(None, (sign.pattern.search(text) for sign in wanted)), None)
    return tuple(PACKAGES.get(_missing_in(match), "").split()) if match else ()


def _missing_in(match: re.Match[str]) -> str:
    return next((found for found in match.groupdict().values() if found), "")


def _first(signs: Sequence[Sign], text: str) -> Finding | None:
    """Give what the first sign that is there means, with what is missing in its hint."""
    for sign in signs:
        if match := sign.pattern.search(text):
            missing = _missing_in(match) or "a program or library"
            package = f" ({PACKAGES[missing]})" if missing in PACKAGES else ""
            hint = sign.finding.hint.replace("{it}", missing[:QUOTED]).replace("{package}", package)
            return sign.finding._replace(hint=hint, quote=_quote(text, match))
    return None


def _quote(text: str, match: re.Match[str]) -> str:
    """Give the line of a match; for a mere code the one below, which says it in words."""
    lines = text[text.rfind("\n", 0, match.start()) + 1 :].split("\n", 2)
    return lines[1 if _CODE.match("\n".join(lines[:2])) else 0].strip()


def failed(log: BuildLog, said: str, earlier: Sequence[str] = ()) -> BuildError:
    """Explain a build that failed.

    Args:
        log: What was heard of it.
        said: The engine's own words, printable.
        earlier: What the same step wrote when it was done in other ways.
    """
    finding = build("\n".join([*earlier, *log.recent, said]))
    log.tail.add(said)
    tail = str(log.tail)
    where = f"step {log.instruction[:QUOTED]}" if log.instruction else "reading the Dockerfile"
    if finding.quote and finding.quote not in tail:
        tail = f"{finding.quote}\n...\n{tail}"
    return BuildError(
        finding.reason,
        f"{where} failed" + (f": {finding.quote[:QUOTED]}" if finding.quote else ""),
        step=Step.BUILD,
        hint=finding.hint,
        log_tail=tail,
        transient=finding.transient,
    )


QUOTED = 200
"""Characters of the deciding line in a message."""

RUNNING = -1
"""Instead of an exit code: it still ran."""
ANSWERED = -2
"""Instead of an exit code: it answered, and wrongly."""
LISTENS = -3
"""Instead of an exit code: it answered over HTTP, and no endpoint of MCP was found."""

_HTTP = re.compile(
    r"(?i)https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1?\])(?::\d+)?|uvicorn running"
    r"|(?:listening|running|started).{0,40}\bport\b",
)
_MODULE = re.compile(r"(?:Cannot find (?:module|package)|ModuleNotFoundError: No module named) ['\"]([^'\"]+)['\"]")


_HTTP_ONLY = Finding(
    Reason.STARTED_HTTP,
    "It serves HTTP, but no endpoint of MCP that answers was found: look in its README for a flag or variable that "
    "chooses stdio, or the path, and set spec.run.args or spec.run.env.",
)


def start(lines: Sequence[str], code: int) -> Finding:
    """Explain a server that did not answer.

    Args:
        lines: Its last lines on stderr.
        code: Its exit code, :data:`RUNNING` or :data:`ANSWERED`.
    """
    text = "\n".join(lines)
    if module := _MODULE.search(text):
        hint = f"{module[1]} is not in the image: {_missing(module[1])}"
        return Finding(Reason.HANDSHAKE_FAILED, hint, quote=_quote(text, module))
    if found := _first(ABSENT, text):
        return found
    asked = placeholders.asked(lines)
    if asked.env:
        several = "s" if len(asked.env) > 1 else ""
        return Finding(
            Reason.SETTING_MISSING,
            f"It seems to need the environment variable{several} {', '.join(asked.env)}: set spec.run.env.",
        )
    if asked.args:
        return Finding(
            Reason.SETTING_MISSING,
            f"It seems to need arguments (such as {' '.join(asked.args)}): set spec.run.args.",
        )
    found = None if code == LISTENS else _first(STARTS, text)
    return found or (_HTTP_ONLY if _HTTP.search(text) else _from_code(code, deciding(lines)))


_FRAME = re.compile(r"\s+(?:at |File \"|\^|~)|\s{4}|Traceback|Node\.js v|\s*[}\])]\s*\Z")
_GROUP = re.compile(r"\s*(?:\| ?|\+[-+ \d]*\Z)")
"""What Python draws before the lines of several exceptions at once, and between them."""
_ERROR = re.compile(r"(?:[\w.]*(?:Error|Exception)\b|error|fatal|panic)[^\n]{0,20}:", re.IGNORECASE)


def _missing(module: str) -> str:
    if "/node_modules/" in module:
        return "what imports it does not fit the version of that package; correct the import, or the version."
    if module.startswith(("/app", ".")):
        return "the start file was not made by the build script; name the right one in bin or spec.build.command."
    return "add it to the project's dependencies (not the development ones)."


def deciding(lines: Sequence[str]) -> str:
    """Give the line that says most likely why a program ended; empty if it said nothing."""
    plain = [_GROUP.sub("", line, count=1) for line in lines]
    said = [line.strip() for line in plain if line.strip() and not _FRAME.match(line)]
    errors = [line for line in said if _ERROR.match(line)]
    return next(iter(errors[-1:] or said[-1:]), "")[:QUOTED]


def _from_code(code: int, last: str) -> Finding:
    if code == LISTENS:
        return _HTTP_ONLY
    hints = {
        0: "It ended at once without an error: the start command may not run a server. Set spec.build.command.",
        RUNNING: "It runs and does not answer: check that it speaks MCP, and which arguments or variables that needs.",
        ANSWERED: "It speaks MCP, and answers wrongly: see its last lines, and try a newer or older version of it.",
    }
    otherwise = f"It ended with: {last}. Try the start command in a fresh clone."
    if not last:
        otherwise = "It says nothing. Many servers need a setting: look in its README, and set spec.run.env or args."
    return Finding(Reason.HANDSHAKE_FAILED, hints.get(code, otherwise))

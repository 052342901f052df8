"""Guess from what a program wrote why it failed, and say what to do. Pure; a guess is worded as one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence


class Finding(NamedTuple):
    """A likely cause."""

    reason: Reason
    hint: str
    transient: bool = False


class _Sign(NamedTuple):
    pattern: re.Pattern[str]
    finding: Finding


def _sign(pattern: str, reason: Reason, hint: str, *, transient: bool = False) -> _Sign:
    return _Sign(re.compile(pattern, re.MULTILINE), Finding(reason, hint, transient))


_NETWORK = "Check that builds can reach the package registries (DNS, firewall, proxy); it is tried again."

# In this order: the first that matches speaks.
_BUILD = (
    _sign(r"No space left on device|ENOSPC", Reason.DISK_FULL, "Free space where Docker runs.", transient=True),
    _sign(
        r"non-zero code: 137|heap out of memory|Cannot allocate memory|MemoryError",
        Reason.OUT_OF_MEMORY,
        "The step needs more memory than a build may use (4 GiB): commit the built files, or make the build smaller.",
    ),
    _sign(
        r"(?i)certificate.verify.failed|self[- ]signed certificate|UNABLE_TO_GET_ISSUER_CERT|invalid peer certificate"
        r"|UnknownIssuer",
        Reason.CERTIFICATE_UNTRUSTED,
        "Give the certificate authority with the operator's setting TOOLMAN_BUILD_CA_FILE.",
    ),
    _sign(
        r"EAI_AGAIN|ENOTFOUND|ETIMEDOUT|ECONNREFUSED|ECONNRESET|Temporary failure (?:in name resolution|resolving)"
        r"|(?i:dns error|failed to lookup address|connection refused|connect(?:ion)? timed out|network is unreachable)",
        Reason.NETWORK_FAILED,
        _NETWORK,
        transient=True,
    ),
    _sign(
        r"npm ci.*can only install|not in sync|Missing: .* from lock file|ERR_PNPM_OUTDATED_LOCKFILE"
        r"|lockfile.*needs to be updated|Failed to parse `uv\.lock`",
        Reason.DEPENDENCY_FAILED,
        "The lock file does not fit the manifest: update it (`npm install`, `uv lock`) and commit it.",
    ),
    _sign(
        r"ERESOLVE|No solution found|ResolutionImpossible|ETARGET|E404|notarget|was not found in the package registry"
        r"|No matching distribution",
        Reason.DEPENDENCY_FAILED,
        "The dependencies cannot be resolved: correct their versions, or commit a lock file that works.",
    ),
    _sign(
        r"gyp ERR!|(?:gcc|g\+\+|cc|make|cargo|rustc|cmake|pkg-config): (?:command )?not found"
        r"|error: command '?\S*(?:gcc|cc)\b|can't find Rust compiler"
        r"|No such file or directory: '(?:gcc|cc|make|cmake)'",
        Reason.DEPENDENCY_FAILED,
        "A dependency has to be compiled, and there are no compilers: use a version that is published ready-made.",
    ),
    _sign(
        r"error TS\d+|SyntaxError|Build failed with \d+ error|RollupError|Could not resolve \"",
        Reason.COMPILE_FAILED,
        "The sources do not compile: see the lines above, and try the same build script in a fresh clone.",
    ),
    _sign(
        r"Missing script|sh: \d+: \S+: not found|sh: \S+: (?:command )?not found|command not found",
        Reason.COMPILE_FAILED,
        "A build script calls a program that is not there: add it to devDependencies.",
    ),
    _sign(
        r"Failed to build `|error: subprocess-exited-with-error|Multiple top-level packages"
        r"|build backend (?:returned|failed)",
        Reason.DEPENDENCY_FAILED,
        "A Python package cannot be built: see the lines above; `uv build` in a fresh clone shows the same.",
    ),
)


def build(text: str) -> Finding:
    """Explain a failed instruction from its last lines."""
    for sign in _BUILD:
        if sign.pattern.search(text):
            return sign.finding
    return Finding(Reason.DOCKER_BUILD_FAILED, "The last lines of the step say why; try the same in a fresh clone.")


RUNNING = -1
"""Instead of an exit code: it still ran."""
ANSWERED = -2
"""Instead of an exit code: it answered, and wrongly."""

_VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
_WANTED = re.compile(
    r"(?i)\b(?:required|requires|not set|must be set|must be provided|missing|not found|undefined|unset|not provided"
    r"|not defined|(?:please|must) (?:set|provide|specify)|set the|environment variables?|env vars?)\b|KeyError: ",
)
_OPTIONAL = re.compile(r"(?i)\b(?:default|optional|warn(?:ing)?)\b")
"""In a line that says that something is not set, and that it goes on without."""
_ARGUMENT = re.compile(
    r"(?i)the following arguments are required: *(?P<names>.+)|^usage: *(?P<usage>.+)"
    r"|Missing (?:required )?(?:argument|option)s?:? *(?P<miss>.*)"
    r"|(?P<option>--[a-z][\w-]+)\b.{0,40}\b(?:required|missing|must be)"
    r"|(?:at least one|must (?:provide|specify)|please (?:provide|specify)).{0,60}"
    r"(?:argument|director|path|url|connection string)",
    re.MULTILINE,
)
_HTTP = re.compile(
    r"(?i)https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1?\])(?::\d+)?|uvicorn running"
    r"|(?:listening|running|started).{0,40}\bport\b",
)
_MODULE = re.compile(r"(?:Cannot find (?:module|package)|ModuleNotFoundError: No module named) ['\"]([^'\"]+)['\"]")
_EXECUTABLE = re.compile(r"exec(?:utable file)?:? .{0,80}(?:not found|no such file)", re.IGNORECASE)
_READ_ONLY = re.compile(r"(?i)read-only file system|EROFS|Permission denied: '/|EACCES")


def start(lines: Sequence[str], code: int) -> Finding:
    """Explain a server that did not answer.

    Args:
        lines: Its last lines on stderr.
        code: Its exit code, :data:`RUNNING` or :data:`ANSWERED`.
    """
    if variables := _variables(lines):
        several = "s" if len(variables) > 1 else ""
        return Finding(
            Reason.SETTING_MISSING,
            f"It seems to need the environment variable{several} {', '.join(variables)}: set spec.run.env.",
        )
    return _from_text("\n".join(lines)) or _from_code(code, silent=not lines)


def _from_text(text: str) -> Finding | None:
    if module := _MODULE.search(text):
        return Finding(Reason.HANDSHAKE_FAILED, f"{module[1]} is not in the image: {_missing(module[1])}")
    if argument := _ARGUMENT.search(text):
        wanted = next((part.strip() for part in argument.groups() if part), "")
        shown = f" ({wanted[:100]})" if wanted else ""
        return Finding(Reason.SETTING_MISSING, f"It seems to need an argument{shown}: set spec.run.args.")
    if _HTTP.search(text):
        return Finding(
            Reason.STARTED_HTTP,
            "It seems to serve HTTP, and only stdio is supported yet: look in its README for a flag or variable that "
            "chooses stdio, and set spec.run.args or spec.run.env.",
        )
    if _READ_ONLY.search(text):
        return Finding(
            Reason.HANDSHAKE_FAILED,
            "It writes where it may not: only /tmp is writable. Look for a setting that moves its files there.",
        )
    return None


def _missing(module: str) -> str:
    if module.startswith(("/app", ".")):
        return "the start file was not made by the build script; name the right one in bin or spec.build.command."
    return "add it to the project's dependencies (not the development ones)."


def _from_code(code: int, *, silent: bool) -> Finding:
    hints = {
        0: "It ended at once without an error: the start command may not run a server. Set spec.build.command.",
        RUNNING: "It runs and does not answer: check that it speaks MCP over stdio, and which arguments that needs.",
        ANSWERED: "It speaks MCP, and answers wrongly: see its last lines, and try a newer or older version of it.",
    }
    otherwise = "Its last lines say why; try the start command in a fresh clone."
    if silent:
        otherwise = "It says nothing. Many servers need a setting: look in its README, and set spec.run.env or args."
    return Finding(Reason.HANDSHAKE_FAILED, hints.get(code, otherwise))


def _variables(lines: Sequence[str]) -> list[str]:
    telling = (line for line in lines if _WANTED.search(line) and not _OPTIONAL.search(line))
    found = {name for line in telling for name in _VARIABLE.findall(line)}
    return sorted(name for name in found if not name.startswith(("NODE_", "ERR_", "PYTHON")))[:5]

"""Guess from what a program wrote why it failed, and say what to do. Pure; a guess is worded as one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from mcp_operator.images import placeholders
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp_operator.images.build_log import BuildLog


class Finding(NamedTuple):
    """A likely cause.

    Attributes:
        reason: What a person would do something different about.
        hint: What to do, one or two sentences.
        transient: Trying again later, unchanged, may help.
        quote: The line that decided.
    """

    reason: Reason
    hint: str
    transient: bool = False
    quote: str = ""


class _Sign(NamedTuple):
    pattern: re.Pattern[str]
    finding: Finding


def _sign(pattern: str, reason: Reason, hint: str, *, transient: bool = False) -> _Sign:
    return _Sign(re.compile(pattern, re.MULTILINE), Finding(reason, hint, transient))


# In this order: the first that matches speaks. A group named "it" goes into the hint.
_BUILD = (
    _sign(
        r"No space left on device|ENOSPC|Disk quota exceeded",
        Reason.DISK_FULL,
        "Free space where Docker runs: `docker system df` shows what uses it; it is tried again.",
        transient=True,
    ),
    _sign(
        r"heap out of memory|Cannot allocate memory|MemoryError|non-zero code: 137",
        Reason.OUT_OF_MEMORY,
        "The step needs more memory than a build may use (4 GiB): commit the built files, or make the build smaller.",
    ),
    _sign(
        r"Resource temporarily unavailable|EAGAIN|can't start new thread|pthread_create failed",
        Reason.BUILD_LIMIT,
        "The step starts more processes than a build may: look for an install script that starts itself again.",
    ),
    _sign(
        r"(?i)certificate.verify.failed|self[- ]signed certificate|UNABLE_TO_(?:GET_ISSUER|VERIFY)\w*"
        r"|invalid peer certificate|UnknownIssuer|x509: ",
        Reason.CERTIFICATE_UNTRUSTED,
        "Give the certificate authority with the operator's setting TOOLMAN_BUILD_CA_FILE.",
    ),
    _sign(
        r"EAI_AGAIN|ENOTFOUND|ETIMEDOUT|ECONNREFUSED|ECONNRESET|Temporary failure (?:in name resolution|resolving)"
        r"|(?i:dns error|failed to lookup address|connection refused|connect(?:ion)? timed out|network is unreachable"
        r"|could not resolve host|failed to establish a new connection|no such host|i/o timeout)",
        Reason.NETWORK_FAILED,
        "Check that builds can reach the package registries (DNS, firewall, proxy); it is tried again.",
        transient=True,
    ),
    _sign(
        r"the --\w+ option requires BuildKit|dockerfile parse error|unknown (?:instruction|flag)",
        Reason.UNSUPPORTED,
        "The repository's Dockerfile needs BuildKit: leave spec.build.dockerfile out, so that one is generated.",
    ),
    _sign(
        r"(?:COPY|ADD) failed: |forbidden path outside the build context",
        Reason.COMPILE_FAILED,
        "The Dockerfile copies a file that is not there: name it from the folder that is built.",
    ),
    _sign(
        r"pull access denied|manifest for \S+ not found|manifest unknown|failed to resolve source metadata",
        Reason.BASE_IMAGE_UNAVAILABLE,
        "The base image cannot be pulled: correct its name, or give Docker credentials for its registry.",
        transient=True,
    ),
    _sign(
        r"npm ci.*can only install|not in sync|Missing: .* from lock file|ERR_PNPM_OUTDATED_LOCKFILE"
        r"|ERR_PNPM_LOCKFILE|lockfile (?:at \S+ )?needs to be updated|Failed to parse `uv\.lock`"
        r"|lockfile had changes, but lockfile is frozen|pyproject\.toml changed significantly|Invalid: lock file",
        Reason.DEPENDENCY_FAILED,
        "The lock file does not fit the manifest: update it (`npm install`, `uv lock`) and commit it.",
    ),
    _sign(
        r"code EBADENGINE|ERR_PNPM_UNSUPPORTED_ENGINE|requires a different Python|Unsupported engine"
        r"|does not satisfy Python|is incompatible with the project's Python|requires go >= "
        r"|requires Python (?:>=|<|~=|==)|No interpreter found for Python",
        Reason.RUNTIME_VERSION,
        "A package needs another version of the runtime: set engines.node or requires-python so that it fits, or "
        "choose an older version of that package.",
    ),
    _sign(
        r"ERESOLVE|No solution found|ResolutionImpossible|ETARGET|E404|notarget|was not found in the package registry"
        r"|No matching distribution|ERR_PNPM_(?:NO_MATCHING_VERSION|FETCH_404)|unknown revision",
        Reason.DEPENDENCY_FAILED,
        "The dependencies cannot be resolved: correct their versions, or commit a lock file that works.",
    ),
    _sign(
        r"(?P<it>pg_config|mysql_config|pkg-config)\b.*(?:not found|No such file)"
        r"|No package '(?P<library>[\w+.-]+)' found|fatal error: (?P<header>[\w/.+-]+\.h): No such file",
        Reason.SYSTEM_PACKAGE_MISSING,
        "A native module needs {it}: add the Debian package with it{package} to spec.build.systemPackages.",
    ),
    _sign(
        r"gyp ERR!|(?:gcc|g\+\+|cc|make|cargo|rustc|cmake)\b['\"]?:? (?:command )?(?:not found|failed: No such file)"
        r"|can't find Rust compiler|No such file or directory: '(?:gcc|cc|make|cmake)'"
        r"|not find any Python installation",
        Reason.SYSTEM_PACKAGE_MISSING,
        "A native module has to be compiled: add the compiler (build-essential, python3-dev) to "
        "spec.build.systemPackages, or use a version of it that is published ready-made.",
    ),
    _sign(
        r"(?:Cannot find (?:module|package)|Can't resolve|Could not resolve|No module named) ['\"](?P<it>[^'\"]+)['\"]"
        r"|no required module provides package (?P<library>\S+?);?$",
        Reason.DEPENDENCY_FAILED,
        "{it} is used and not among the dependencies: add it to the project's manifest and its lock file.",
    ),
    _sign(
        r"error TS\d+|SyntaxError|IndentationError|Build failed with \d+ error|RollupError|syntax error",
        Reason.COMPILE_FAILED,
        "The sources do not compile: see the line that is quoted, and try the same build script in a fresh clone.",
    ),
    _sign(
        r"Missing script|sh: (?:\d+|line \d+): (?P<it>[\w./-]+): (?:command )?not found"
        r"|(?P<library>[\w./-]+): (?:command )?not found|spawn (?P<header>[\w./-]+) ENOENT",
        Reason.COMPILE_FAILED,
        "A build script calls a program that is not there ({it}): add it to devDependencies, or to "
        "spec.build.systemPackages if it is none of npm's.",
    ),
    _sign(
        r"Failed to build `|error: subprocess-exited-with-error|Multiple top-level packages"
        r"|build backend (?:returned|failed)|metadata-generation-failed",
        Reason.DEPENDENCY_FAILED,
        "A Python package cannot be built: see the lines above; `uv build` in a fresh clone shows the same.",
    ),
)
_CODE = re.compile(r"npm (?:error|ERR!) code .*\nnpm (?:error|ERR!) (?!syscall|errno|path)")
_PACKAGES = {
    "pg_config": "libpq-dev",
    "libpq-fe.h": "libpq-dev",
    "mysql_config": "default-libmysqlclient-dev",
    "Python.h": "python3-dev",
    "ffi.h": "libffi-dev",
    "cairo": "libcairo2-dev",
    "openssl": "libssl-dev",
    "openssl/ssl.h": "libssl-dev",
    "libxml-2.0": "libxml2-dev",
    "libxml/xpath.h": "libxml2-dev libxslt1-dev",
    "zlib.h": "zlib1g-dev",
    "jpeglib.h": "libjpeg-dev",
    "sqlite3.h": "libsqlite3-dev",
    "pkg-config": "pkg-config",
    "vips": "libvips-dev",
}
"""Debian's packages with what native modules miss most."""


def build(text: str) -> Finding:
    """Explain a failed instruction from its last lines."""
    for sign in _BUILD:
        if match := sign.pattern.search(text):
            missing = next((found for found in match.groupdict().values() if found), "") or "a program or library"
            package = f" ({_PACKAGES[missing]})" if missing in _PACKAGES else ""
            quote = _quote(text, match)
            return sign.finding._replace(
                hint=sign.finding.hint.replace("{it}", missing).replace("{package}", package), quote=quote
            )
    return Finding(Reason.DOCKER_BUILD_FAILED, "The last lines of the step say why; try the same in a fresh clone.")


def _quote(text: str, match: re.Match[str]) -> str:
    """Give the line of a match; for a mere code the one below, which says it in words."""
    lines = text[text.rfind("\n", 0, match.start()) + 1 :].split("\n", 2)
    return lines[1 if _CODE.match("\n".join(lines[:2])) else 0].strip()


def failed(log: BuildLog, said: str) -> BuildError:
    """Explain a build that failed.

    Args:
        log: What was heard of it.
        said: The engine's own words, printable.
    """
    finding = build("\n".join([*log.recent, said]))
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
_EXECUTABLE = re.compile(r"exec(?:utable file)?:? .{0,80}(?:not found|no such file)", re.IGNORECASE)
_READ_ONLY = re.compile(r"(?i)read-only file system|EROFS|Permission denied: '/|EACCES")


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
        return Finding(Reason.HANDSHAKE_FAILED, f"{module[1]} is not in the image: {_missing(module[1])}")
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
    return _from_text(text) or _from_code(code, silent=not lines)


def _from_text(text: str) -> Finding | None:
    if _HTTP.search(text):
        return _HTTP_ONLY
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
    if code == LISTENS:
        return _HTTP_ONLY
    hints = {
        0: "It ended at once without an error: the start command may not run a server. Set spec.build.command.",
        RUNNING: "It runs and does not answer: check that it speaks MCP, and which arguments or variables that needs.",
        ANSWERED: "It speaks MCP, and answers wrongly: see its last lines, and try a newer or older version of it.",
    }
    otherwise = "Its last lines say why; try the start command in a fresh clone."
    if silent:
        otherwise = "It says nothing. Many servers need a setting: look in its README, and set spec.run.env or args."
    return Finding(Reason.HANDSHAKE_FAILED, hints.get(code, otherwise))

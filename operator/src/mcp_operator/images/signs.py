"""What package managers, compilers and Docker write when a build fails, and what that means. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from mcp_operator.images.reasons import Reason


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


class Sign(NamedTuple):
    """What is looked for in the output of a step, and what it means."""

    pattern: re.Pattern[str]
    finding: Finding


def _sign(pattern: str, reason: Reason, hint: str, *, transient: bool = False) -> Sign:
    return Sign(re.compile(pattern, re.MULTILINE), Finding(reason, hint, transient))


_FILE = r"[\w.-]+\.(?:json|ya?ml|toml|ini|pem|key)\b"
"""The name of one that may hold settings."""

# In this order: the first that matches speaks. A group named "it" goes into the hint.
SIGNS = (
    _sign(
        r"removal of container \S+ is already in progress",
        Reason.ENGINE_FAILED,
        "Something removed the step's container while it ran, such as `docker container prune`; it is tried again.",
        transient=True,
    ),
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
        r"ERESOLVE(?! overriding)|No solution found|ResolutionImpossible|ETARGET|E404|notarget"
        r"|was not found in the package registry|No matching distribution"
        r"|ERR_PNPM_(?:NO_MATCHING_VERSION|FETCH_404)|unknown revision"
        r"|reading https?://\S+\.(?:mod|info|zip): 4\d\d ",
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
        r"gyp ERR!|(?:gcc|g\+\+|cc|make|(?P<it>cargo|rustc|cmake))\b['\"]?:? "
        r"(?:command )?(?:not found|failed: No such file)"
        r"|can't find (?P<language>Rust) compiler|No such file or directory: '(?:gcc|cc|make|cmake)'"
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

# Of a server that did not answer, in the same way: what is not in its image...
ABSENT = (
    _sign(
        r"(?i)failed to load (?P<it>[\w-]+) native addon",
        Reason.SYSTEM_PACKAGE_MISSING,
        "The native module {it} cannot be loaded: add the Debian package with the library that it needs{package} to "
        "spec.build.systemPackages.",
    ),
    _sign(
        r"\b(?P<it>lib[\w+-]+\.so[.\d]*): cannot open shared object file",
        Reason.SYSTEM_PACKAGE_MISSING,
        "The library {it} is not in the image: add the Debian package with it{package} to spec.build.systemPackages.",
    ),
    _sign(
        r"\Aexec: \"(?P<it>[^\"\n]+)\": ",
        Reason.HANDSHAKE_FAILED,
        "The image has no program {it} that can be run: correct spec.build.command, or add the Debian package with it "
        "to spec.build.systemPackages.",
    ),
    _sign(
        r"spawn(?:Sync)? (?P<it>[\w.+-]+) ENOENT|No such file or directory: '(?P<program>[\w+-]+)'$"
        r"|exec: \"(?P<file>[\w.+-]+)\": executable file not found",
        Reason.SYSTEM_PACKAGE_MISSING,
        "It runs the program {it}, which is not in the image: add the Debian package with it{package} to "
        "spec.build.systemPackages.",
    ),
    _sign(
        rf"(?i)please (?:place|put|provide|create|download|save|copy)\b[^\n]{{0,60}}?(?P<it>{_FILE})"
        rf"|(?P<file>{_FILE})['\"]? (?:file )?(?:was )?not found"
        rf"|[Nn]o such file or directory(?::|, open) ['\"](?P<name>{_FILE})['\"]",
        Reason.SETTING_MISSING,
        "It wants a file {it}, which only you have: give it with spec.run.files, and use spec.build.verify: false, "
        "as builds get no files.",
    ),
    _sign(
        r"(?i)\bno current-context\b|\b(?:no|invalid|cannot load|failed to load|unable to load) (?:the )?kube-?config\b"
        r"|KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined|Service host/port is not set"
        r"|Invalid kube-config",
        Reason.SETTING_MISSING,
        "It wants a kubeconfig, which only you have: give it with spec.run.files, and use spec.build.verify: false, "
        "as builds get no files. The variable KUBECONFIG says where it is.",
    ),
)
# ... and what stands in its way.
STARTS = (
    _sign(
        r"(?:Read-only file system|EROFS[^'\"\n]*|Permission denied|EACCES[^'\"\n]*):? ['\"](?P<it>/[^'\"\n]+)",
        Reason.HANDSHAKE_FAILED,
        "It writes {it}, and only /tmp is writable: look for a setting that moves its files there.",
    ),
    _sign(
        r"(?i)read-only file system|EROFS|EACCES|unable to open database file",
        Reason.HANDSHAKE_FAILED,
        "It writes where it may not: only /tmp is writable. Look for a setting that moves its files there.",
    ),
    _sign(
        r"(?i)ECONNREFUSED|connection\s+refused|ServerSelectionTimeout|\bfail(?:ed|ure)? (?:to )?connect(?:ing)?\b",
        Reason.HANDSHAKE_FAILED,
        "It waits for something that is not there, such as a database: name what it should reach with spec.run.env. "
        "What builds cannot reach takes spec.build.verify: false.",
    ),
    _sign(
        r"(?i)ENOTFOUND|EAI_AGAIN|getaddrinfo|name or service not known|name resolution|network is unreachable"
        r"|could not (?:load|download|fetch) .{0,80}(?:from|model|file)|max retries exceeded|fetch failed",
        Reason.HANDSHAKE_FAILED,
        "It fetches something from the network before it answers, and did not get it: let what it names be reached, "
        "or give it a setting that does without.",
    ),
)

PACKAGES = {
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
    "libpq.so.5": "libpq5",
    "libmariadb.so.3": "libmariadb3",
    "libGL.so.1": "libgl1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgomp.so.1": "libgomp1",
    "libmagic.so.1": "libmagic1",
    "libsndfile.so": "libsndfile1",
    "libpango-1.0.so.0": "libpango-1.0-0",
    "libcairo.so.2": "libcairo2",
    "libX11.so.6": "libx11-6",
    "libsecret-1.so.0": "libsecret-1-0",
    "libsecret-1": "libsecret-1-dev",
    "keytar": "libsecret-1-0",
    "vips": "libvips-dev",
    "cmake": "cmake",
    "cargo": "cargo",
    "rustc": "rustc",
    "Rust": "cargo",
    "curl": "curl",
    "docker": "docker.io",
    "dot": "graphviz",
    "exiftool": "libimage-exiftool-perl",
    "ffmpeg": "ffmpeg",
    "ffprobe": "ffmpeg",
    "gh": "gh",
    "git": "git",
    "jq": "jq",
    "kubectl": "kubernetes-client",
    "nmap": "nmap",
    "pandoc": "pandoc",
    "pdftotext": "poppler-utils",
    "ping": "iputils-ping",
    "psql": "postgresql-client",
    "rg": "ripgrep",
    "rsync": "rsync",
    "sqlite3": "sqlite3",
    "ssh": "openssh-client",
    "tesseract": "tesseract-ocr",
    "tmux": "tmux",
    "unzip": "unzip",
    "wget": "wget",
}
"""Debian's packages with what native modules and servers miss most, by library, header or program."""

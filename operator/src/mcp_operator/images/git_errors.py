"""What git's stderr means, for a person. Pure; git is always run with ``LC_ALL=C``."""

from __future__ import annotations

import re
from typing import NamedTuple

from mcp_operator.images import redact
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.reasons import Reason


class _Cause(NamedTuple):
    pattern: str
    reason: Reason
    message: str
    hint: str
    transient: bool = False


# In this order: the first that matches speaks. ``{url}`` and ``{ref}`` are filled in.
_CAUSES = (
    _Cause(
        r"[Oo]ut of memory|inflate returned|mmap failed: Cannot allocate",
        Reason.SOURCE_TOO_LARGE,
        "{url} is too large: unpacking it takes more memory than is given",
        "Move the server into a repository of its own, or keep large files out of git.",
    ),
    _Cause(
        r"transport '[^']*' not allowed|protocol '[^']*' is not supported",
        Reason.PROTOCOL_NOT_ALLOWED,
        "the server of {url} leads to a protocol that is not allowed",
        "Use the repository's https:// URL.",
    ),
    _Cause(
        r"[Cc]ould not resolve host(?:name)?|Name or service not known|Temporary failure in name resolution",
        Reason.HOST_UNKNOWN,
        "the host of {url} is not known",
        "Check the host name in spec.source.git.url, and that the operator can resolve it.",
        transient=True,
    ),
    _Cause(
        r"SSL certificate problem|server certificate verification failed|certificate verify failed",
        Reason.CERTIFICATE_UNTRUSTED,
        "the certificate of {url} is not trusted",
        "Give the certificate authority with the operator's setting TOOLMAN_BUILD_CA_FILE.",
    ),
    _Cause(
        r"Host key verification failed|No .* host key is known|REMOTE HOST IDENTIFICATION HAS CHANGED",
        Reason.AUTHENTICATION_REQUIRED,
        "the host key of {url} is not among the known hosts",
        "Give the host's line of `ssh-keyscan HOST` as a known host, after comparing its fingerprint.",
    ),
    _Cause(
        r"Load key .*(?:invalid format|error in libcrypto|incorrect passphrase)|invalid private key",
        Reason.AUTHENTICATION_REQUIRED,
        "the ssh key for {url} cannot be read",
        "Give a private key in OpenSSH's format, without a passphrase.",
    ),
    _Cause(
        r"Permission denied \(|could not read (?:Username|Password)|Authentication failed"
        r"|returned error: 40[13]|terminal prompts disabled|Invalid username or (?:password|token)",
        Reason.AUTHENTICATION_REQUIRED,
        "{url} asks for credentials, or does not accept those given",
        "Check the URL (hosting services answer so for repositories that do not exist, too); for a private repository "
        "give a token for https:// or a key for ssh://, with the right to read it.",
    ),
    _Cause(
        r"couldn't find remote ref HEAD|You appear to have cloned an empty repository",
        Reason.REPOSITORY_EMPTY,
        "{url} has no default branch: it may be empty",
        "Push a commit, or name a branch or tag in spec.source.git.ref.",
    ),
    _Cause(
        r"couldn't find remote ref|not our ref|unadvertised object|Remote branch .* not found|bad object"
        r"|unable to read tree|Needed a single revision|reference is not a tree",
        Reason.REF_NOT_FOUND,
        "{url} has no {ref}",
        "Check spec.source.git.ref: names are case-sensitive.",
    ),
    _Cause(
        r"[Rr]epository .*not found|not valid: is this a git repository|does not appear to be a git repo"
        r"|returned error: 404|returned error: 410",
        Reason.REPOSITORY_NOT_FOUND,
        "there is no git repository at {url}",
        "Check spec.source.git.url: it must be the URL that `git clone` takes.",
    ),
    _Cause(
        r"Connection refused|Failed to connect|Couldn't connect|Operation timed out|Connection timed out"
        r"|No route to host|Network is unreachable|Connection reset|returned error: 5\d\d|returned error: 429"
        r"|unexpected disconnect|early EOF|Operation too slow|Empty reply|Recv failure",
        Reason.HOST_UNREACHABLE,
        "{url} cannot be reached",
        "Check host and port, and that the operator's network may reach it; it is tried again.",
        transient=True,
    ),
    _Cause(
        r"No space left on device",
        Reason.DISK_FULL,
        "the disk for temporary files is full",
        "Free space on the operator's node.",
        transient=True,
    ),
)


def explain(stderr: str, url: str, ref: str) -> BuildError:
    """Turn git's complaint into an error with a cause and a next step; git's own words are in its log tail."""
    said = [text for text in redact.lines(stderr) if not text.startswith("hint:")]
    tail = redact.Tail()
    for text in said:
        tail.add(text)
    for cause in _CAUSES:
        if re.search(cause.pattern, stderr):
            return BuildError(
                cause.reason,
                cause.message.format(url=redact.line(url), ref=ref),
                step=Step.FETCH,
                hint=cause.hint,
                log_tail=str(tail),
                transient=cause.transient,
            )
    last = said[-1] if said else "git gave no reason"
    return BuildError(
        Reason.FETCH_FAILED,
        f"{redact.line(url)} could not be cloned: {last}",
        step=Step.FETCH,
        hint="Try `git clone` with the same URL; it is tried again.",
        log_tail=str(tail),
        transient=True,
    )

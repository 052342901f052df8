"""Find the credentials for a registry: in Docker's configuration, its credential helpers, or a Kubernetes secret."""

from __future__ import annotations

import base64
import binascii
import contextlib
import fnmatch
import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcp_operator.images import redact, reference
from mcp_operator.images.contract import BuildError, RegistryAuth, Step
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

IDENTITY_TOKEN = "<token>"  # noqa: S105 - what helpers say instead of a user name when the password is a token
HELPER_SECONDS = 30
"""For a credential helper, which may ask a cloud or a key ring, but nobody at a keyboard."""

_HUB_KEY = "https://index.docker.io/v1/"
_HUB_HOSTS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_ABSENT = re.compile(r"credentials not found")
_MAX_FILE = 1024 * 1024


def find(repository: str, environ: Mapping[str, str] = os.environ) -> RegistryAuth | None:
    """Find what Docker's configuration has for a repository: ``credHelpers``, ``credsStore``, ``auths``, in this order.

    Args:
        repository: As the engine names it, with or without tag.
        environ: Says where the configuration is, and is passed on to a helper.

    Raises:
        BuildError: The configuration cannot be read, or a helper failed (``RegistryAuthentication``).
    """
    default = Path(environ.get("HOME") or Path.home()) / ".docker"
    path = Path(environ.get("DOCKER_CONFIG") or default) / "config.json"
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _failed(f"Docker's configuration cannot be read: {error.strerror}", f"Check {path}.") from error
    config = _object(data, f"Docker's configuration {path}")
    name = reference.parse(repository)
    helper = _helper(config, name.host)
    found = _ask(helper, _HUB_KEY if name.host == reference.HUB else name.host, environ) if helper else None
    return found or _stored(config, name)


def from_secret(dockerconfigjson: bytes, repository: str) -> RegistryAuth | None:
    """Find what a Kubernetes secret of the type ``kubernetes.io/dockerconfigjson`` has for a repository.

    Its keys may have a path and ``*`` as kubelet understands them. No helper is run: a secret is data of its namespace.

    Args:
        dockerconfigjson: The value of ``.dockerconfigjson``, decoded.
        repository: As the engine names it, with or without tag.

    Raises:
        BuildError: It is no such document (``RegistryAuthentication``).
    """
    return _stored(_object(dockerconfigjson, "the registry secret"), reference.parse(repository))


def identity(auth: RegistryAuth) -> str:
    """Say as whom, for people."""
    return "the holder of an identity token" if auth.username == IDENTITY_TOKEN else redact.line(auth.username)


def _object(data: bytes, what: str) -> dict[str, Any]:
    # The parser's own words may quote what it could not read.
    with contextlib.suppress(ValueError, RecursionError):
        document = json.loads(data)
        if isinstance(document, dict) and isinstance(document.get("auths") or {}, dict):
            return document
    raise _failed(
        f"{what} is not a document of Docker's form",
        'It must look like {"auths": {"registry.example.com": {"auth": ...}}}: `docker login` writes it.',
    )


def _helper(config: Mapping[str, Any], host: str) -> str:
    helpers = config.get("credHelpers")
    for key, helper in helpers.items() if isinstance(helpers, dict) else ():
        if _host(key) == host:
            return str(helper)
    return str(config.get("credsStore") or "")


def _stored(config: Mapping[str, Any], name: reference.Reference) -> RegistryAuth | None:
    """Give the entry of ``auths`` that fits best: the longest path first."""
    matching = [(len(key), auth) for key, auth in _entries(config) if _fits(key, name)]
    return max(matching, key=lambda pair: pair[0])[1] if matching else None


def _entries(config: Mapping[str, Any]) -> Iterator[tuple[str, RegistryAuth]]:
    for key, entry in (config.get("auths") or {}).items():
        if isinstance(entry, dict) and (auth := _entry(entry)):
            yield key, auth


def _entry(entry: Mapping[str, Any]) -> RegistryAuth | None:
    if token := entry.get("identitytoken"):
        return RegistryAuth(username=IDENTITY_TOKEN, password=str(token))
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if packed := entry.get("auth"):
        try:
            text = base64.b64decode(str(packed), validate=True).decode()
        except (binascii.Error, ValueError):
            return None
        username, _, password = text.rstrip("\0").partition(":")
    return RegistryAuth(username=username, password=password) if username and password else None


def _fits(key: str, name: reference.Reference) -> bool:
    host, _, path = re.sub(r"^https?://", "", key).partition("/")
    if path.strip("/") in {"", "v1", "v2"}:
        path = ""
    path = path.strip("/")
    if path and not f"{name.path}/".startswith(f"{path}/"):
        return False
    if _host(host) == name.host:
        return True
    # Label by label, so that *.example.com is not a.b.example.com.
    patterns, labels = host.split("."), name.host.split(".")
    together = zip(patterns, labels, strict=False)
    return len(patterns) == len(labels) and all(fnmatch.fnmatchcase(label, pattern) for pattern, label in together)


def _host(key: str) -> str:
    host = re.sub(r"^https?://", "", key).partition("/")[0]
    return reference.HUB if host in _HUB_HOSTS else host


def _ask(helper: str, server: str, environ: Mapping[str, str]) -> RegistryAuth | None:
    """Run a credential helper: its protocol has the server's name on stdin and the answer on stdout."""
    if not _HELPER.match(helper):
        raise _failed("Docker's configuration names a credential helper that cannot be one", "Correct credsStore.")
    code, answer, said = _run(f"docker-credential-{helper}", server, environ)
    if code:
        if _ABSENT.search(answer):
            return None
        # Only what it wrote to stderr: stdout is where secrets are.
        raise _failed(
            f"the credential helper {helper} failed for {server} ({code}) {redact.line(said)}".rstrip(),
            f"Try `echo {server} | docker-credential-{helper} get`, or run `docker login {server}`.",
        )
    with contextlib.suppress(ValueError, KeyError, TypeError):
        document = json.loads(answer)
        return RegistryAuth(username=str(document["Username"]), password=str(document["Secret"]))
    raise _failed(f"the credential helper {helper} gave no credentials", f"Run `docker login {server}`.")


def _run(program: str, text: str, environ: Mapping[str, str]) -> tuple[int, str, str]:
    pipe = subprocess.PIPE
    try:
        with subprocess.Popen(
            [program, "get"], stdin=pipe, stdout=pipe, stderr=pipe, env=dict(environ), start_new_session=True
        ) as process:
            try:
                out, err = process.communicate(text.encode(), HELPER_SECONDS)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # whatever it started too
    except FileNotFoundError:
        raise _failed(f"{program} is not installed", "Install it, or remove it from Docker's config.json.") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _failed(f"{program} did not answer: {type(error).__name__}", "Run it by hand to see why.") from None
    return process.returncode, out.decode(errors="replace"), err.decode(errors="replace")


def _failed(message: str, hint: str) -> BuildError:
    return BuildError(Reason.REGISTRY_AUTHENTICATION, message, step=Step.PUSH, hint=hint)

"""Credentials for one run of git, as files in a folder of its own: never on a command line, never in a variable."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mcp_operator.images import git_url

if TYPE_CHECKING:
    from pathlib import Path

    from mcp_operator.images.contract import GitCredentials

DEFAULT_USER = "git"
"""Forges take any user name with a token, but none takes an empty one."""

_SSH = ("ssh", "-oBatchMode=yes", "-oStrictHostKeyChecking=yes", "-oConnectTimeout=20")


def check(credentials: GitCredentials | None, protocol: str) -> None:
    """Refuse credentials that do not fit the protocol, before anything is asked.

    Raises:
        BuildError: ``InvalidSource``.
    """
    if credentials is None:
        return
    if any("\n" in text or "\0" in text for text in (credentials.username, credentials.token)):
        raise git_url.invalid("the user name or token has a line break in it", "Give them as they were issued.")
    if protocol == "ssh":
        _check_key(credentials)
    elif not credentials.token:
        raise git_url.invalid(f"an ssh key is given for an {protocol}:// URL", "Give a token, or the ssh:// URL.")


def _check_key(credentials: GitCredentials) -> None:
    if not credentials.ssh_key:
        raise git_url.invalid("a token is given for an ssh:// URL", "Give an ssh key, or use the https:// URL.")
    if not credentials.known_hosts.strip():
        raise git_url.invalid(
            "an ssh key is given, but no known hosts",
            "Give the host's line of `ssh-keyscan HOST`, after comparing its fingerprint.",
        )


def environment(credentials: GitCredentials | None, url: str, home: Path) -> dict[str, str]:
    """Write what git needs into ``home`` and give the variables that name the files.

    Args:
        credentials: What to use; None asks without.
        url: What is really asked. The token is given to its host and to no other, wherever that host redirects to.
        home: Folder that only this user can enter, removed when git has ended.
    """
    if credentials is None:
        return {"GIT_ASKPASS": "true", "GIT_SSH_COMMAND": shlex.join(_SSH)}
    if credentials.ssh_key:
        return {"GIT_ASKPASS": "true", "GIT_SSH_COMMAND": _ssh(credentials, home)}
    _secret(home / "username", credentials.username or DEFAULT_USER)
    _secret(home / "password", credentials.token)
    return {"GIT_ASKPASS": str(_askpass(url, home)), "GIT_SSH_COMMAND": "false"}


def _ssh(credentials: GitCredentials, home: Path) -> str:
    key = _secret(home / "key", _lines(credentials.ssh_key))
    hosts = _secret(home / "known_hosts", _lines(credentials.known_hosts))
    alone = ("-F", os.devnull, "-oIdentitiesOnly=yes", "-oIdentityAgent=none", "-oForwardAgent=no")
    known = (f"-oUserKnownHostsFile={hosts}", f"-oGlobalKnownHostsFile={os.devnull}", "-oUpdateHostKeys=no")
    return shlex.join((*_SSH, *alone, *known, "-i", str(key)))


def _lines(text: str) -> str:
    # What went through a form or a YAML file may have lost its last line end, without which ssh rejects a key.
    return text.replace("\r\n", "\n").rstrip("\n") + "\n"


def _askpass(url: str, home: Path) -> Path:
    """Write the program that git asks; its only argument is git's question, which names scheme, user and host."""
    parts = urlsplit(url)
    scheme, host = parts.scheme, parts.netloc.rpartition("@")[2]
    user = shlex.quote(f"Username for '{scheme}://{host}': ")
    start, end = shlex.quote(f"Password for '{scheme}://"), shlex.quote(f"@{host}': ")
    script = home / "askpass"
    script.write_text(
        "#!/bin/sh\n"
        'case "$1" in\n'
        f"{user}) exec cat {shlex.quote(str(home / 'username'))} ;;\n"
        f"{start}*{end}) exec cat {shlex.quote(str(home / 'password'))} ;;\n"
        "esac\n"
        "exit 1\n",
    )
    script.chmod(0o700)
    return script


def _secret(path: Path, text: str) -> Path:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    return path

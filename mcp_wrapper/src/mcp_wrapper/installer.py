"""``mcp-wrapper install DIRECTORY``: copies the wrapper out of its image, for containers that hold nothing of it.

Beside it goes a folder with a configuration for every MCP client that is known, made from this process's environment,
and one with what names mean in this Pod, for containers that must not share that file with the others.
Runs as an init container, as any user, with a read-only root file system. It may run again while others use the files:
each is replaced in one step, and only if it differs.
"""

from __future__ import annotations

import contextlib
import os
import sys

from mcp_wrapper import client_config, settings
from mcp_wrapper.client_config import SCRIPT
from mcp_wrapper.log import Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDERS = ("lib", "bin")
"""In this order: the script that people start comes last, so that it never starts something that is not there."""
CONFIG_FOLDER = "config"
"""Of the configurations of clients, one file each."""
HERE = "/etc"
NAMES_FOLDER = "etc"
NAMES = ("hosts", "resolv.conf")
"""What names mean: one file each for all containers of a Pod, which root in any of them may write."""
NEEDED = ("bin/busybox", "lib/loader", SCRIPT)
PIECE_BYTES = 1024 * 1024
DIRECTORY_MODE = 0o755
PROGRAM_MODE = 0o755
FILE_MODE = 0o644
MAX_SHEBANG_BYTES = 120
"""Linux reads 127 bytes of the first line, older ones, with the two marks and the shell's name."""
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-")


class InstallError(Exception):
    """It cannot be installed; the text says why."""


def command(arguments: list[str]) -> int:
    """Run the subcommand. Give the exit status."""
    log = Log()
    if len(arguments) != 1 or arguments[0].startswith("-"):
        log.note("usage: mcp-wrapper install DIRECTORY")
        return 2
    try:
        install(sys.prefix, arguments[0], os.environ)
    except (InstallError, settings.UsageError) as error:
        log.note(str(error))
        return 1
    except OSError as error:
        log.note(f"{error.filename or arguments[0]}: {(error.strerror or str(error)).lower()}")
        return 1
    log.note(f"installed {arguments[0]}/{SCRIPT}")
    return 0


def install(source: str, target: str, environ: Mapping[str, str]) -> None:
    """Copy the folder that the interpreter runs from, and write the configurations of clients that start the copy.

    Args:
        source: Folder of an installed wrapper.
        target: Absolute path of an existing folder, under which the wrapper will be started: the script's first line
            names it, since the kernel takes no relative interpreter.
        environ: What the configurations are to say.

    Raises:
        InstallError: Not run from the image, or the target cannot be used.
        mcp_wrapper.settings.UsageError: A variable is wrong.
        OSError: A file cannot be written.
    """
    target = target.rstrip("/")
    if not target.startswith("/") or not frozenset(target) <= _PLAIN or ".." in target.split("/"):
        raise InstallError(f"{target!r} must be an absolute path of letters, digits and ._-/")
    if len(target) > MAX_SHEBANG_BYTES - len("#!/bin/busybox sh"):
        raise InstallError(f"{target!r} is too long for the first line of a script")
    missing = [name for name in NEEDED if not os.path.isfile(f"{source}/{name}")]
    if missing:
        raise InstallError(f"install works in the mcp-wrapper image only: {source}/{missing[0]} does not exist")
    texts = configurations(target, environ)
    for folder in FOLDERS:
        _copy_folder(source, target, folder)
    _make_folder(f"{target}/{CONFIG_FOLDER}")
    for name, text in texts.items():
        _write(f"{target}/{CONFIG_FOLDER}/{name}", text.encode(), FILE_MODE)
    _make_folder(f"{target}/{NAMES_FOLDER}")
    for name in NAMES:
        _write(f"{target}/{NAMES_FOLDER}/{name}", _content(f"{HERE}/{name}"), FILE_MODE)


def configurations(target: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Give the configurations of all clients, by the name of their file.

    Raises:
        mcp_wrapper.settings.UsageError: A variable is wrong.
    """
    env = client_config.variables([], environ)
    start = [f"{target}/{SCRIPT}"]
    return {name: client_config.configuration(client, start, env) for client, name in client_config.FILES.items()}


def script(text: bytes, source: str, target: str) -> bytes:
    """Make the start script of ``target`` from that of ``source``."""
    return text.replace(source.encode(), target.encode())


def _copy_folder(source: str, target: str, folder: str) -> None:
    _make_folder(f"{target}/{folder}")
    with os.scandir(f"{source}/{folder}") as entries:
        found = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    for name, is_folder in found:
        path = f"{folder}/{name}"
        if is_folder:
            _copy_folder(source, target, path)
        elif path != SCRIPT:
            _copy_file(f"{source}/{path}", f"{target}/{path}")
    if folder == os.path.dirname(SCRIPT):
        with open(f"{source}/{SCRIPT}", "rb") as file:
            _write(f"{target}/{SCRIPT}", script(file.read(), source, target), PROGRAM_MODE)


def _make_folder(path: str) -> None:
    try:
        os.mkdir(path, DIRECTORY_MODE)
    except FileExistsError:
        if os.path.islink(path) or not os.path.isdir(path):
            raise InstallError(f"{path} is not a folder: install into an empty volume") from None
        return
    os.chmod(path, DIRECTORY_MODE)  # whatever the umask


def _copy_file(source: str, target: str) -> None:
    with open(source, "rb") as file:
        _write(target, file.read(), PROGRAM_MODE if os.access(source, os.X_OK) else FILE_MODE)


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def _write(target: str, content: bytes, mode: int) -> None:
    if _is_same(target, content, mode):
        return
    folder, _, name = target.rpartition("/")
    new = f"{folder}/.{name}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)  # of an installation that was killed
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view[:PIECE_BYTES]) :]
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)
    os.rename(new, target)


def _is_same(path: str, content: bytes, mode: int) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        return status.st_mode & 0o7777 == mode and status.st_size == len(content) and file.read() == content

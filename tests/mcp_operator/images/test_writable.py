from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest
from mcp_operator import names
from mcp_operator.images import writable
from mcp_operator.images.writable import Link

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requirement("B-15")

HOME = names.SERVER_HOME
PYTHON_FILE = """
  File "/usr/local/lib/python3.12/logging/__init__.py", line 1231, in _open
    return open_func(self.baseFilename, self.mode,
           ^^^^^^^^^
OSError: [Errno 30] Read-only file system: '/app/.venv/lib/python3.12/site-packages/server.log'
"""
PYTHON_FOLDER = """
  File "/app/server.py", line 9, in <module>
    os.makedirs(BASE, exist_ok=True)
  File "<frozen os>", line 227, in makedirs
OSError: [Errno 30] Read-only file system: '/app/media'
"""
NODE_FOLDER = "Error: EROFS: read-only file system, mkdir '/app/build/logs'\n    at Object.mkdirSync (node:fs:1377:3)"
NODE_FILE = "Error: EACCES: permission denied, open '/app/build/memory.json'"


@pytest.mark.parametrize(
    ("text", "link"),
    [
        (PYTHON_FILE, Link("/app/.venv/lib/python3.12/site-packages/server.log", f"{HOME}/server.log")),
        (PYTHON_FOLDER, Link("/app/media", HOME)),
        (NODE_FOLDER, Link("/app/build/logs", HOME)),
        ("Error: ENOENT: no such file or directory, mkdir '/app/a/logs'", Link("/app/a/logs", HOME)),
        (NODE_FILE, Link("/app/build/memory.json", f"{HOME}/memory.json")),
        ("panic: open /app/server.log: read-only file system", Link("/app/server.log", f"{HOME}/server.log")),
        ("panic: mkdir /app/data: permission denied", Link("/app/data", HOME)),
    ],
)
def test_what_a_server_may_not_write_beside_its_files_becomes_a_link(text: str, link: Link) -> None:
    assert writable.refused(text.splitlines())
    assert writable.link(text.splitlines()) == link


@pytest.mark.parametrize(
    "text",
    [
        "PermissionError: [Errno 13] Permission denied: '/etc/shadow'",
        "PermissionError: [Errno 13] Permission denied: '/app/../etc/shadow'",
        "OSError: [Errno 30] Read-only file system: '/app/a b'",
        "OSError: [Errno 30] Read-only file system: 'server.log'",
        "sqlite3.OperationalError: unable to open database file",
    ],
)
def test_what_is_not_among_its_files_or_has_no_plain_name_does_not(text: str) -> None:
    assert writable.refused([text])
    assert writable.link([text]) is None


def test_a_server_that_says_nothing_of_writing_was_refused_nothing() -> None:
    assert not writable.refused(["ModuleNotFoundError: No module named 'x'", "ENOENT: no such file, open 'x'"])


@pytest.mark.parametrize(
    ("command", "installed", "moves"),
    [
        ("/app/.venv/bin/server", True, True),
        ("/app/.venv/bin/python -m server", True, True),
        ("/app/.venv/bin/python -m server", False, False),
        ("/app/.venv/bin/python -c code", False, False),
        ("node /app/dist/index.js --stdio serve", False, True),
        ("fastmcp run /app/server.py", True, True),
        ("node dist/index.js", False, False),
        ("node --import=./hook.mjs /app/index.js", False, False),
        ("./server", False, False),
        ("python server.py", False, False),
    ],
)
def test_a_command_moves_if_it_finds_its_files_from_everywhere(command: str, *, installed: bool, moves: bool) -> None:
    assert writable.moves(command.split(), installed=installed) is moves


def test_links_are_made_by_root_and_nothing_that_is_there_is_replaced(tmp_path: Path) -> None:
    link = Link(f"{tmp_path}/new/logs", f"{tmp_path}")

    before, run, after = writable.lines([link])

    assert (before, after) == ("USER 0:0", f"USER {names.IMAGE_UID}:{names.IMAGE_UID}")
    words = [word.strip(",") for word in shlex.split(run.removeprefix("RUN ").strip("[]"))]
    assert subprocess.run(words, check=False).returncode == 0
    assert (tmp_path / "new/logs").readlink() == tmp_path
    assert subprocess.run(words, check=False, capture_output=True).returncode != 0
    assert writable.lines([]) == []


def test_where_a_server_starts_is_written_only_if_it_is_elsewhere() -> None:
    assert writable.place("") == ""
    assert writable.place(HOME) == f"WORKDIR {HOME}\n"

"""Choose what starts a Python server: a script of the package, a module, or a file."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from mcp_operator.images.detect import hints, usage
from mcp_operator.images.detect.candidate import APP, Problem, Start, join, preferred
from mcp_operator.images.reasons import Reason
from mcp_operator.images.tree import PLAIN_PATH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from mcp_operator.images.detect.python_project import Project
    from mcp_operator.images.tree import Tree

VENV = f"{APP}/.venv"

_SCRIPT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_TARGET = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\s*(?:\[.*\])?\Z")
_PACKAGE = re.compile(r"[A-Za-z_]\w*\Z")
_RUNS = re.compile(r"\.run(?:_\w+)?\s*\(|\brun\s*\(|__name__\s*==|stdio_server\s*\(")
_OBJECT = re.compile(r"\b(?:FastMCP|MCPServer)\s*\(")
_RUN_OBJECT = (
    "import runpy, sys; found = runpy.run_path(sys.argv[1]).values();"
    " next(one for one in found if type(one).__name__ in ('FastMCP', 'MCPServer')).run()"
)
_IMPORTED = re.compile(r"^\s*(?:from|import)[ \t]+(?:\.|(\w+))", re.MULTILINE)
"""Modules that a file imports; nothing for those beside it, with a dot."""
_FILES = ("main.py", "server.py", "app.py", "src/main.py", "src/server.py", "run.py", "mcp_server.py")


def choose(
    tree: Tree,
    folder: str,
    project: Project,
    server_files: Sequence[str],
    dependencies: AbstractSet[str],
) -> Start:
    """Choose the start command of the project in ``folder``.

    Args:
        tree: The repository.
        folder: Of the project.
        project: What its manifests say.
        server_files: Files in which a server is made.
        dependencies: Normalised names of what it depends on.
    """
    name, package = project.name, project.package
    scripts = _scripts(project.scripts)
    if scripts:
        return _script(tree, folder, scripts, name, package=package)
    return (
        _module(tree, folder, name, package=package)
        or _file(tree, folder, server_files, dependencies)
        or Start(
            problem=Problem(
                Reason.NO_START_COMMAND,
                f"{join(folder, 'pyproject.toml')} has no scripts, and there is no __main__.py, main.py or server.py",
                "Add [project.scripts], or set spec.build.command, such as [python, FILE].",
            ),
        )
    )


def _scripts(found: Mapping[str, Any]) -> dict[str, str]:
    """Give name and target of each script; what is not of the usual form was written to confuse and is left out."""
    return {
        name: target
        for name, target in found.items()
        if _SCRIPT.match(name) and isinstance(target, str) and _TARGET.match(target)
    }


def _script(tree: Tree, folder: str, scripts: dict[str, str], project: str, *, package: bool) -> Start:
    told = hints.programs(tree, folder) if len(scripts) > 1 else []
    chosen = preferred(list(scripts), project, ("stdio", "mcp", "server"), told)
    if not chosen and len(set(scripts.values())) == 1:
        chosen = min(scripts)
    if not chosen:
        listed = ", ".join(sorted(scripts)[:8])
        return Start(
            problem=Problem(
                Reason.AMBIGUOUS_START_COMMAND,
                f"there are several scripts ({listed}) and none is named like the project",
                "Set spec.build.command to the right one.",
            ),
        )
    if package:
        return Start(before=(f"{VENV}/bin/{chosen}",), why=f"{chosen} (project.scripts)")
    # Without a build system no script is installed: do what it would do. The project's folder is where it starts.
    match = _TARGET.match(scripts[chosen])
    module, function = (match[1], match[2]) if match else ("", "")
    code = f"import sys; from {module} import {function.partition('.')[0]}; sys.exit({function}())"
    if tree.is_folder(join(folder, "src")) and not tree.is_file(join(folder, "src/__init__.py")):
        code = f"import sys; sys.path.insert(0, 'src'); {code.removeprefix('import sys; ')}"
    return Start(before=(f"{VENV}/bin/python", "-c", code), why=f"{chosen} (project.scripts, {module}:{function})")


def _module(tree: Tree, folder: str, project: str, *, package: bool) -> Start | None:
    found: dict[str, str] = {}
    for prefix in ("src", "."):
        for name in tree.below(join(folder, prefix)):
            path = PurePosixPath(name)
            if (
                path.name == "__main__.py"
                and str(path.parent.parent) == join(folder, prefix)
                and _PACKAGE.match(path.parent.name)
            ):
                found.setdefault(path.parent.name, prefix)
    found.pop("tests", None)
    chosen = preferred(sorted(found), project, ("mcp", "server"))
    if not chosen:
        return None
    if not package and found[chosen] == "src":
        return Start(before=(f"{VENV}/bin/python",), file=f"src/{chosen}/__main__.py", why=f"src/{chosen}/__main__.py")
    return Start(before=(f"{VENV}/bin/python", "-m", chosen), why=f"python -m {chosen} (__main__.py)")


def _file(tree: Tree, folder: str, server_files: Sequence[str], dependencies: AbstractSet[str]) -> Start | None:
    choice = _server_file(tree, folder, [str(PurePosixPath(name).relative_to(folder)) for name in server_files])
    if not PLAIN_PATH.match(choice):
        return None
    text = tree.text(join(folder, choice))
    if _RUNS.search(text):
        return Start(before=(f"{VENV}/bin/python",), file=choice, why=f"{choice} (makes a server)")
    if usage.by_hand(text):
        # It speaks the protocol itself: the SDKs' commands would find nothing in it to run.
        return Start(before=(f"{VENV}/bin/python",), file=choice, why=f"{choice} (makes a server by itself)")
    if not _OBJECT.search(text):
        return None  # a library's part for those who make servers
    # A file that makes a server object and never runs it is made for the SDK's own command.
    if "fastmcp" in dependencies:
        why = f"fastmcp run {choice} (it never runs itself)"
        return Start(before=(f"{VENV}/bin/fastmcp", "run"), file=choice, why=why)
    # `mcp run` would do the same, and wants packages besides that nobody named.
    why = f"the server object of {choice} (it never runs itself)"
    return Start(before=(f"{VENV}/bin/python", "-c", _RUN_OBJECT), file=choice, why=why)


def _server_file(tree: Tree, folder: str, servers: list[str]) -> str:
    """Choose a file: one of the usual names that makes a server, or runs one made elsewhere; else the only one."""
    known = [name for name in _FILES if tree.is_file(join(folder, name))]
    # A new project's main.py greets the world, and stays.
    running = (name for name in known if not servers or _has_others(tree, folder, name))
    choice = next((name for name in known if name in servers), "") or next(running, "")
    if choice:
        return choice
    flat = [name for name in servers if "/" not in name] or servers
    return flat[0] if len(flat) == 1 else ""


def _has_others(tree: Tree, folder: str, file: str) -> bool:
    """Tell whether a file imports others of its project."""
    places = [join(folder, place) for place in (str(PurePosixPath(file).parent), ".", "src")]
    for name in _IMPORTED.findall(tree.text(join(folder, file))):
        there = (join(place, name) for place in places)
        if not name or any(tree.is_folder(path) or tree.is_file(f"{path}.py") for path in there):
            return True
    return False

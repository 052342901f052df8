"""What a repository's own metadata says of how its server is run: a claim that is worth a try, never to be trusted.

In the order of how far they can be believed: ``server.json`` of the MCP registry, ``smithery.yaml``, ``mcp.json``, and
the start commands in the README.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from mcp_operator.images.detect import clients, registry_entry, smithery, variables
from mcp_operator.images.detect.candidate import Hints, join
from mcp_operator.images.detect.own import DOCKERFILE, arguments

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mcp_operator.images.detect.candidate import Candidate, Setting
    from mcp_operator.images.tree import Tree

MAX_SETTINGS = 50
MAX_ARGUMENTS = 20
MAX_WORD = 200
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")
_CONFIGURATIONS = ("mcp.json", ".mcp.json")
_READMES = ("README.md", "readme.md", "Readme.md", "README.rst", "README")
_SUBCOMMAND = re.compile(r"[a-z][a-z0-9-]*\Z")
_PORTS = range(1, 65536)


def gather(tree: Tree, candidate: Candidate) -> tuple[Hints, tuple[str, ...]]:
    """Read the metadata of a server.

    Args:
        tree: The repository.
        candidate: The server; what is not in its folder is looked for in its root.

    Returns:
        What they say together, and a line for each of them.
    """
    found = Hints()
    evidence = []
    for name, hints in _sources(tree, candidate):
        clean = _clean(hints)
        if clean != Hints():
            evidence.append(f"{name}: {_said(clean)}")
            found = _merge(found, clean)
    known = {setting.name for setting in found.env}
    read = tuple(name for name in variables.read(tree, candidate.folder, candidate.runtime) if name not in known)
    return dataclasses.replace(found, read=read), tuple(evidence)


def programs(tree: Tree, folder: str) -> list[str]:
    """Give the programs that a project's own files tell clients to start, the first one named first."""
    files = [name for names in (_CONFIGURATIONS, _READMES) for name in _there(tree, (folder,), names)]
    return [program for name in files for program in clients.programs(tree.text(name))]


def _sources(tree: Tree, candidate: Candidate) -> Iterator[tuple[str, Hints]]:
    folders = tuple(dict.fromkeys((candidate.folder, candidate.root)))
    own = {candidate.name, *(PurePosixPath(word).name for word in candidate.command[:1])}
    for name in _there(tree, folders, ("server.json",)):
        yield name, registry_entry.read(tree.text(name), candidate.runtime)
    for name in _there(tree, folders, ("smithery.yaml", "smithery.yml")):
        yield name, smithery.read(tree.text(name))
    for name in _there(tree, folders, _CONFIGURATIONS):
        yield name, clients.read(tree.text(name))
    for name in _there(tree, folders, (DOCKERFILE,) if candidate.runtime == "go" else ()):
        # The first word is the program, whatever it is called there; what follows it is for ours, too.
        yield name, Hints(args=tuple(filter(_SUBCOMMAND.match, arguments(tree.text(name))[:1])))
    for name in _there(tree, folders, _READMES):
        yield name, clients.read_prose(tree.text(name))
        yield name, clients.read_commands(tree.text(name), own)


def _there(tree: Tree, folders: Iterable[str], names: tuple[str, ...]) -> list[str]:
    paths = (join(folder, name) for folder in folders for name in names)
    return [path for path in paths if tree.is_file(path)][:1]


def _clean(hints: Hints) -> Hints:
    """Leave out what cannot be meant."""
    env = tuple(setting for setting in hints.env if _NAME.match(setting.name))[:MAX_SETTINGS]
    plain = len(hints.args) <= MAX_ARGUMENTS and all(
        word.isprintable() and len(word) <= MAX_WORD for word in hints.args
    )
    return dataclasses.replace(
        hints,
        env=env,
        args=hints.args if plain else (),
        port=hints.port if hints.port in _PORTS else None,
        path=hints.path if hints.path.startswith("/") else "",
    )


def _merge(first: Hints, second: Hints) -> Hints:
    """Believe the first one where both speak."""
    known: dict[str, Setting] = {setting.name: setting for setting in (*second.env, *first.env)}
    env = sorted(known.values(), key=lambda setting: (not setting.required, setting.name))
    serves = first if first.transport or first.port else second
    return Hints(
        transport=serves.transport,
        port=serves.port,
        path=serves.path,
        env=tuple(env[:MAX_SETTINGS]),
        args=first.args or second.args,
    )


def _said(hints: Hints) -> str:
    parts = [f"transport {hints.transport}"] if hints.transport else []
    parts += [f"port {hints.port}"] if hints.port else []
    parts += [f"needs {', '.join(hints.required)}"] if hints.required else []
    optional = len(hints.env) - len(hints.required)
    parts += [f"reads {optional} optional variable{'s' if optional > 1 else ''}"] if optional else []
    parts += [f"arguments {' '.join(hints.args)}"] if hints.args else []
    return "; ".join(parts)

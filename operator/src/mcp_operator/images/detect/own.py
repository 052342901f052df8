"""Read a Dockerfile of the repository's own: what it starts, and whether the engine can build it at all."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from mcp_operator.images.detect.candidate import Candidate, DockerfileFacts, Hints, Problem, Use, join
from mcp_operator.images.reasons import Reason
from mcp_operator.images.tree import PLAIN_PATH

if TYPE_CHECKING:
    from mcp_operator.images.tree import Tree

DOCKERFILE = "Dockerfile"
MAX_BYTES = 256 * 1024

_CACHE = re.compile(r"--mount=type=(?:cache|tmpfs)\S*\s*(?:\\\n\s*)?")
_LINK = re.compile(r"^(\s*(?:COPY|ADD)\s+(?:--(?!link)\S+\s+)*)--link(?:=\w+)?\s+", re.MULTILINE | re.IGNORECASE)
_PLATFORM = re.compile(r"^(\s*FROM\s+)--platform=\$\{?(?:BUILD|TARGET)PLATFORM\}?\s+", re.MULTILINE | re.IGNORECASE)
_BUILDKIT = (
    (re.compile(r"^\s*RUN\s+(?:--\S+\s+)*--mount=", re.MULTILINE | re.IGNORECASE), "RUN --mount"),
    (
        re.compile(r"^\s*(?:COPY|ADD)\s+(?:--\S+\s+)*--(?:chmod|parents|exclude)", re.MULTILINE | re.IGNORECASE),
        "COPY --chmod",
    ),
    (re.compile(r"^\s*(?:RUN|COPY)\s[^\n]*<<-?[\"']?[A-Z]\w*", re.MULTILINE), "a heredoc"),
    (re.compile(r"\$\{?(?:TARGET|BUILD)(?:PLATFORM|OS|ARCH|VARIANT)\b"), "TARGETARCH and the like"),
)
_INSTRUCTION = re.compile(r"([A-Za-z]+)\s+(.*)\Z", re.DOTALL)
_FROM = re.compile(r"(?:--\S+\s+)*(\S+)(?:\s+[Aa][Ss]\s+(\S+))?")
_SHELL = re.compile(r"[$`&|;<>()*?\[\]{}\\\n]")
_MANIFESTS = ("server.json", "Cargo.toml", "build.gradle", "build.gradle.kts", "pom.xml", "Package.swift", "Gemfile")
"""Of the MCP registry, and of languages for which there is no recipe."""
_PROSE = ("README.md", "readme.md")
_MCP = re.compile(r"\bmcp\b|modelcontextprotocol|model context protocol", re.IGNORECASE)


def find(tree: Tree, folder: str, file: str) -> Candidate | None:
    """Examine a Dockerfile of a folder; None if it is not there.

    Args:
        tree: The repository.
        folder: The context of its build.
        file: The Dockerfile, relative to the folder.
    """
    path = join(folder, file)
    text = tree.text(path)
    if not text or len(text) > MAX_BYTES or not PLAIN_PATH.match(path):
        return None
    known = _PLATFORM.sub(r"\1", _LINK.sub(r"\1", _CACHE.sub("", text)))
    stage = _final(known)
    command = stage.command
    problem = _problem(path, known, command)
    said = [f"{path} (Dockerfile)", *([f"starts {shlex.join(command)[:200]}"] if command else [])]
    if known != text:
        said.append("without its cache mounts, links and platforms, which make no difference to the image")
    named, use = _mentions(tree, folder)
    if named:
        said.append(f"{named} speaks of MCP")
    return Candidate(
        runtime="dockerfile",
        folder=folder,
        root=folder,
        name=PurePosixPath(folder).name,
        use=use,
        evidence=tuple(said),
        command=command if not problem else (),
        problem=problem,
        facts=DockerfileFacts(file=path, text=known, working_dir=stage.folder),
        hints=Hints(port=stage.port),
    )


def arguments(text: str) -> tuple[str, ...]:
    """Give what stands behind the program in the command of a Dockerfile."""
    return _final(text).command[1:] if len(text) <= MAX_BYTES else ()


def _mentions(tree: Tree, folder: str) -> tuple[str, Use]:
    """Give the file that speaks of MCP, and what that says: in prose many do who make no server."""
    for names, use in ((_MANIFESTS, Use.SERVER), (_PROSE, Use.DEPENDENCY)):
        for name in names:
            if _MCP.search(tree.text(join(folder, name))):
                return name, use
    return "", Use.NONE


def _problem(path: str, text: str, command: tuple[str, ...]) -> Problem | None:
    for pattern, what in _BUILDKIT:
        if pattern.search(text):
            return Problem(
                Reason.UNSUPPORTED,
                f"{path} uses {what}, which only BuildKit understands",
                "Write it for the classic builder, or let a Dockerfile be generated: runtime node, python or go.",
            )
    if command:
        return None
    return Problem(
        Reason.NO_START_COMMAND,
        f"{path} has neither ENTRYPOINT nor CMD in its last stage",
        "Set spec.build.command to what starts the server.",
    )


@dataclass
class _Stage:
    """What is known at the end of a stage."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    entrypoint_exec: bool = True
    folder: str = ""
    port: int | None = None
    named: dict[str, _Stage] = field(default_factory=dict)

    @property
    def command(self) -> tuple[str, ...]:
        """What is started: behind an entry point in shell form nothing is heard of CMD."""
        return (*self.entrypoint, *self.cmd) if self.entrypoint_exec else self.entrypoint

    def from_image(self, value: str) -> _Stage:
        """Begin a stage: from one before, or from an image of which nothing is known."""
        match = _FROM.match(value)
        before = self.named.get(match[1].lower()) if match else None
        begun = _Stage(named=self.named)
        if before:
            begun.entrypoint, begun.cmd, begun.entrypoint_exec = before.entrypoint, before.cmd, before.entrypoint_exec
            begun.folder, begun.port = before.folder, before.port
        if match and match[2]:
            self.named[match[2].lower()] = begun
        return begun

    def hear(self, instruction: str, value: str) -> None:
        """Take an instruction into account."""
        if instruction == "ENTRYPOINT":
            self.entrypoint, self.entrypoint_exec = _words(value)
            self.cmd = ()
        elif instruction == "CMD":
            self.cmd = _words(value)[0]
        elif instruction == "WORKDIR":
            path = str(PurePosixPath(self.folder or "/") / value.strip().strip("\"'"))
            self.folder = path if PLAIN_PATH.match(path.removeprefix("/")) else ""
        elif instruction == "EXPOSE":
            ports = re.findall(r"\b(\d{1,5})\b", value)
            self.port = int(ports[0]) if ports else self.port


def _final(text: str) -> _Stage:
    stage = _Stage()
    for line in _logical(text):
        match = _INSTRUCTION.match(line)
        if not match:
            continue
        instruction = match[1].upper()
        if instruction == "FROM":
            stage = stage.from_image(match[2])
        else:
            stage.hear(instruction, match[2].strip())
    return stage


def _logical(text: str) -> list[str]:
    """Give the instructions, a line each; comments may stand between the lines of one."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\[ \t]*\n", " ", "\n".join(lines))
    return [line.strip() for line in joined.splitlines() if line.strip()]


def _words(value: str) -> tuple[tuple[str, ...], bool]:
    """Give the words of a command, and whether further words may follow: in shell form they may not."""
    try:
        listed = json.loads(value)
    except (ValueError, RecursionError):
        listed = None
    if isinstance(listed, list) and all(isinstance(word, str) for word in listed):
        return tuple(listed), True
    if not _SHELL.search(value):
        try:
            return tuple(shlex.split(value)), False
        except ValueError:
            return ("/bin/sh", "-c", value), False
    return ("/bin/sh", "-c", value), False

"""What an image is made of, whatever the language: the detectors' facts become this, and this becomes a Dockerfile."""

from __future__ import annotations

from dataclasses import dataclass, field

OWN = "/own"
"""Where a builder stage puts what the next one takes of it, below the folders as they are there."""
MOMENT = "@moment@"
"""In the words of a :class:`Run` with ``dated``: the time of that file, as package managers take it."""


@dataclass(frozen=True)
class Copy:
    """Copy files of the source (all, if none is named) to the same place below ``/app``."""

    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """Run a program: its words, whatever they are, mean themselves.

    Attributes:
        words: Program and arguments.
        folder: Where, relative to ``/app``.
        otherwise: What to run if that fails, and if that fails, and so on. The build log says so.
        dated: File, relative to ``folder``, whose time :data:`MOMENT` stands for. All files have that of the commit,
            and times are no part of Docker's cache: a new commit with the same manifests installs nothing anew.
    """

    words: tuple[str, ...]
    folder: str = "."
    otherwise: tuple[tuple[str, ...], ...] = ()
    dated: str = ""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage that builds: nothing of it is in the image but what is kept.

    Attributes:
        name: Of the stage.
        base: Image it starts from.
        after: Earlier stage that it goes on from, instead; then it has all that one has.
        tools: Run before anything of the source is there: the same for all servers, so cached for all.
        packages: Packages of the base's distribution.
        env: Environment of the stage.
        steps: Copying and installing, in an order in which what changes least comes first.
        keep: What goes into the final stage, to the same place: relative to ``/app``, or absolute; ``.`` is all of it.
            In the order of the stages, so what changes least comes first.
        below: Folder below which it is kept there; its place in the image is the same without.
    """

    name: str = "builder"
    base: str
    after: str = ""
    tools: tuple[Run, ...] = ()
    packages: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    steps: tuple[Copy | Run, ...]
    keep: tuple[str, ...] = (".",)
    below: str = ""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """An image of some building stages and a final one.

    Attributes:
        language: Of the server: decides how it is asked whether it is alive.
        stages: What builds, in order.
        base: Image of the final stage.
        system_packages: Packages of the final stage.
        env: Environment of the server.
        working_dir: Where it starts.
        command: What starts.
    """

    language: str
    stages: tuple[Stage, ...]
    base: str
    system_packages: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    working_dir: str
    command: tuple[str, ...]

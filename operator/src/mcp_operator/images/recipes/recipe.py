"""What an image is made of, whatever the language: the detectors' facts become this, and this becomes a Dockerfile."""

from __future__ import annotations

from dataclasses import dataclass, field


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
        otherwise: What to run if that fails, and if that fails, and so on.
    """

    words: tuple[str, ...]
    folder: str = "."
    otherwise: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A two-stage image.

    Attributes:
        base: Image of both stages.
        tools: Run before anything of the source is there: the same for all servers, so cached for all.
        builder_packages: Debian packages of the builder stage.
        builder_env: Environment of the builder stage.
        steps: Copying and installing, in an order in which what changes least comes first.
        keep: What of ``/app`` goes into the final stage, relative to it; ``.`` is everything.
        system_packages: Debian packages of the final stage.
        env: Environment of the server.
        working_dir: Where it starts.
        command: What starts.
    """

    base: str
    tools: tuple[Run, ...] = ()
    builder_packages: tuple[str, ...] = ()
    builder_env: dict[str, str] = field(default_factory=dict)
    steps: tuple[Copy | Run, ...]
    keep: tuple[str, ...] = (".",)
    system_packages: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    working_dir: str
    command: tuple[str, ...]

"""What an image is made of, whatever the language: the detectors' facts become this, and this becomes a Dockerfile."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field

OWN = "/own"
"""Where a builder stage puts what the next one takes of it, below the folders as they are there."""
MOMENT = "@moment@"
"""In the words of a :class:`Run` with ``dated``: the time of that file, as package managers take it."""
IT = "@it@"
"""In the words of a :class:`Mend`: what is missing."""
NOTHING: tuple[str, ...] = ()
"""The words of a :class:`Run` that is left out."""

AFRESH = "The lock cannot be followed: versions as of the commit."
NEWEST = "The time limit cannot be kept: the newest versions."
"""Why dependencies are not installed in the usual way."""


@dataclass(frozen=True)
class Copy:
    """Copy files of the source (all, if none is named) to the same place below ``/app``."""

    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mend:
    """What lets a command succeed that failed for want of something that its output names.

    Attributes:
        sign: What such an output has, as a regular expression; its group ``it`` is what is missing.
        before: What is run before the command, in which :data:`IT` stands for that.
        why: For people, with :data:`IT`.
    """

    sign: str
    before: tuple[tuple[str, ...], ...]
    why: str

    def commands(self, it: str) -> tuple[tuple[str, ...], ...]:
        """Give what is run before, for what is missing."""
        return tuple(tuple(word.replace(IT, it) for word in words) for words in self.before)


@dataclass(frozen=True)
class Run:
    """Run a program: its words, whatever they are, mean themselves.

    Attributes:
        words: Program and arguments; :data:`NOTHING` does nothing.
        folder: Where, relative to ``/app``; empty if that is all the same.
        otherwise: What to do in another build if it fails, the first that can help; see :func:`instead`.
        dated: File, relative to ``folder``, whose time :data:`MOMENT` stands for. All files have that of the commit,
            and times are no part of Docker's cache: a new commit with the same manifests installs nothing anew.
        before: What is run before, each a step of its own: if one fails, this has failed.
        why: Why it is not done in the usual way, a line each, for people; every other way has some.
        then: For the shell: what the same step goes on with, for each step costs a container.
        doubtful: What it leaves out may be what the server does not start without.
        sign: As another's ``otherwise``: what the output of that has to have for this to be worth a try, as a regular
            expression; empty if anything will do.
    """

    words: tuple[str, ...]
    folder: str = "."
    otherwise: tuple[Run | Mend, ...] = ()
    dated: str = ""
    before: tuple[tuple[str, ...], ...] = ()
    why: tuple[str, ...] = ()
    then: str = ""
    doubtful: bool = False
    sign: str = ""


def instead(failed: Run, output: str) -> Run | None:
    """Give what to do instead of a command that failed, by what it wrote; None if nothing is left."""
    for number, other in enumerate(failed.otherwise):
        if isinstance(other, Run):
            if not re.search(other.sign, output):
                continue
            left = failed.otherwise[number + 1 :]
            same = dataclasses.replace(other, folder=failed.folder, dated=failed.dated, then=failed.then)
            return dataclasses.replace(same, otherwise=left)
        if (match := re.search(other.sign, output)) and (mended := _mended(failed, other, match["it"])):
            return mended
    return None


def _mended(failed: Run, mend: Mend, it: str) -> Run | None:
    """Give the same command with more before it; None if that was tried already."""
    why = mend.why.replace(IT, it)
    if why in failed.why:
        return None
    # Of two ways to mend the same thing the first one failed.
    tried = {words for other in failed.otherwise if isinstance(other, Mend) for words in other.commands(it)}
    kept = tuple(words for words in failed.before if words not in tried)
    return dataclasses.replace(failed, before=kept + mend.commands(it), why=(*failed.why, why))


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

    def with_instead(self, failed: Run, other: Run) -> Recipe:
        """Give the recipe with another command in the place of one that failed."""
        stages = (
            dataclasses.replace(stage, steps=tuple(other if step == failed else step for step in stage.steps))
            for stage in self.stages
        )
        return dataclasses.replace(self, stages=tuple(stages))

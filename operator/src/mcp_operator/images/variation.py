"""What to try next with a server that did not answer: what it asked for, what its files say, a place that it can write.

Pure, but for images with links in them, which somebody else makes.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcp_operator import names
from mcp_operator.images import diagnosis, placeholders, writable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mcp_operator.images.attempt import Failure
    from mcp_operator.images.contract import Trial
    from mcp_operator.images.detect.candidate import Hints
    from mcp_operator.images.handshake import Era
    from mcp_operator.images.verify import Probe
    from mcp_operator.images.writable import Link


_CHOOSES_HTTP = re.compile(r"(?i)\b(?:http|sse)\b")


@dataclass(frozen=True, kw_only=True)
class Variation:
    """How an attempt is made, beyond what the request says.

    Attributes:
        network: With one.
        era: In which the server is spoken with.
        env: Variables with placeholders.
        args: Placeholders behind the request's arguments.
        folder: Where it starts, instead of where its image says.
        links: What its image has besides.
        image: The ID of one that has them.
    """

    network: bool = False
    era: Era = "legacy"
    env: tuple[tuple[str, str], ...] = ()
    args: tuple[str, ...] = ()
    folder: str = ""
    links: tuple[Link, ...] = ()
    image: str = ""

    def __str__(self) -> str:
        parts = [f"{'with' if self.network else 'without'} network"]
        if self.era == "modern":
            parts.append("without initialize")
        if self.env:
            parts.append(f"with a placeholder for {', '.join(name for name, _ in self.env)}")
        if self.args:
            parts.append(f"with the arguments {' '.join(self.args)}")
        if self.folder:
            parts.append(f"in {self.folder}")
        parts += [f"with {link.path} as a link" for link in self.links]
        return ", ".join(parts)


class Variations:
    """What may help one server.

    Args:
        request: What is given anyway.
        hints: What the server's files say.
        probe: Whether it may start elsewhere, and who makes images with links.
    """

    def __init__(self, request: Trial, hints: Hints, probe: Probe) -> None:
        self._request = request
        self._hints = hints
        self._folder = probe.folder
        self._moves = probe.moves
        self._link = probe.link

    def following(self, run: Variation, failure: Failure) -> Iterator[Variation]:
        """Give what may help after a failure, the most likely first."""
        if failure.out_of_memory:
            return
        if failure.code == diagnosis.ANSWERED:
            yield from self._answering(run, failure)
            return
        if failure.cannot_write:
            yield from self._elsewhere(run, failure)
        usual = writable.usual(self._folder)
        if failure.silent and run.links == (usual,):  # it made no difference
            run = dataclasses.replace(run, links=(), image="")
        elif failure.silent and not run.links:
            yield from self._linked(run, usual)
        yield from self._with_more(run, failure)

    def _with_more(self, run: Variation, failure: Failure) -> Iterator[Variation]:
        yield from self._given_otherwise(run, failure)
        asked = placeholders.asked(failure.lines)
        if not self._request.as_asked:
            yield from self._asked(run, asked)
        if failure.wants_network and not run.network:
            yield dataclasses.replace(run, network=True)
        # Only where the server does not say what it wants: what its files say may be more than it needs.
        if asked == placeholders.Asked() and not self._request.as_asked:
            yield from self._hinted(run)
        if not run.network and failure.code not in (0, diagnosis.LISTENS):
            yield dataclasses.replace(run, network=True)

    def _answering(self, run: Variation, failure: Failure) -> Iterator[Variation]:
        if run.era == "legacy":
            yield dataclasses.replace(run, era="modern")
        if not self._request.as_asked:  # some want their settings only when they are asked for tools
            again = dataclasses.replace(run, era="legacy")
            yield from self._asked(again, placeholders.asked([*failure.lines, failure.message]))
            yield from self._hinted(again)

    def _given_otherwise(self, run: Variation, failure: Failure) -> Iterator[Variation]:
        """Give other values for placeholders that are of the wrong kind, or fewer of them."""
        lines, given = failure.lines, dict(run.env)
        rivals = placeholders.rivals(lines, given)
        for chosen in rivals:
            others = (pair for pair in run.env if pair[0] == chosen or pair[0] not in rivals)
            yield dataclasses.replace(run, env=tuple(others))
        for instead in (
            dict.fromkeys(placeholders.numbers(lines, given), placeholders.NUMBER),
            dict.fromkeys(placeholders.databases(lines, given), placeholders.SQLITE),
            placeholders.choices(lines, given),
        ):
            if instead:
                yield dataclasses.replace(run, env=tuple((given | instead).items()))
        if start := placeholders.prefix(lines):
            begun = {name: placeholders.begun(old, start) for name, old in run.env}
            args = tuple(placeholders.begun(word, start) for word in run.args)
            yield dataclasses.replace(run, env=tuple(begun.items()), args=args)
        for words in (placeholders.fitting(lines, run.args), placeholders.joined(run.args)):
            if words and words != run.args:
                yield dataclasses.replace(run, args=words)

    def _elsewhere(self, run: Variation, failure: Failure) -> Iterator[Variation]:
        if self._moves and not run.folder and not run.links:
            yield dataclasses.replace(run, folder=names.SERVER_HOME)
        yield from self._linked(run, writable.link(failure.lines))

    def _linked(self, run: Variation, link: Link | None) -> Iterator[Variation]:
        if self._link and link and len(run.links) < writable.MOST:
            links = (*run.links, link)
            if image := self._link(links):
                yield dataclasses.replace(run, folder="", links=links, image=image)

    def _asked(self, run: Variation, asked: placeholders.Asked) -> Iterator[Variation]:
        if new := self._new(run, asked.env):
            yield dataclasses.replace(run, env=(*run.env, *new))
        if asked.args and not run.args:
            yield dataclasses.replace(run, args=asked.args)

    def _hinted(self, run: Variation) -> Iterator[Variation]:
        required = self._new(run, self._hints.required)
        every = self._new(run, [setting.name for setting in self._hints.env])
        if required:
            yield dataclasses.replace(run, env=(*run.env, *required))
        words = [self._hints.args] if self._hints.args not in ((), run.args) else []
        # Arguments that choose HTTP come last: what answers over stdio is closer at hand.
        if words and not _CHOOSES_HTTP.search(" ".join(words[0])):
            yield dataclasses.replace(run, args=words.pop())
        if every:
            yield dataclasses.replace(run, env=(*run.env, *every))
        if words:
            yield dataclasses.replace(run, args=words.pop())
        if read := self._new(run, self._hints.read):
            yield dataclasses.replace(run, env=(*run.env, *required, *read))

    def _new(self, run: Variation, wanted: Iterable[str]) -> list[tuple[str, str]]:
        """Give variables that are not set yet, with values."""
        given = {setting.name: setting.value for setting in self._hints.env}
        there = {*self._request.env, *dict(run.env)}
        fresh = dict.fromkeys(name for name in wanted if name not in there)
        return [(name, given.get(name) or placeholders.value(name)) for name in fresh]

"""Whose a URI is that no server lists: found by the servers' templates. Pure.

Nothing is tried: what no template matches is nobody's, also where there is one server alone, which would take longer to
say so than toolman takes to deny. What two servers may own is nobody's, too, and so is what may not be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from toolman.core import resources
from toolman.core.verdicts import COLLISION, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from toolman.core.verdicts import Judged
    from toolman.policy import Decision, Layer


class Owner(NamedTuple):
    """Whose a URI is, and whether it may be read."""

    server: str
    verdict: Verdict


class Owners:
    """Finds the server that a URI is read from.

    Args:
        layers: Whose opinions count.
        judged: The servers in sight.
    """

    def __init__(self, layers: Sequence[Layer], judged: Sequence[Judged]) -> None:
        self._layers = layers
        self._judged = judged
        self._templates: dict[str, list[tuple[resources.Template, Verdict]]] = {}

    def find(self, uri: str) -> Owner | None:
        """Find the owner of a URI that is not listed; None if there is none, or none that is sure to be it."""
        if len(uri) > resources.MAX_URI:
            return None
        places = resources.Places(uri)
        claims = [claim for each in self._judged if (claim := self._claim(each, places)) is not None]
        return _choose(claims) if claims else None

    def _claim(self, judged: Judged, uri: resources.Places) -> Owner | None:
        """Tell what becomes of a URI if a template of this server matches it."""
        matching = [verdict for template, verdict in self._templates_of(judged) if template.matches(uri)]
        if not matching:
            return None
        # A template that an allow list does not list is still how one comes to the URIs that it does list.
        denied = next((verdict for verdict in matching if verdict.reason == "Denied"), None)
        return Owner(judged.server, denied) if denied else self._decided(judged.server, uri.text)

    def _decided(self, server: str, uri: str) -> Owner:
        return Owner(server, _verdict(resources.decide_uri(self._layers, server, uri)))

    def _templates_of(self, judged: Judged) -> list[tuple[resources.Template, Verdict]]:
        found = self._templates.get(judged.server)
        if found is None:
            found = self._templates[judged.server] = list(_templates(judged))
        return found


def _templates(judged: Judged) -> Iterator[tuple[resources.Template, Verdict]]:
    room = resources.MAX_TEMPLATES
    for thing in judged.things:
        if thing.kind == "templates":
            room -= len(thing.item.name)
            if room < 0:
                return
            yield resources.Template(thing.item.name), thing.verdict


def _choose(claims: Sequence[Owner]) -> Owner:
    allowed = [claim for claim in claims if claim.verdict.allowed]
    if not allowed:
        return claims[0]
    return allowed[0] if len(allowed) == 1 else allowed[0]._replace(verdict=allowed[0].verdict.against(COLLISION))


def _verdict(decision: Decision) -> Verdict:
    return Verdict(decision.allowed, decision.reason, decision.source, decision.would_deny)

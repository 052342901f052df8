"""Waits until the API server tells of our kinds.

kopf asks which kinds there are when it starts, and later only hears of definitions that change. The API server tells of
a new one a moment after it is established: an operator that starts in that moment would watch nothing, for good.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

from mcp_operator import cluster, names

if TYPE_CHECKING:
    import threading

KINDS: Final = frozenset({names.SERVERS, names.AGENTS, names.POLICIES})
PAUSE: Final = 0.5
"""Seconds between two questions."""

logger = logging.getLogger("mcp_operator")


class Api(Protocol):
    """What is asked."""

    def served(self) -> frozenset[str]:
        """Give the plurals of our kinds that the API server tells of."""


class Definitions:
    """Whether our kinds are served.

    Args:
        api: The API server.
        pause: Seconds between two questions.
    """

    def __init__(self, api: Api, pause: float = PAUSE) -> None:
        self._api = api
        self._pause = pause
        self._missing = ""

    def missing(self) -> str:
        """Say what is waited for, for the readiness probe; empty when nothing is."""
        return self._missing

    def wait(self, stop: threading.Event) -> bool:
        """Wait until all are served; False when told to stop before that."""
        while problem := self._problem():
            if problem != self._missing:
                logger.warning("%s", problem)
            self._missing = problem
            if stop.wait(self._pause):
                return False
        self._missing = ""
        return True

    def _problem(self) -> str:
        try:
            absent = KINDS - self._api.served()
        except cluster.ClusterError as error:
            return f"cannot ask which kinds are served: {error}"
        if not absent:
            return ""
        definitions = ", ".join(f"{plural}.{names.GROUP}" for plural in sorted(absent))
        return f"waiting for the definitions {definitions}: install the chart, or kubectl apply -f deploy/crds/"

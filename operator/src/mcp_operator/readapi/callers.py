"""Who calls, and what the cluster lets him see: TokenReview and SubjectAccessReview, remembered for seconds."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from mcp_operator import names

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from mcp_operator.cluster import Kind

REMEMBERED: Final = 10.0
"""Seconds for which an answer counts: so long a right that was taken away may still work."""
ENTRIES: Final = 4096
"""Answers that are remembered of each sort; the oldest go first."""
TOKEN_LENGTH: Final = 16_384
"""Characters; a longer one is nobody's."""

ValueT = TypeVar("ValueT")


class Reviews(Protocol):
    """What decides."""

    def token_review(self, token: str) -> Mapping[str, Any]:
        """Give the status of a TokenReview.

        Raises:
            cluster.ClusterError: It cannot be told.
        """

    def access_review(self, spec: Mapping[str, Any]) -> bool:
        """Tell whether a SubjectAccessReview allows.

        Raises:
            cluster.ClusterError: It cannot be told.
        """


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Somebody that the cluster knows.

    Attributes:
        username: Of a person or a service account.
        uid: What tells it from an earlier one of the same name.
        groups: In which it is.
        extra: What its authenticator says besides.
    """

    username: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a caller wants to do: ``get`` or ``list`` something of ours; no namespace means all of them."""

    verb: str
    kind: Kind
    namespace: str = ""
    name: str = ""


class Callers:
    """Checks tokens and rights. Thread-safe.

    Args:
        reviews: What decides.
        clock: Seconds that never go back.
    """

    def __init__(self, reviews: Reviews, clock: Callable[[], float]) -> None:
        self._reviews = reviews
        self._known: _Memory[Caller | None] = _Memory(clock)
        self._rights: _Memory[bool] = _Memory(clock)

    def who(self, token: str) -> Caller | None:
        """Give whose token this is; None when it is nobody's.

        Raises:
            cluster.ClusterError: It cannot be told.
        """
        if not token or len(token) > TOKEN_LENGTH:
            return None
        key = hashlib.sha256(token.encode()).digest()  # no token stays in memory for longer than its request
        return self._known.get(key, lambda: _caller(self._reviews.token_review(token)))

    def may(self, caller: Caller, question: Question) -> bool:
        """Tell whether a caller may do something.

        Raises:
            cluster.ClusterError: It cannot be told.
        """
        return self._rights.get((caller, question), lambda: self._reviews.access_review(_access(caller, question)))


class _Memory(Generic[ValueT]):
    """Answers, each for some seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._answers: OrderedDict[Hashable, tuple[float, ValueT]] = OrderedDict()

    def get(self, key: Hashable, ask: Callable[[], ValueT]) -> ValueT:
        """Give the answer to ``key``; ``ask`` when there is none or it is too old."""
        now = self._clock()
        with self._lock:
            found = self._answers.get(key)
        if found is not None and now - found[0] < REMEMBERED:
            return found[1]
        value = ask()
        with self._lock:
            self._answers[key] = (now, value)
            self._answers.move_to_end(key)
            while len(self._answers) > ENTRIES:
                self._answers.popitem(last=False)
        return value


def _caller(status: Mapping[str, Any]) -> Caller | None:
    user = status.get("user") or {}
    if status.get("authenticated") is not True or not user.get("username"):
        return None
    extra = user.get("extra") or {}
    return Caller(
        username=str(user["username"]),
        uid=str(user.get("uid", "")),
        groups=tuple(map(str, user.get("groups") or ())),
        extra=tuple(sorted((str(key), tuple(map(str, values))) for key, values in extra.items())),
    )


def _access(caller: Caller, question: Question) -> dict[str, Any]:
    return {
        "user": caller.username,
        "uid": caller.uid,
        "groups": list(caller.groups),
        "extra": {key: list(values) for key, values in caller.extra},
        "resourceAttributes": {
            "verb": question.verb,
            "group": names.GROUP,
            "version": names.VERSION,
            "resource": question.kind.plural,
            "namespace": question.namespace,
            "name": question.name,
        },
    }

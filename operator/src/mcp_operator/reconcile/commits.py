"""Which commit an MCPServer's source means: asked when the spec changes and now and then, not at every look."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol

from mcp_operator import conditions, names
from mcp_operator.images.contract import BuildError, BuildRequest, GitSource
from mcp_operator.outcomes import Stalled, Waiting
from mcp_operator.reconcile import build_status
from mcp_operator.workqueue import backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcp_operator.models.server import MCPServerSpec
    from mcp_operator.objects import Resource
    from mcp_operator.settings import Settings

INTERVAL: Final = 300.0
"""Seconds after which a branch or tag is looked up again: often enough to follow a branch, kind to a git host."""
RETRY_FIRST: Final = 5.0
"""Seconds until a git host that did not answer is asked again; doubling."""
RECHECK_FIRST: Final = 30.0
"""Seconds until a repository or ref that is not there is asked for again; doubling. Nobody tells us of a push."""
RETRY_CAP: Final = 300.0
"""Seconds at most between two such questions."""
PLACEHOLDER: Final = "placeholder-while-the-image-is-verified"
"""For values from Secrets and ConfigMaps while an image is verified: the operator cannot read Secrets."""


class Resolver(Protocol):
    """What is asked of git."""

    def resolve(self, source: GitSource) -> str:
        """Give the commit that a source means now.

        Raises:
            BuildError: It cannot be told.
        """


@dataclass
class _Answer:
    """``commit`` or ``problem``; ``failures`` counts the problems in a row."""

    generation: int
    expires: datetime
    commit: str = ""
    problem: Stalled | Waiting | None = None
    failures: int = 0


class Commits:
    """The answers, by the server's UID."""

    def __init__(self, resolver: Resolver, clock: Callable[[], datetime]) -> None:
        self._resolver = resolver
        self._clock = clock
        self._answers: dict[str, _Answer] = {}

    def resolve(self, server: Resource[MCPServerSpec], *, busy: bool) -> str:
        """Give the commit of a server's source.

        Args:
            server: Whose source is asked for.
            busy: A build runs: the answer that it was started with stands, whatever is pushed meanwhile.

        Raises:
            Stalled: The URL, the ref or the rights are wrong.
            Waiting: The host does not answer.
        """
        now = self._clock()
        answer = self._answers.get(server.uid)
        if answer is None or answer.generation != server.generation or not (busy or now < answer.expires):
            failures = answer.failures if answer is not None and answer.generation == server.generation else 0
            answer = self._answers[server.uid] = self._ask(server, failures, now)
        if answer.problem is not None:
            delay = max(0.0, (answer.expires - now).total_seconds())
            raise type(answer.problem)(answer.problem.reason, answer.problem.message, delay=delay)
        return answer.commit

    def forget(self, uid: str) -> None:
        """Drop what is known of a server that is gone."""
        self._answers.pop(uid, None)

    def _ask(self, server: Resource[MCPServerSpec], failures: int, now: datetime) -> _Answer:
        try:
            commit = self._resolver.resolve(_source(server))
        except BuildError as error:
            kind, first = (Waiting, RETRY_FIRST) if error.transient else (Stalled, RECHECK_FIRST)
            delay = backoff(failures, first, RETRY_CAP)
            return _Answer(
                generation=server.generation,
                expires=now + timedelta(seconds=delay),
                problem=kind(error.reason, build_status.explain(error), delay=delay),
                failures=failures + 1,
            )
        return _Answer(generation=server.generation, expires=now + timedelta(seconds=INTERVAL), commit=commit)


def request(server: Resource[MCPServerSpec], commit: str, settings: Settings) -> BuildRequest:
    """Say what to build for a server at a commit."""
    spec = server.spec
    source = _source(server)
    return BuildRequest(
        source=GitSource(url=source.url, commit=commit, path=source.path),
        repository=names.repository(settings.registry, settings.repository_prefix, server.namespace, server.name),
        deployment_id=names.deployment_id(server.namespace, server.name, server.uid),
        uid=server.uid,
        installation=settings.installation,
        runtime=spec.build.runtime,
        dockerfile=spec.build.dockerfile,
        system_packages=tuple(spec.build.system_packages),
        command=tuple(spec.build.command),
        args=tuple(spec.run.args),
        env={
            variable.name: PLACEHOLDER if variable.value_from is not None else variable.value or ""
            for variable in spec.run.env
        },
        as_asked=True,
        timeout=spec.build.timeout_seconds,
    )


def _source(server: Resource[MCPServerSpec]) -> GitSource:
    git = server.spec.source.git
    if git is None:
        raise Stalled(conditions.INVALID_SPEC, "spec.source: give exactly one source: git")
    ref = git.ref
    return GitSource(url=git.url, branch=ref.branch, tag=ref.tag, commit=ref.commit, path=git.path)

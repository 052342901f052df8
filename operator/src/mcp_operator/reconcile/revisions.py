"""What a source means now, as a question that can be asked in another thread: one for each kind of source."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from mcp_operator import conditions, names, semver
from mcp_operator.images import reference
from mcp_operator.images.contract import BuildError, GitSource, NpmSource, PypiSource
from mcp_operator.images.reasons import Reason
from mcp_operator.models.base import seconds
from mcp_operator.outcomes import Stalled
from mcp_operator.reconcile import secrets_reader
from mcp_operator.reconcile.lookups import Answer, Question
from mcp_operator.remote import Target
from mcp_operator.status import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mcp_operator.cluster import Cluster
    from mcp_operator.images.contract import RegistryAuth
    from mcp_operator.images.http_probe import Found
    from mcp_operator.models import source as models
    from mcp_operator.models.server import MCPServerSpec
    from mcp_operator.models.source import Source
    from mcp_operator.objects import Resource

    Packages = NpmSource | PypiSource

INTERVAL: Final = 300.0
"""Seconds after which the newest version, a tag's digest or a remote server's tools are looked up again: often enough
to follow them, kind to whoever is asked."""
SHOWN: Final = 5
"""Tags that a message names."""


class Outside(Protocol):
    """Whom the operator asks outside of the cluster. Everything blocks and is bounded."""

    def resolve(self, source: GitSource | NpmSource | PypiSource) -> str:
        """Give the commit or version that a source means now.

        Raises:
            BuildError: It cannot be told.
        """

    def tags(self, source: GitSource) -> Mapping[str, str]:
        """Give the tags of a repository, and the commit of each.

        Raises:
            BuildError: They cannot be told.
        """

    def digest(self, name: str, auth: RegistryAuth | None) -> str | None:
        """Give the digest behind an image's name; None if the registry has no such image.

        Raises:
            BuildError: It cannot be told.
        """

    def greet(self, target: Target) -> Found:
        """Shake hands with a remote server.

        Raises:
            BuildError: It does not answer, is none, or is where none may be.
        """


def question(server: Resource[MCPServerSpec], api: Cluster, outside: Outside, *, inside: bool) -> Question:
    """Ask what a server's source means.

    Args:
        server: Whose source.
        api: Where its Secrets are.
        outside: Whom to ask.
        inside: A remote server may be inside of the cluster.
    """
    source = server.spec.source
    return Question(
        subject=json.dumps([source.model_dump(mode="json"), inside]),
        token=server.annotations.get(names.ANNOTATION_RECONCILE, ""),
        interval=seconds(source.git.interval) if source.git is not None else INTERVAL,
        ask=_asking(source, server.namespace, api, outside, inside=inside),
    )


def _asking(source: Source, namespace: str, api: Cluster, outside: Outside, *, inside: bool) -> Callable[[], Answer]:
    if source.git is not None:
        return partial(_git, source.git, namespace, api, outside)
    if source.npm is not None:
        return partial(_package, NpmSource(package=source.npm.package, version=source.npm.version), outside)
    if source.pypi is not None:
        return partial(_package, PypiSource(package=source.pypi.package, version=source.pypi.version), outside)
    if source.image is not None:
        return partial(_image, source.image, namespace, api, outside)
    if source.remote is not None:
        return partial(_remote, source.remote, namespace, api, outside, inside=inside)
    raise Stalled(conditions.INVALID_SPEC, "spec.source: give exactly one source: git, npm, pypi, image or remote")


def credentials(git: models.GitSource, namespace: str, api: Cluster) -> GitSource:
    """Give a repository with what it takes to read it.

    Raises:
        Problem: Its Secret is missing or does not fit.
    """
    found = None
    if git.secret_ref is not None:
        found = secrets_reader.git(api, namespace, git.secret_ref.name, git.url)
    ref = git.ref
    return GitSource(url=git.url, branch=ref.branch, tag=ref.tag, commit=ref.commit, path=git.path, credentials=found)


def _git(git: models.GitSource, namespace: str, api: Cluster, outside: Outside) -> Answer:
    source = credentials(git, namespace, api)
    try:
        if git.ref.semver is None:
            return Answer(revision=outside.resolve(source), tag=git.ref.tag or "")
        tags = outside.tags(source)
    except BuildError as error:
        if error.reason == Reason.AUTHENTICATION_REQUIRED:
            error.hint = f"{error.hint} {_access(git, namespace)}".strip()
        raise
    try:
        tag = semver.highest(git.ref.semver, tags)
    except semver.RangeError as error:
        raise Stalled(conditions.INVALID_SPEC, f"spec.source.git.ref.semver: {error}") from None
    if tag is None:
        known = sorted((each for each in tags if semver.parse(each)), key=semver.parse)[-SHOWN:]  # type: ignore[arg-type]  # the filter leaves no None
        there = f"the highest are {', '.join(known)}" if known else "no tag of the repository is a version"
        text = f"no tag is in the range {git.ref.semver}; {printable(there)}. Correct spec.source.git.ref.semver."
        raise Stalled(Reason.REF_NOT_FOUND, text, delay=INTERVAL)
    return Answer(revision=tags[tag], tag=tag)


def _access(git: models.GitSource, namespace: str) -> str:
    """Say which Secret was not accepted, or how one is given."""
    if git.secret_ref is not None:
        return f"What was given: {secrets_reader.git_command(namespace, git.secret_ref.name, git.url, is_there=True)}"
    return f"{secrets_reader.git_command(namespace, 'NAME', git.url)}, and spec.source.git.secretRef: {{name: NAME}}"


def _package(source: Packages, outside: Outside) -> Answer:
    return Answer(revision=source.version or outside.resolve(source))


def _image(image: models.ImageSource, namespace: str, api: Cluster, outside: Outside) -> Answer:
    try:
        name = reference.parse(image.reference)
    except ValueError as error:
        raise Stalled(conditions.INVALID_SPEC, f"spec.source.image.reference: {error}") from None
    auth = pull_credentials(image, namespace, api)
    if name.digest:
        return Answer(revision=name.digest, tag=name.tag)
    digest = outside.digest(image.reference, auth)
    if digest is None:
        without = "" if auth else " Where it is private, name a Secret in spec.source.image.pullSecretRef."
        text = f"{name} is not there. Check spec.source.image.reference.{without}"
        raise Stalled(conditions.IMAGE_NOT_FOUND, text, delay=INTERVAL)
    return Answer(revision=digest, tag=name.tag)


def pull_credentials(image: models.ImageSource, namespace: str, api: Cluster) -> RegistryAuth | None:
    """Give what it takes to pull an image; None where anybody can.

    Raises:
        Problem: Its Secret is missing or does not fit.
    """
    if image.pull_secret_ref is None:
        return None
    return secrets_reader.registry(api, namespace, image.pull_secret_ref.name, image.reference)


def _remote(remote: models.RemoteSource, namespace: str, api: Cluster, outside: Outside, *, inside: bool) -> Answer:
    target = Target(
        url=remote.url,
        transport=remote.transport,
        headers=secrets_reader.headers(api, namespace, remote.headers),
        authorities=secrets_reader.authorities(api, namespace, remote.ca_ref) if remote.ca_ref is not None else "",
        inside=inside,
    )
    return Answer(greeting=outside.greet(target), inside=inside)

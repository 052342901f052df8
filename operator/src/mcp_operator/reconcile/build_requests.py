"""From an MCPServer and what its source means now to the request for its image: to be built, or tried out."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from mcp_operator import conditions, names
from mcp_operator.images import existing
from mcp_operator.images.contract import BuildRequest, GitSource, NpmSource, PypiSource
from mcp_operator.images.existing import ImageRequest
from mcp_operator.models.base import seconds
from mcp_operator.outcomes import Stalled
from mcp_operator.reconcile import revisions, run_settings, secrets_reader

if TYPE_CHECKING:
    from mcp_operator.cluster import Cluster
    from mcp_operator.images.contract import Source
    from mcp_operator.jobs import Request
    from mcp_operator.models.server import MCPServerSpec
    from mcp_operator.objects import Resource
    from mcp_operator.reconcile.lookups import Answer
    from mcp_operator.settings import Settings


def request(server: Resource[MCPServerSpec], answer: Answer, settings: Settings) -> Request:
    """Say what to build or to try out, without any credentials: what is made does not depend on them."""
    spec = server.spec
    if spec.source.image is not None:
        return ImageRequest(
            **_trial(server, settings),
            reference=existing.pinned(spec.source.image.reference, answer.revision),
            verify=spec.build.verify == "Handshake",
        )
    build = spec.build
    own = names.repository(settings.registry, settings.repository_prefix, server.namespace, server.name)
    return BuildRequest(
        **_trial(server, settings),
        source=_source(spec, answer),
        repository=build.repository or own,
        deployment_id=names.deployment_id(server.namespace, server.name, server.uid),
        runtime=build.runtime,
        dockerfile=build.dockerfile,
        command=tuple(build.command),
        system_packages=tuple(build.system_packages),
        build_args=dict(build.build_args),
        tags=tuple(build.tags),
        platforms=tuple(build.platforms),
        verify=build.verify == "Handshake",
        push_timeout=seconds(build.push_timeout),
    )


def to_fetch(wanted: Request, server: Resource[MCPServerSpec], api: Cluster) -> Request:
    """Add what it takes to fetch the source, or to pull the image.

    Raises:
        Problem: A Secret is missing or does not fit.
    """
    spec = server.spec
    if isinstance(wanted, ImageRequest):
        image = spec.source.image
        auth = revisions.pull_credentials(image, server.namespace, api) if image is not None else None
        return dataclasses.replace(wanted, auth=auth)
    if spec.source.git is not None and isinstance(wanted.source, GitSource):
        found = revisions.credentials(spec.source.git, server.namespace, api).credentials
        return dataclasses.replace(wanted, source=dataclasses.replace(wanted.source, credentials=found))
    return wanted


def to_push(wanted: Request, server: Resource[MCPServerSpec], api: Cluster) -> Request:
    """Add what it takes to push.

    Raises:
        Problem: A Secret is missing or does not fit.
    """
    spec = server.spec
    if isinstance(wanted, ImageRequest):
        return wanted
    if spec.build.push_secret_ref is not None:
        name = spec.build.push_secret_ref.name
        auth = secrets_reader.registry(api, server.namespace, name, wanted.repository)
        return dataclasses.replace(wanted, auth=auth)
    if spec.build.repository is not None:  # the schema lets none through; never the installation's credentials
        raise Stalled(conditions.INVALID_SPEC, "spec.build.repository needs spec.build.pushSecretRef")
    return wanted


def _trial(server: Resource[MCPServerSpec], settings: Settings) -> dict[str, Any]:
    """Give what building and trying out have in common."""
    run = server.spec.run
    return {
        "uid": server.uid,
        "installation": settings.installation,
        "args": tuple(run.args),
        "env": run_settings.environment(run),
        # Which variables a whole Secret brings is not known: placeholders stand for them.
        "as_asked": not run.env_from,
        "transport": run.transport,
        "port": run.port,
        "path": run.path or "",
        "timeout": seconds(server.spec.build.timeout),
    }


def _source(spec: MCPServerSpec, answer: Answer) -> Source:
    source = spec.source
    if source.git is not None:
        return GitSource(
            url=source.git.url,
            commit=answer.revision,
            path=source.git.path,
            recurse_submodules=source.git.recurse_submodules,
            lfs=source.git.lfs,
        )
    if source.npm is not None:
        return NpmSource(package=source.npm.package, version=answer.revision)
    if source.pypi is not None:
        return PypiSource(package=source.pypi.package, version=answer.revision)
    raise Stalled(conditions.INVALID_SPEC, "spec.source: there is nothing to build")

"""toolman's configuration as the guard of a shared server. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_operator import certificates, names
from mcp_operator.manifests import shared as manifests
from toolman import config, policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from toolman.policy import Layer

    from mcp_operator.manifests.shared import Shared


def guard_config(shared: Shared, callers: Iterable[config.Caller], report_hash: str | None) -> config.Config:
    """Give what the guard of a shared server reads.

    Args:
        shared: The server.
        callers: The Pods that may call it.
        report_hash: Of the token with which the operator asks for reports; None for no reports.
    """
    server = shared.server
    return config.Config(
        listen=config.Listen(
            loopback=False,
            port=names.GUARD_PORT,
            allowed_hosts=names.guard_hosts(server.name, server.namespace),
            tls=config.Certificate(
                certificate=f"{names.GUARD_TLS_PATH}/{certificates.CERTIFICATE}",
                key=f"{names.GUARD_TLS_PATH}/{certificates.KEY}",
            ),
        ),
        admin=config.Admin(
            port=names.ADMIN_PORT,
            token=config.Token(sha256=report_hash) if report_hash is not None else None,
        ),
        naming="plain",
        servers=(
            config.Server(
                name=server.name,
                upstream=_upstream(shared),
                sessions="perSession" if server.spec.run.shared.sessions == "PerSession" else "shared",
                server_requests=tuple(server.spec.run.server_requests),
            ),
        ),
        guard=config.Guard(
            audience=names.guard_audience(server.uid),
            callers=tuple(sorted(callers, key=lambda caller: caller.pod)),
        ),
    )


def about(layers: Sequence[Layer], server: str) -> tuple[Layer, ...]:
    """Give the layers that say something about a server, for that server alone."""
    return tuple(layer for layer in layers if policy.matches(layer.servers, server))


def _upstream(shared: Shared) -> config.Upstream:
    if not shared.is_http:
        return config.Pipes(directory=names.pipes_directory(shared.running.name))
    url = f"http://{manifests.LOOPBACK}:{shared.port}{shared.path}"
    return config.Sse(url=url) if shared.transport == "sse" else config.Http(url=url)

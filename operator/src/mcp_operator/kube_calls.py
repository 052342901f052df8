"""What the areas of the Kubernetes client share: how a request is asked for, and what its answers mean."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

from mcp_operator import cluster

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from mcp_operator.access import Access
    from mcp_operator.cluster import Manifest


class Request(Protocol):
    """Makes one request with a right of :mod:`mcp_operator.access`."""

    def __call__(
        self,
        right: Access,
        namespace: str = "",
        name: str = "",
        *,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
    ) -> Manifest:
        """Give the answer.

        Raises:
            cluster.ClusterError: There is none, or it is not what was asked for.
        """


class Calls:
    """An area of the client.

    Args:
        request: Makes requests.
        namespaces: Those that are served; empty for all.
    """

    def __init__(self, request: Request, namespaces: Collection[str] = ()) -> None:
        self._request = request
        self._namespaces = tuple(namespaces)


@contextlib.contextmanager
def absent_is_none() -> Iterator[None]:
    """Leave the block without a value when the object is not there."""
    with contextlib.suppress(cluster.NotFoundError):
        yield

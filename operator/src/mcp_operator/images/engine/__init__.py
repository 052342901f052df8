"""The one package that talks to Docker. Narrow methods, our own errors, every stream bounded and cancellable."""

from __future__ import annotations

from mcp_operator.images.engine.containers import Containers
from mcp_operator.images.engine.transfers import Transfers
from mcp_operator.images.engine_errors import BuildFailedError
from mcp_operator.images.engine_wire import BuildOptions
from mcp_operator.images.stored import Image

__all__ = ["BuildFailedError", "BuildOptions", "Engine", "Image"]


class Engine(Containers, Transfers):
    """A Docker Engine; closed at the end of the block."""

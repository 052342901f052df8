"""What to try where installing fails for want of a compiler: almost no server needs one, so none is there at first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_operator.images.recipes import bases
from mcp_operator.images.recipes.recipe import Run

if TYPE_CHECKING:
    from collections.abc import Iterable

_DEBIAN = (
    "apt-get update && apt-get install -y --no-install-recommends build-essential python3-dev pkg-config libffi-dev"
    " && rm -rf /var/lib/apt/lists/*"
)
_BUILDING = frozenset(
    {
        "build-essential",
        "gcc",
        "g++",
        "make",
        "cmake",
        "ninja-build",
        "meson",
        "pkg-config",
        "python3-dev",
        "cargo",
        "rustc",
    }
)
"""Packages that nothing needs that runs. Libraries' -dev packages are none of them: they bring the library itself."""
_ALPINE = "apk add --no-cache build-base python3 linux-headers"


def without(packages: Iterable[str]) -> tuple[str, ...]:
    """Give the packages that belong into the image of what was built."""
    return tuple(name for name in packages if name not in _BUILDING)


def first(words: tuple[str, ...], base: str) -> Run:
    """Give a command that finds compilers in the building stage."""
    install = _ALPINE if bases.alpine(base) else _DEBIAN
    return Run(words, before=(("sh", "-c", install),), why=("Something may have to be compiled.",))

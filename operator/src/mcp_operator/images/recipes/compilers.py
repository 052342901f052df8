"""What to try where installing fails for want of a compiler: almost no server needs one, so none is there at first."""

from __future__ import annotations

import shlex

from mcp_operator.images.recipes import bases

_DEBIAN = (
    "apt-get update && apt-get install -y --no-install-recommends build-essential python3 pkg-config"
    " && rm -rf /var/lib/apt/lists/*"
)
_ALPINE = "apk add --no-cache build-base python3 linux-headers"


def first(words: tuple[str, ...], base: str) -> tuple[str, ...]:
    """Give a command that installs compilers into the building stage and then does what ``words`` say."""
    install = _ALPINE if bases.alpine(base) else _DEBIAN
    return ("sh", "-c", f"{install} && {shlex.join(words)}")

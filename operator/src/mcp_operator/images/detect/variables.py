"""Environment variables that sources read and have no default for: what a server needs that says nothing of it."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from mcp_operator.images.detect import usage

if TYPE_CHECKING:
    from mcp_operator.images.tree import Tree

MOST = 10

_WORD = r"[A-Z][A-Z0-9_]{0,127}"
_NAME = rf"[\"'`](?P<name>{_WORD})[\"'`]"
_READS = {
    "python": re.compile(rf"\b(?:os\.)?(?:getenv\(|environ(?:\.get\(|\[))\s*{_NAME}\s*[)\]](?!\s*(?:or\b|[!=]=|=))"),
    "node": re.compile(rf"\bprocess\.env(?:\.(?P<plain>{_WORD})\b|\[{_NAME}\])(?!\s*(?:\|\||\?|[!=]=|=))"),
    "go": re.compile(rf"\bos\.(?:Getenv|LookupEnv)\({_NAME}\)"),
}
"""Not where a default follows, or it is set or compared: a switch that is off unless somebody wants it."""
_LANGUAGES = {"python": usage.PYTHON, "node": usage.NODE, "go": usage.GO}
_TELLING = re.compile(
    r"(?:KEY|TOKEN|SECRET|PASS|PASSWORD|UR[LI]|HOST|ENDPOINT|DSN|CONNECTION_STRING|DATABASE|SERVER|DOMAIN|SITE|INSTANCE"
    r"|_ID|_USER|USERNAME|EMAIL|ACCOUNT|PROJECT|WORKSPACE|TENANT|ORG|ORGANIZATION|REGION)\Z"
)
"""What leads to a service, or into it. Others are for taste, or for the system that it runs on."""
_OTHERS = re.compile(
    r"(?:MCP_|SERVER_|HTTP_|APP_|BIND_)?HOST\Z|[A-Z_]*PROXY|(?:AWS_LAMBDA|KUBERNETES|VERCEL|GITPOD|JENKINS|JEST|OTEL)_"
)
"""Of where it serves, and what its surroundings set themselves."""


def read(tree: Tree, folder: str, runtime: str) -> tuple[str, ...]:
    """Give the names that the sources of a project read, those read most often first."""
    language, pattern = _LANGUAGES.get(runtime), _READS.get(runtime)
    if not language or not pattern:
        return ()
    found: Counter[str] = Counter()
    for name in usage.sources(tree, folder, language):
        for match in pattern.finditer(tree.text(name)):
            found[next(filter(None, match.groupdict().values()))] += 1
    wanted = (name for name, _ in found.most_common() if _TELLING.search(name) and not _OTHERS.match(name))
    return tuple(wanted)[:MOST]

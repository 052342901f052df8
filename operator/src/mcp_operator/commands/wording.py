"""Advice that names fields of a resource, told in options of the command line. Pure."""

from __future__ import annotations

import re

_OPTIONS = {
    "spec.source.git.url": "--git",
    "spec.source.git.ref": "--ref",
    "spec.source.git.path": "--path",
    "spec.build.runtime": "--runtime",
    "spec.build.dockerfile": "--dockerfile",
    "spec.build.command": "--command",
    "spec.build.timeoutSeconds": "--timeout",
    "spec.build.timeout": "--timeout",
    "spec.build.systemPackages": "--system-package",
    "spec.build.verify": "--no-verify",
    "spec.run.args": "--arg",
    "spec.run.env": "--env",
}
_FIELD = re.compile("|".join(re.escape(field) for field in sorted(_OPTIONS, key=len, reverse=True)))


def options(text: str) -> str:
    """Replace fields of the MCPServer resource by the options that mean the same."""
    return _FIELD.sub(lambda match: _OPTIONS[match[0]], text)

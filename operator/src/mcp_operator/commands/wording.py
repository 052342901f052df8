"""Advice that is written for a cluster, told in options of the command line. Pure."""

from __future__ import annotations

import re

_OPTIONS = {
    "spec.source.git.url": "--git",
    "spec.source.git.ref": "--ref",
    "spec.source.git.path": "--path",
    "spec.source.git.recurseSubmodules": "--recurse-submodules",
    "spec.source.git.lfs": "--lfs",
    "spec.build.runtime": "--runtime",
    "spec.build.dockerfile": "--dockerfile",
    "spec.build.command": "--command",
    "spec.build.timeoutSeconds": "--timeout",
    "spec.build.timeout": "--timeout",
    "spec.build.systemPackages": "--system-package",
    "spec.build.verify: false": "--no-verify",
    "spec.build.verify": "--no-verify",
    "spec.run.args": "--arg",
    "spec.run.env": "--env",
}
_PHRASES = {
    "the operator's setting TOOLMAN_REGISTRY": "--repository",
    "the operator's setting ": "the variable ",
    "the operator's network": "this machine's network",
    "the operator's node": "this machine",
    "the operator can": "this machine can",
    "; it is tried again": "",
    "give it with spec.run.files, and ": "",
    "; in a cluster an admin sets registrySecret of the chart, or give spec.build.pushSecretRef": "",
    " In a cluster it is in the Secret of spec.build.pushSecretRef, or of registrySecret of the chart.": "",
}
"""What the operator is in a cluster is this machine here; nobody tries again by himself, and there is no cluster."""
_TOLD = {**_OPTIONS, **_PHRASES}
_WRITTEN = re.compile("|".join(re.escape(text) for text in sorted(_TOLD, key=len, reverse=True)))


def options(text: str) -> str:
    """Replace fields of the MCPServer resource by the options that mean the same, and the operator by this machine."""
    return _WRITTEN.sub(lambda match: _TOLD[match[0]], text)

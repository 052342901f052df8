"""Other bridges from stdio to HTTP: installed once below the lab's cache, in the versions named here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.append(str(HERE.parents[1] / "tests"))

from lab import node_packages, settings  # noqa: E402 - the tests' way to get Node and its packages

PYTHON_PEERS = {
    "PyPI mcp-proxy": ("mcp-proxy==0.13.0",),
    "fastmcp": ("fastmcp==4.1.6",),
}
OVERRIDES = "certifi\n"
"""fastmcp asks for the certifi of the day on which it was published, which not every index has."""
FASTMCP = "from fastmcp.server import create_proxy; create_proxy({url!r}).run(transport='stdio', show_banner=False)"
NAMES = ("npm mcp-remote", "supergateway", *PYTHON_PEERS)


def command(name: str, url: str) -> list[str]:
    """Give the command of a peer, which is installed if it was not.

    Raises:
        LabError: Node or its packages cannot be had.
        subprocess.CalledProcessError: Python's packages cannot be had.
    """
    if name in PYTHON_PEERS:
        programs = _python(name)
        if name == "fastmcp":
            return [str(programs / "python"), "-c", FASTMCP.replace("{url!r}", repr(url))]
        return [str(programs / "mcp-proxy"), "--transport", "streamablehttp", url]
    chosen = settings.from_environment()
    modules = node_packages.install(chosen, HERE / "peers")
    node = str(node_packages.node(chosen))
    if name == "supergateway":
        script = modules / "supergateway" / "dist" / "index.js"
        return [node, str(script), "--streamableHttp", url, "--logLevel", "none"]
    return [node, str(modules / "mcp-remote" / "dist" / "proxy.js"), url, "--allow-http", "--transport", "http-only"]


def _python(name: str) -> Path:
    requirements = PYTHON_PEERS[name]
    folder = settings.from_environment().folder("peers") / "-".join(requirements).replace("==", "-")
    if not (folder / "done").exists():
        overrides = folder.with_suffix(".overrides")
        overrides.write_text(OVERRIDES)
        environ = {**os.environ, "VIRTUAL_ENV": str(folder)}
        subprocess.run(["uv", "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
        subprocess.run(
            ["uv", "pip", "install", "--quiet", "--overrides", str(overrides), *requirements], check=True, env=environ
        )
        (folder / "done").touch()
    return folder / "bin"

"""Build and push one image for several platforms with ``docker buildx``, where it is installed."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

from mcp_operator.images import credentials, process, redact, reference, registry, registry_errors
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mcp_operator.images.budget import Budget
    from mcp_operator.images.contract import RegistryAuth
    from mcp_operator.images.push import Target

PLUGIN = "docker-buildx"
FOLDERS = (
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
)
"""Where Docker itself looks for its plugins."""
_PLATFORM = re.compile(r"linux/[a-z0-9]+(?:/v\d)?\Z")
_PASSED_ON = ("PATH", "HOME", "DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "BUILDX_BUILDER")
_CREATE = "docker buildx create --name several --driver docker-container --use"


def program() -> str:
    """Find buildx; empty if it is not installed."""
    own = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "cli-plugins"
    return shutil.which(PLUGIN) or next(
        (str(path) for path in (Path(folder) / PLUGIN for folder in (own, *FOLDERS)) if os.access(path, os.X_OK)), ""
    )


def check(platforms: Sequence[str]) -> None:
    """See to it that an image can be built for platforms, before anything is built.

    Raises:
        BuildError: ``Unsupported``.
    """
    for platform in platforms:
        if not _PLATFORM.match(platform):
            raise _unsupported(f"{redact.line(platform)!r} is no platform", "Write linux/amd64, linux/arm64.")
    if platforms and not program():
        raise _unsupported(
            f"an image for {', '.join(platforms)} needs docker buildx, which is not installed",
            f"Install the plugin docker-buildx, then `{_CREATE}`; or leave platforms out.",
        )


def build(
    context: IO[bytes],
    dockerfile: str,
    platforms: Sequence[str],
    target: Target,
    budget: Budget,
    hear: Callable[[str], None],
) -> str:
    """Build for all platforms and push; gives the digest of the index, verified in the registry.

    Args:
        context: Tar archive, as for :meth:`~mcp_operator.images.engine.Engine.build`.
        dockerfile: Name of the Dockerfile in it.
        platforms: ``linux/amd64`` each.
        target: Where to push.
        budget: When to stop.
        hear: Gets the lines, once it is done.

    Raises:
        BuildError: With the cause.
        BuildCancelled: As the budget says.
    """
    check(platforms)
    auth = target.auth or credentials.find(target.repository)
    with tempfile.TemporaryDirectory(prefix="toolman-buildx-") as name:
        folder = Path(name)
        with tarfile.open(fileobj=context) as archive:
            archive.extractall(folder / "context", filter="data")
        metadata = folder / "metadata.json"
        argv = [program(), "build", "--progress", "plain", "--push", "--provenance=false"]
        argv += ["--platform", ",".join(platforms), "--file", str(folder / "context" / dockerfile)]
        argv += [word for tag in target.names for word in ("--tag", tag)]
        argv += ["--metadata-file", str(metadata), str(folder / "context")]
        environment = _environment(folder, auth, target.repository)
        done = process.run(argv, env=environment, cwd=folder, budget=budget, step=Step.BUILD)
        lines = redact.lines(done.stderr)
        for line in lines:
            hear(line)
        if done.code:
            raise _failed(lines, target.names[0])
        digest = str(json.loads(metadata.read_text())["containerimage.digest"])
    for one in target.names:
        registry.verify_digest(one, digest, auth, budget, target.access)
    return digest


def _environment(folder: Path, auth: RegistryAuth | None, repository: str) -> dict[str, str]:
    """Give buildx the credentials of this one registry, in a file of its own that goes with the build."""
    config = folder / "docker"
    config.mkdir(mode=0o700)
    if auth:
        host = reference.parse(repository).host
        key = "https://index.docker.io/v1/" if host == reference.HUB else host
        entry = (
            {"identitytoken": auth.password}
            if auth.username == credentials.IDENTITY_TOKEN
            else {"auth": base64.b64encode(f"{auth.username}:{auth.password}".encode()).decode()}
        )
        (config / "config.json").write_text(json.dumps({"auths": {key: entry}}))
    before = os.environ.get("DOCKER_CONFIG") or str(Path.home() / ".docker")
    # Its builders are the user's.
    builders = os.environ.get("BUILDX_CONFIG") or f"{before}/buildx"
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {**passed, "DOCKER_CONFIG": str(config), "BUILDX_CONFIG": builders, "BUILDKIT_PROGRESS": "plain"}


def _failed(lines: Sequence[str], name: str) -> BuildError:
    said = next((line for line in reversed(lines) if "ERROR" in line or "error" in line), "it failed")
    if re.search(r"(?i)multi-platform build is not supported|multiple platforms feature", said):
        return _unsupported("the builder in use builds for one platform only", f"Make another one: `{_CREATE}`.")
    if re.search(r"(?i)no match for platform|exec format error", "\n".join(lines)):
        return _unsupported(
            "a base image, or this machine, does not know one of the platforms",
            "Use base images for all of them, and `docker run --privileged --rm tonistiigi/binfmt --install all`.",
        )
    if re.search(r"(?i)failed to push|unauthorized|failed to do request|x509", said):
        return registry_errors.explain(said, name)
    return BuildError(
        Reason.DOCKER_BUILD_FAILED,
        f"docker buildx failed: {said}",
        step=Step.BUILD,
        hint="The last lines say which platform and instruction; try it for one platform alone.",
        log_tail="\n".join(lines[-20:]),
    )


def _unsupported(message: str, hint: str) -> BuildError:
    return BuildError(Reason.UNSUPPORTED, message, step=Step.BUILD, hint=hint)

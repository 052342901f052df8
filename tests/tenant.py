"""A tenant whose repositories are built on a real engine, and the proof that nothing of a build is left."""

from __future__ import annotations

import dataclasses
import tempfile
import threading
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mcp_operator import names
from mcp_operator.images import cleanup, pipeline
from mcp_operator.images.contract import BuildError, BuildRequest, BuildResult, DirectorySource, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import docker
    from mcp_operator.settings import Settings

SERVER = """\
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    if "id" in asked:
        hello = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "plain"}}
        result = hello if asked["method"] == "initialize" else {"tools": [{"name": "look"}]}
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
"""
"""An MCP server of Python's standard library."""
START = 'ENTRYPOINT ["python3", "-u", "/server.py"]\n'


@dataclass
class Tenant:
    """Builds for one owner, from folders that a test writes.

    Attributes:
        settings: Of the installation.
        engine: A client of the engine besides ours.
        folder: Where to write.
        react: Called with each step and what it does.
    """

    settings: Settings
    engine: docker.DockerClient
    folder: Path
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    steps: list[tuple[Step, str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)
    react: Callable[[Step, str], None] = lambda _step, _detail: None

    def step(self, step: Step, detail: str) -> None:
        """Hear of a step."""
        self.steps.append((step, detail))
        self.react(step, detail)

    def log(self, line: str) -> None:
        """Hear a line."""
        self.lines.append(line)

    def request(self, **more: object) -> BuildRequest:
        """Say what is wanted: the folder, by its own Dockerfile, without a push."""
        request = BuildRequest(
            source=DirectorySource(directory=str(self.folder)),
            repository=f"{self.settings.registry}/tenants/{self.uid[:8]}",
            deployment_id=f"tests-tenant-{self.uid[:8]}",
            uid=self.uid,
            installation="tenants",
            runtime="dockerfile",
            push=False,
        )
        return dataclasses.replace(request, **more)  # type: ignore[arg-type]  # each test names real fields

    def build(self, dockerfile: str, files: Mapping[str, str] | None = None, **more: object) -> BuildResult:
        """Write a Dockerfile, a server and further files, and build them."""
        for name, text in {"Dockerfile": dockerfile, "server.py": SERVER, **(files or {})}.items():
            (self.folder / name).write_text(text)
        return pipeline.build(self.request(**more), self.settings, self, self.cancelled)

    def fail(self, dockerfile: str, files: Mapping[str, str] | None = None, **more: object) -> BuildError:
        """Build what is refused or fails; nothing of it is left."""
        with pytest.raises(BuildError) as caught:
            self.build(dockerfile, files, **more)
        assert caught.value.hint
        self.assert_nothing_left()
        return caught.value

    @property
    def said(self) -> str:
        """All that was heard."""
        return "\n".join([*self.lines, *(detail for _, detail in self.steps)])

    def images(self) -> list[str]:
        """Give the IDs of the owner's images, layers among them."""
        found = self.engine.images.list(all=True, filters={"label": f"{names.LABEL_UID}={self.uid}"})
        return [str(image.id) for image in found]

    def assert_nothing_left(self) -> None:
        """See that there is no image, container or folder of the owner's."""
        label: dict[str, str | list[str] | bool] = {"label": f"{names.LABEL_UID}={self.uid}"}
        assert self.engine.containers.list(all=True, filters=label) == []
        assert self.images() == []
        assert list(Path(tempfile.gettempdir()).glob(f"*{self.uid}*")) == []

    def leave(self) -> None:
        """Take all of it away."""
        cleanup.forget(self.uid)
        self.assert_nothing_left()

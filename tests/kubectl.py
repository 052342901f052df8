"""kubectl as tests use it: bounded, with the cluster under test and never a person's own."""

from __future__ import annotations

import atexit
import json
import subprocess
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 60
"""For one command; waits give their own."""
NO_CONDITIONS = ".status.conditions accessor error"
"""What ``kubectl wait`` says of an object that has none yet, instead of waiting."""


_OWN_CACHE = tempfile.TemporaryDirectory(prefix="kubectl-")
"""What kubectl remembers of the API server, for this run alone: kinds of an earlier one may be gone."""
atexit.register(_OWN_CACHE.cleanup)


class KubectlError(AssertionError):
    """kubectl failed; the text is what it said."""


@dataclass(frozen=True)
class Kubectl:
    """kubectl against one cluster and one namespace. ``cache`` is a folder for what it remembers of the API server."""

    kubeconfig: Path
    namespace: str = "default"
    cache: str = _OWN_CACHE.name

    def __call__(self, *arguments: str, stdin: str | None = None, seconds: float = SECONDS) -> str:
        """Run it and give its standard output.

        Raises:
            KubectlError: It failed or took longer than ``seconds``.
        """
        place = (f"--kubeconfig={self.kubeconfig}", f"--cache-dir={self.cache}", f"--namespace={self.namespace}")
        command = ["kubectl", *place, *arguments]
        try:
            done = subprocess.run(
                command, input=stdin, capture_output=True, text=True, check=False, timeout=seconds, errors="replace"
            )
        except subprocess.TimeoutExpired as error:
            raise KubectlError(f"{' '.join(arguments)}: not done after {seconds} s") from error
        if done.returncode != 0:
            raise KubectlError(f"{' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def apply(self, *documents: dict[str, Any]) -> str:
        """Apply objects, refusing unknown fields."""
        objects = {"apiVersion": "v1", "kind": "List", "items": documents}
        return self("apply", "--validate=strict", "-f", "-", stdin=json.dumps(objects))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """Read one object."""
        found: dict[str, Any] = json.loads(self("get", kind, name, "-o", "json"))
        return found

    def wait(self, kind: str, name: str, condition: str, seconds: float = 120) -> None:
        """Wait for a condition such as ``condition=Ready`` or ``delete``; on failure say what the object looks like."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self("wait", f"--for={condition}", f"{kind}/{name}", f"--timeout={seconds:.0f}s", seconds=seconds + 10)
            except KubectlError as error:
                if NO_CONDITIONS in str(error) and time.monotonic() < deadline:
                    continue
                raise KubectlError(f"{error}\n{self('describe', kind, name)}") from error
            return

    def exec(self, pod: str, container: str, *command: str, seconds: float = SECONDS) -> str:
        """Run a command in a container."""
        return self("exec", pod, "-c", container, "--", *command, seconds=seconds)

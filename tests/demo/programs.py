"""Runs the programs that the demo is made of, in the environment that ``scripts/lab`` gives."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo.console import DemoError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"
QUICK_SECONDS = 60.0
"""For commands that ask something."""
TAIL_LINES = 15


class Programs:
    """Runs programs with one environment.

    Attributes:
        environ: Given to every program; ``scripts/lab env`` adds to it.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self.environ = dict(environ)

    def adopt(self, exports: str) -> None:
        """Take over ``export NAME=VALUE`` lines as a shell would print and read them."""
        for line in exports.splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["export"]:
                for word in words[1:]:
                    name, _, value = word.partition("=")
                    self.environ[name] = value.replace("$PATH", self.environ.get("PATH", ""))
        if kubeconfig := self.environ.get("TOOLMAN_KUBECONFIG"):
            self.environ["KUBECONFIG"] = kubeconfig  # never a person's current context unasked

    def attempt(self, *argv: str, data: str = "", seconds: float = QUICK_SECONDS) -> subprocess.CompletedProcess[str]:
        """Run a program whose failure is an answer; one that is missing exits 127, one that hangs 124."""
        try:
            return subprocess.run(
                argv,
                input=data,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=seconds,
                check=False,
                env=self.environ,
                cwd=ROOT,
            )
        except FileNotFoundError:
            return subprocess.CompletedProcess(argv, 127, "", f"{argv[0]}: not found")
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(argv, 124, "", f"{argv[0]}: not done after {seconds:.0f} s")

    def run(self, *argv: str, data: str = "", seconds: float = QUICK_SECONDS) -> str:
        """Run a program and give its standard output.

        Raises:
            DemoError: It failed; with the end of what it wrote.
        """
        done = self.attempt(*argv, data=data, seconds=seconds)
        if done.returncode:
            lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
            words = " ".join(Path(argv[0]).name if index == 0 else word for index, word in enumerate(argv[:4]))
            raise DemoError(f"{words} failed ({done.returncode})", "\n".join(lines[-TAIL_LINES:]))
        return done.stdout

    def follow(self, *argv: str, hear: Callable[[str], None], seconds: float) -> str:
        """Run a program, pass on each line of its standard error as it comes, and give its standard output.

        Raises:
            DemoError: It failed; what it said has been heard.
        """
        with (
            tempfile.TemporaryFile("w+") as output,
            subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env=self.environ,
                cwd=ROOT,
            ) as process,
        ):
            limit = threading.Timer(seconds, process.kill)
            limit.start()
            try:
                for line in process.stderr or ():
                    hear(line.rstrip())
            finally:
                limit.cancel()
            if process.wait():
                raise DemoError(f"{Path(argv[0]).name} failed ({process.returncode}); it says why above")
            output.seek(0)
            return output.read()

    def show(self, *argv: str, seconds: float) -> None:
        """Run a program whose own progress is for the person at the screen.

        Raises:
            DemoError: It failed; it has said why.
        """
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, timeout=seconds, check=False, env=self.environ)
        except FileNotFoundError:
            raise DemoError(f"{argv[0]} is missing") from None
        except subprocess.TimeoutExpired:
            raise DemoError(f"{Path(argv[0]).name} was not done after {seconds:.0f} s") from None
        if done.returncode:
            raise DemoError(f"{Path(argv[0]).name} failed ({done.returncode}); it says why above")

    def kubectl(self, *arguments: str, data: str = "", seconds: float = QUICK_SECONDS) -> str:
        """Run kubectl; as :meth:`run`."""
        return self.run("kubectl", *arguments, data=data, seconds=seconds)

    def objects(self, namespace: str, kinds: str) -> list[dict[str, Any]]:
        """List the objects of some kinds (comma-separated) in a namespace."""
        listed: dict[str, Any] = json.loads(self.kubectl("get", "-n", namespace, kinds, "-o", "json"))
        return list(listed["items"])

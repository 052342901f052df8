"""One trial: build the server of a repository with nothing set, again unchanged, and again with one line changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from mcp_operator import names

if TYPE_CHECKING:
    from collections.abc import Mapping

BUILD_SECONDS = 900
RECIPE_SECONDS = 900
_COMMENTS = {".ts": "//", ".mts": "//", ".js": "//", ".mjs": "//", ".go": "//", ".py": "#", ".rs": "//"}
_ASIDE = frozenset({"test", "tests", "__tests__", "docs", "examples", "scripts", "node_modules", "e2e"})
_AUTHOR = ("-c", "user.name=trial", "-c", "user.email=trial@example.com", "-c", "commit.gpgsign=false")


@dataclass(frozen=True, kw_only=True)
class Row:
    """What to try.

    Attributes:
        source: A git repository's URL or folder; or ``npm:PACKAGE[@VERSION]``, ``pypi:PACKAGE[==VERSION]``.
        commit: Of git; the newest one if empty.
        path: The server's folder.
        expect: ``works``, ``needs`` (a setting, and the message says which), ``refused`` (before any build) or
            ``offline`` (it cannot work with package registries alone, whatever comes of it).
        why: It is offline: what it needs of the network.
        title: For people, instead of a part of the source.
        recipe: Name of a file in ``recipes/``: a minimal Dockerfile by hand, to compare the size with.
        options: More options of ``mcp-operator build``.
    """

    source: str
    commit: str = ""
    path: str = "."
    expect: str = "works"
    why: str = ""
    recipe: str = ""
    title: str = ""
    options: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For people: the title or the last parts of the source, and the path."""
        short = self.title or "/".join(self.source.removesuffix(".git").rstrip("/").split("/")[-2:])
        return short if self.path == "." else f"{short} {self.path}"


def read(line: str) -> Row:
    """Read a row of the list; keys that are not ours are for others."""
    entry = json.loads(line)
    keys = ("source", "commit", "path", "expect", "why", "title", "recipe")
    return Row(**{key: entry[key] for key in keys if key in entry}, options=tuple(entry.get("options", ())))


@dataclass
class Outcome:
    """What came of it. Sizes are bytes, times seconds; 0 is unknown.

    ``verdict`` is ``answered``, ``refused`` (in the steps Fetch and Detect) or ``failed``.
    """

    name: str
    expect: str
    why: str = ""
    date: str = ""
    verdict: str = "failed"
    language: str = ""
    manager: str = ""
    tools: int = 0
    needs: list[str] = field(default_factory=list)
    reason: str = ""
    message: str = ""
    first: float = 0.0
    unchanged: float = 0.0
    changed: float = 0.0
    size: int = 0
    minimal: int = 0
    warnings: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """It came out as it should."""
        if self.expect == "refused":
            return self.verdict == "refused"
        return (
            self.verdict == "answered"
            or self.expect == "offline"
            or (self.expect == "needs" and self.reason == "SettingMissing")
        )


class Trial:
    """One row, in a folder of its own that is gone afterwards, like its images."""

    def __init__(self, row: Row, folder: Path, identity: str, logs: Path | None, recipes: Path) -> None:
        self._row = row
        self._source = folder / "source"
        self._identity = identity
        self._logs = logs
        self._recipes = recipes

    def run(self, *, rebuild: bool) -> Outcome:
        """Try it.

        Args:
            rebuild: Build again unchanged, and with one line changed, if it worked.
        """
        today = time.strftime("%Y-%m-%d", time.gmtime())
        outcome = Outcome(name=self._row.name, expect=self._row.expect, why=self._row.why, date=today)
        package = _package(self._row)
        if not package and (wrong := self._clone()):
            outcome.message = wrong
            return outcome
        source = package or ("--dir", str(self._source), "--path", self._row.path)
        try:
            _tell(outcome, *self._build(source, "first"))
            if outcome.verdict == "answered" and rebuild:
                self._again(outcome, source, of_files=not package)
            if outcome.verdict == "answered" and self._row.recipe and not package:
                outcome.minimal = self._minimal()
        finally:
            self._clean()
        return outcome

    def _again(self, outcome: Outcome, source: tuple[str, ...], *, of_files: bool) -> None:
        outcome.unchanged = self._build(source, "unchanged")[1]
        if of_files and self._change():
            document, seconds = self._build(source, "changed")
            outcome.changed = seconds if not document["error"] else 0.0

    def _clone(self) -> str:
        """Give what went wrong."""
        for words in (
            ("git", "clone", "--quiet", "--no-checkout", self._row.source, str(self._source)),
            ("git", "-C", str(self._source), "checkout", "--quiet", "--detach", self._row.commit or "HEAD"),
        ):
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode:
                return done.stderr.strip()[-200:]
        return ""

    def _build(self, source: tuple[str, ...], stage: str) -> tuple[dict[str, Any], float]:
        words = (sys.executable, "-m", "mcp_operator", "build", *source, "--output", "json", *self._row.options)
        began = time.monotonic()
        done = subprocess.run(
            (*words, "--deployment-id", self._identity),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=BUILD_SECONDS,
            env={**os.environ, "NO_COLOR": "1"},
        )
        seconds = time.monotonic() - began
        if self._logs:
            name = self._row.name.replace("/", "_").replace(" ", "_").replace(":", "_")
            (self._logs / f"{name}.{stage}.log").write_text(f"{done.stderr}\n{done.stdout}")
        try:
            document: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            document = {"error": {"reason": "NoDocument", "step": "", "message": done.stderr.strip()[-300:]}}
        return document, seconds

    def _change(self) -> bool:
        """Change one line of a source and commit it, as its author would."""
        file = _file_to_change(self._source, self._row.path)
        if file is None:
            return False
        with file.open("a") as text:
            text.write(f"\n{_COMMENTS[file.suffix]} one line more\n")
        words = ("git", "-C", str(self._source), *_AUTHOR, "commit", "--quiet", "--all", "--no-verify", "-m", "a line")
        return subprocess.run(words, capture_output=True, check=False).returncode == 0

    def _minimal(self) -> int:
        """Build the recipe by hand and give its size."""
        text = (self._recipes / self._row.recipe).read_text()
        for name in ("node", "python", "debian"):
            text = text.replace(f"{{{name}}}", os.environ.get(f"TOOLMAN_BASE_{name.upper()}", f"{name}:slim"))
        text = text.replace("{path}", self._row.path)
        (self._source / "Dockerfile.minimal").write_text(text)
        (self._source / ".dockerignore").write_text(".git\n")
        words = ("docker", "build", "--quiet", "--force-rm", "--label", f"{names.LABEL_DEPLOYMENT}={self._identity}")
        done = subprocess.run(
            (*words, "-f", str(self._source / "Dockerfile.minimal"), str(self._source)),
            capture_output=True,
            text=True,
            check=False,
            timeout=RECIPE_SECONDS,
            env={**os.environ, "DOCKER_BUILDKIT": "0"},
        )
        if done.returncode:
            print(f"  by hand: {done.stderr.strip()[-300:]}", file=sys.stderr)
            return 0
        return int(_docker("image", "inspect", "--format", "{{.Size}}", done.stdout.strip().split("\n")[-1]) or 0)

    def _clean(self) -> None:
        """Remove this trial's images; layers that other builds share with it stay."""
        for _ in range(100):
            found = _docker(
                "images",
                "--all",
                "--quiet",
                "--no-trunc",
                "--filter",
                f"label={names.LABEL_DEPLOYMENT}={self._identity}",
            )
            left = list(dict.fromkeys(found.split()))
            if not left:
                return
            _docker("image", "rm", "--force", *left)
        print(f"  images of {self._identity} are left", file=sys.stderr)


def _package(row: Row) -> tuple[str, ...]:
    kind, colon, name = row.source.partition(":")
    return (f"--{kind}", name) if colon and kind in ("npm", "pypi") else ()


def _file_to_change(source: Path, path: str) -> Path | None:
    """Choose a source file near the top: of the sort of which there is most."""
    tracked = subprocess.run(
        ("git", "-C", str(source), "ls-files", "-z", "--", path), capture_output=True, text=True, check=True
    ).stdout.split("\0")
    files = [name for name in tracked if PurePosixPath(name).suffix in _COMMENTS and _is_source(PurePosixPath(name))]
    if not files:
        return None
    suffixes = [PurePosixPath(name).suffix for name in files]
    most = max(sorted(set(suffixes)), key=suffixes.count)
    fitting = [name for name in files if name.endswith(most)]
    return source / min(fitting, key=lambda name: (len(PurePosixPath(name).parts), name))


def _is_source(name: PurePosixPath) -> bool:
    aside = _ASIDE & set(name.parts)
    return not (aside or name.name.count(".") > 1 or name.name in ("setup.py", "conftest.py"))


def _tell(outcome: Outcome, document: Mapping[str, Any], seconds: float) -> None:
    outcome.first = seconds
    if error := document["error"]:
        outcome.verdict = "refused" if error["step"] in ("Fetch", "Detect") else "failed"
        outcome.reason, outcome.message = error["reason"], f"{error['message']} - {error.get('hint', '')}"
        return
    runtime, manifest = document["runtime"], document["manifest"]
    outcome.verdict = "answered"
    outcome.language = runtime["language"]
    outcome.manager = next((line for line in runtime["evidence"] if line.startswith("packages ")), "")
    outcome.tools = len(manifest["tools"])
    outcome.needs = [*manifest["needs"]["env"], *manifest["needs"]["args"]]
    outcome.size = document["image"]["size"]
    outcome.warnings = document["warnings"]


def _docker(*words: str) -> str:
    return subprocess.run(("docker", *words), capture_output=True, text=True, check=False).stdout.strip()

"""Claude Code, Codex and Gemini CLI, with the configurations that ``mcp-wrapper config`` prints, call through toolman.

Only the models are stand-ins; the clients are what people install.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import ports
import pytest
from lab import node_packages, settings
from toolman_harness import Toolman
from wrapper_harness import SOURCE

from clients import models

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.integration, pytest.mark.requirement("W-08")]

HERE = Path(__file__).parent
SERVER = [sys.executable, "-I", "-S", str(HERE / "server.py")]
CLIENT_SECONDS = 120
WORD = "xylophone"
CODEX_MODEL = """
model = "stand-in"
model_provider = "stand-in"
[model_providers.stand-in]
name = "stand-in"
base_url = "{url}/v1"
wire_api = "responses"
requires_openai_auth = false
"""
GEMINI_SETTINGS = {"security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}}}


@pytest.fixture(scope="module", name="modules")
def fixture_modules() -> Path:
    """Install the clients, once a machine; give the folder of their packages."""
    return node_packages.install(settings.from_environment(), HERE)


@pytest.fixture(name="toolman_url")
def fixture_toolman_url(tmp_path: Path) -> Iterator[str]:
    """Run toolman with one tool visible; the wrapper waits until it is up."""
    port = ports.free()
    toolman = Toolman(tmp_path / "toolman", ["run", "--port", str(port), "--allow", "repeat", "--", *SERVER])
    yield f"http://127.0.0.1:{port}/mcp"
    assert toolman.end() == 0


class Client:
    """One client in a home of its own."""

    def __init__(self, modules: Path, home: Path, **environment: str) -> None:
        home.mkdir()
        self.home = home
        node = node_packages.node(settings.from_environment()).parent
        path = os.pathsep.join([str(node), str(modules / ".bin"), os.environ["PATH"]])
        self.environment = {"PATH": path, "HOME": str(home), **environment}

    def run(self, *words: str) -> str:
        """Run it to its end, and give what it printed."""
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            check=False,
            timeout=CLIENT_SECONDS,
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout


def printed(client: str, url: str) -> str:
    """Give what ``mcp-wrapper config`` prints."""
    command = [sys.executable, "-I", "-S", str(SOURCE), "config", client, "--url", url]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=CLIENT_SECONDS, env={}).stdout


def test_claude_code_connects_and_calls(modules: Path, toolman_url: str, tmp_path: Path) -> None:
    quiet = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"}
    file = tmp_path / "claude.json"
    file.write_text(printed("claude", toolman_url))
    model = models.Models("repeat", {"word": WORD})
    with models.serving(model) as url:
        client = Client(modules, tmp_path / "home", ANTHROPIC_BASE_URL=url, ANTHROPIC_API_KEY="none", **quiet)
        entry = json.loads(file.read_text())["mcpServers"]["toolman"]
        # What the package's installation script would put in place of its command; the script is not run.
        claude = ("node", str(modules / "@anthropic-ai" / "claude-code" / "cli-wrapper.cjs"))
        client.run(*claude, "mcp", "add-json", "--scope", "user", "toolman", json.dumps(entry))
        assert "Connected" in client.run(*claude, "mcp", "list")
        words = ("--mcp-config", str(file), "--strict-mcp-config", "--allowedTools", "mcp__toolman")
        assert models.DONE in client.run(*claude, "-p", "hello", *words, "--output-format", "json")
    assert f"heard {WORD}" in model.results[-1]


def test_codex_calls(modules: Path, toolman_url: str, tmp_path: Path) -> None:
    model = models.Models("repeat", {"word": WORD})
    with models.serving(model) as url:
        client = Client(modules, tmp_path / "home")
        text = CODEX_MODEL.format(url=url) + printed("codex", toolman_url)
        assert tomllib.loads(text)["mcp_servers"]
        (client.home / ".codex").mkdir()
        (client.home / ".codex" / "config.toml").write_text(text)
        approve = 'mcp_servers.toolman.default_tools_approval_mode="approve"'
        assert models.DONE in client.run("codex", "exec", "--skip-git-repo-check", "-c", approve, "hello")
    assert f"heard {WORD}" in model.results[-1]


def test_gemini_cli_connects_and_calls(modules: Path, toolman_url: str, tmp_path: Path) -> None:
    model = models.Models("repeat", {"word": WORD})
    with models.serving(model) as url:
        client = Client(modules, tmp_path / "home", GOOGLE_GEMINI_BASE_URL=url, GEMINI_API_KEY="none")
        (client.home / ".gemini").mkdir()
        text = json.dumps(GEMINI_SETTINGS | json.loads(printed("gemini", toolman_url)))
        (client.home / ".gemini" / "settings.json").write_text(text)
        assert models.DONE in client.run("gemini", "-p", "hello", "--yolo")
    assert f"heard {WORD}" in model.results[-1]

"""``mcp-wrapper config``: every client's own format, the command that was used, and nothing that would not arrive."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from mcp_wrapper.client_config import ConfigError, configuration, variables
from wrapper_harness import BOUND, SOURCE

from mcp_wrapper import client_config, environment

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requirement("W-08")

START = ["/mcp/bin/mcp-wrapper"]
ENV = {"MCP_TOOLMAN_SERVER_URL": "http://127.0.0.1:3000/mcp", "MCP_TOOLMAN_UID": "2000000999"}


def run(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-S", str(SOURCE), "config", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=BOUND,
        env=environ,
        stdin=subprocess.DEVNULL,
    )


def entry(client: str, text: str) -> dict[str, Any]:
    """Give what a client reads about its server, and see that it is told of no other."""
    parsed = tomllib.loads(text) if client == "codex" else json.loads(text)
    key = {"codex": "mcp_servers", "vscode": "servers", "zed": "context_servers"}.get(client, "mcpServers")
    assert list(parsed) == [key]
    assert list(parsed[key]) == ["toolman"]
    found: dict[str, Any] = parsed[key]["toolman"]
    return found


@pytest.mark.parametrize("client", client_config.FILES)
def test_every_client_is_told_command_arguments_and_variables_where_it_looks_for_them(client: str) -> None:
    found = entry(client, configuration(client, [*START, "a b", 'q"\\'], ENV))
    assert (found["command"], found["args"], found["env"]) == (START[0], ["a b", 'q"\\'], ENV)


@pytest.mark.parametrize(
    ("client", "more"),
    [
        ("claude", {"type": "stdio"}),
        ("codex", {"startup_timeout_sec": 60}),
        ("gemini", {}),
        ("vscode", {"type": "stdio"}),
        ("cursor", {"type": "stdio"}),
        ("zed", {"source": "custom"}),
    ],
)
def test_what_only_one_client_wants_to_know(client: str, more: dict[str, object]) -> None:
    found = entry(client, configuration(client, START, {}))
    assert {key: value for key, value in found.items() if key not in {"command", "args", "env"}} == more


def test_codex_waits_longer_for_the_wrapper_than_the_wrapper_for_toolman() -> None:
    waiting = variables([], {"MCP_WRAPPER_CONNECT_TIMEOUT": "120.5"})
    assert entry("codex", configuration("codex", START, waiting))["startup_timeout_sec"] == 150


def test_defaults_are_not_spelled_out() -> None:
    environ = {
        "MCP_TOOLMAN_SERVER_URL": environment.DEFAULT_URL,
        "MCP_WRAPPER_TIMEOUT": "0",
        "MCP_WRAPPER_CONNECT_TIMEOUT": "30",
        "MCP_WRAPPER_DEBUG": "no",
        "MCP_WRAPPER_TOKEN_FILE": "",
        "HOME": "/home/me",
        "SSL_CERT_FILE": "/etc/ours.pem",
    }
    assert variables([], environ) == {}


def test_whatever_was_chosen_is_spelled_out_since_a_client_may_drop_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {
        "MCP_TOOLMAN_SERVER_URL": "https://127.0.0.1:8443/mcp",
        "MCP_WRAPPER_TIMEOUT": "2.5",
        "MCP_WRAPPER_CONNECT_TIMEOUT": "5",
        "MCP_WRAPPER_DEBUG": "yes",
        "MCP_WRAPPER_TOKEN_FILE": "token",
        "MCP_TOOLMAN_UID": "1234",
        "SSL_CERT_FILE": "ours.pem",
    }
    assert variables([], environ) == {
        **environ,
        "MCP_WRAPPER_DEBUG": "1",
        "MCP_WRAPPER_TOKEN_FILE": str(tmp_path / "token"),
        "SSL_CERT_FILE": str(tmp_path / "ours.pem"),
    }


def test_flags_go_before_variables() -> None:
    environ = {"MCP_TOOLMAN_SERVER_URL": "http://a/mcp", "MCP_WRAPPER_TIMEOUT": "1"}
    chosen = variables(["--url", "http://b/mcp", "--timeout=9", "--debug"], environ)
    assert chosen == {
        "MCP_TOOLMAN_SERVER_URL": "http://b/mcp",
        "MCP_WRAPPER_TIMEOUT": "9",
        "MCP_WRAPPER_DEBUG": "1",
    }


@pytest.mark.parametrize("value", ["/a$HOME/x", "/a/${env:HOME}", "/new\nline", "/surrogate\udcff", "/\x7f"])
def test_what_a_client_would_read_differently_is_refused(value: str) -> None:
    for client in client_config.FILES:
        with pytest.raises(ConfigError):
            configuration(client, [value], {})
        with pytest.raises(ConfigError):
            configuration(client, START, {"MCP_WRAPPER_TOKEN_FILE": value})


@pytest.mark.parametrize("client", client_config.FILES)
def test_the_configuration_is_all_that_is_printed(client: str) -> None:
    done = run(client)
    assert (done.returncode, done.stderr) == (0, "")
    found = entry(client, done.stdout)
    assert [found["command"], *found["args"]] == [sys.executable, "-I", "-S", str(SOURCE)]


@pytest.mark.parametrize("words", [(), ("emacs",), ("claude", "--nonsense"), ("claude", "--timeout", "soon")])
def test_a_wrong_word_is_one_line_and_status_2(words: tuple[str, ...]) -> None:
    done = run(*words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("words", [(), ("emacs",)])
def test_who_names_no_known_client_is_told_them_all(words: tuple[str, ...]) -> None:
    assert all(client in run(*words).stderr for client in client_config.FILES)


def test_help_is_printed() -> None:
    assert "usage: mcp-wrapper" in run("--help").stdout
    assert "usage: mcp-wrapper" in run("claude", "--help").stdout


def test_the_printed_command_starts_the_wrapper() -> None:
    found = entry("claude", run("claude").stdout)
    done = subprocess.run(
        [found["command"], *found["args"], "--version"],
        capture_output=True,
        text=True,
        check=False,
        timeout=BOUND,
        env={},
    )
    assert (done.returncode, done.stdout) == (0, "mcp-wrapper 0.1.0\n")


def test_an_installed_script_is_named_itself(tmp_path: Path) -> None:
    script = tmp_path / "mcp-wrapper"
    program = f"import sys; sys.path.insert(0, {str(SOURCE.parent)!r})\nfrom mcp_wrapper.__main__ import main; main()\n"
    script.write_text(f"#!{sys.executable}\n{program}")
    script.chmod(0o755)
    done = subprocess.run(
        ["./mcp-wrapper", "config", "claude"],
        capture_output=True,
        text=True,
        check=False,
        timeout=BOUND,
        cwd=tmp_path,
        env={},
    )
    found = entry("claude", done.stdout)
    assert (found["command"], found["args"]) == (str(script), [])

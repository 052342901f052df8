from __future__ import annotations

import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import ports
import pytest
from toolman_harness import SCRIPTED, until

from toolman import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from toolman_harness import Starter

pytestmark = [pytest.mark.requirement("F-07"), pytest.mark.requirement("T-34")]


def toolman(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "toolman", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment or None)


def test_it_says_its_version() -> None:
    assert toolman("--version").stdout == f"toolman {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "COMMAND"),
        (["nonsense"], "invalid choice: 'nonsense'"),
        (["serve"], "--config"),
        (["serve", "--config", "/no/such/file"], "/no/such/file: No such file or directory"),
        (["run"], "give either --url, or a command behind --"),
        (["run", "--url", "http://127.0.0.1:1/mcp", "--", "x"], "give either --url, or a command behind --"),
        (["run", "--url", "nonsense"], "servers[0].upstream.url must be http"),
        (["run", "--url", "http://x/mcp", "--header-file", "Authorization"], "is not NAME=FILE"),
        (["probe"], "give either --url, or a command behind --"),
        (["probe", "--timeout", "-1", "--", "true"], "is not a number of seconds"),
        (["suggest", "--audit", "/no/such/file"], "/no/such/file: No such file or directory"),
        (["run", "--port", "0", "--", "x"], "'0' is not a port"),
        (["run", "--name", "Not OK", "--", "true"], "$.servers[0].name"),
        (["run", "--", "no-such-program"], "no-such-program: no such program"),
        (["await", "--config", "/no/such/file"], "No such file"),
        (["check", "--config", "/no/such/file"], "No such file"),
    ],
)
def test_bad_usage_is_one_clear_line_and_status_2(arguments: list[str], text: str) -> None:
    done = toolman(*arguments)
    assert done.returncode == 2
    assert text in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_wrong_log_level_is_bad_usage() -> None:
    done = toolman("run", "--", "true", TOOLMAN_LOG_LEVEL="LOUD")
    assert (done.returncode, "TOOLMAN_LOG_LEVEL must be one of" in done.stderr) == (2, True)


def test_without_the_extra_it_says_which_to_install() -> None:
    hide = "import sys; sys.modules['uvloop'] = None; from toolman.__main__ import main; main(['run', '--', 'true'])"
    done = subprocess.run([sys.executable, "-c", hide], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr == "toolman: serving needs more packages: pip install 'mcp-operator-toolman[server]'\n"


@pytest.mark.parametrize("module", ["config", "policy", "naming"])
@pytest.mark.requirement("F-01")
def test_the_base_needs_msgspec_alone(module: str) -> None:
    servers = "'asyncio', 'starlette', 'uvicorn', 'uvloop'"
    look = f"import sys, toolman.{module}; print([m for m in ({servers}) if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_it_does_not_start_when_somebody_else_has_one_of_the_addresses(host: str) -> None:
    port = ports.free()
    with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
        done = toolman("run", "--port", str(port), "--", *SCRIPTED)
    assert done.returncode == 1
    assert f"cannot listen on {host} port {port}: Address already in use" in done.stderr


def test_it_binds_the_loopback_addresses_alone(starter: Starter) -> None:
    _, client = starter.run()
    port = client.http.base_url.port or 0
    with socket.create_server(("127.0.0.2", port)):
        pass


def test_a_port_given_on_the_command_line_holds_over_a_change_of_the_file(starter: Starter) -> None:
    port, path = ports.free(), starter.folder / "toolman.json"
    path.write_text("{}")
    running = starter.start("serve", "--config", str(path), "--port", str(port))
    running.said(f"listening at http://127.0.0.1:{port}/mcp")
    assert starter.client(port).initialize().tools() == []
    path.write_text('{"naming":"plain"}')
    running.said("has changed and is in force")
    assert "until toolman is restarted" not in running.log


def test_the_probes_say_nothing_about_tools_and_servers(starter: Starter) -> None:
    port = ports.free()
    server = {"name": "git", "upstream": {"kind": "process", "command": ["/no/such/program"]}}
    running, _, _ = starter.serve({"admin": {"host": "127.0.0.1", "port": port}, "servers": [server]})
    for path in ("/livez", "/readyz"):
        response = httpx.get(f"http://127.0.0.1:{port}{path}")
        assert (response.status_code, response.text) == (200, "ok\n")
    assert httpx.get(f"http://127.0.0.1:{port}/mcp").status_code == 404
    assert running.end() == 0


def test_open_streams_do_not_delay_the_end(starter: Starter) -> None:
    running, client = starter.run()
    with client.events() as events:
        assert running.end() == 0
        assert list(events) == []


def test_a_configuration_can_be_checked_without_serving(tmp_path: Path) -> None:
    servers = [
        {"name": "git", "upstream": {"kind": "process", "command": SCRIPTED, "env": {"SERVER_TOOLS": "b,a,\x1b[2J"}}},
        {"name": "far", "upstream": {"kind": "pipes", "directory": "/run/mcp/far"}},
    ]
    path = tmp_path / "toolman.json"
    layers = [{"source": "ToolPolicy/base", "tools": {"deny": ["a"]}}]
    path.write_text(json.dumps({"servers": servers, "layers": layers}))
    done = toolman("check", "--config", str(path))
    assert done.returncode == 1
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["SERVER", "TOOL", "NAME", "VISIBLE", "REASON", "LAYER", "WOULD", "DENY"]
    assert lines[1] == ["git", "b", "git__b", "yes", "Allowed"]
    assert lines[2] == ["git", "a", "git__a", "no", "Denied", "ToolPolicy/base"]
    assert "\x1b" not in done.stdout
    assert done.stdout.splitlines()[-1] == "server 'far': not started: it runs in a Pod"
    report = json.loads(toolman("check", "--config", str(path), "--output", "json").stdout)
    assert report["entries"][1]["reason"] == "Denied"
    assert set(report["problems"]) == {"far"}


def test_checking_says_why_a_server_does_not_start(tmp_path: Path) -> None:
    path = tmp_path / "toolman.json"
    server = {"name": "git", "upstream": {"kind": "process", "command": ["false"]}}
    path.write_text(json.dumps({"servers": [server]}))
    done = toolman("check", "--config", str(path))
    assert done.returncode == 1
    assert "server 'git': it stopped (exit code 1) while starting" in done.stdout


def test_a_server_can_be_probed(tmp_path: Path) -> None:
    done = toolman("probe", "--", *SCRIPTED)
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0)
    found = json.loads(done.stdout)
    assert found["protocol"] == {"era": "legacy", "version": "2025-11-25", "transport": "process"}
    assert found["tools"][0].keys() == {"name", "hash", "tokens"}
    assert found["tools"][0]["hash"].startswith("sha256:")
    pinned = {"manifest": [{"name": tool["name"], "hash": tool["hash"]} for tool in found["tools"]]}
    server = {"name": "x", "upstream": {"kind": "process", "command": SCRIPTED}} | pinned
    path = tmp_path / "toolman.json"
    path.write_text(json.dumps({"servers": [server], "layers": [{"source": "all"}]}))
    report = json.loads(toolman("check", "--config", str(path), "--output", "json").stdout)
    assert [entry["allowed"] for entry in report["entries"]] == [True] * len(found["tools"])


@pytest.mark.parametrize("command", [["false"], ["sleep", "60"]])
def test_probing_what_is_no_server_says_so(command: list[str]) -> None:
    done = toolman("probe", "--timeout", "1", "--", *command)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("toolman: ")
    assert "Traceback" not in done.stderr


def test_a_running_toolman_can_be_reached_as_a_server_by_its_url(starter: Starter) -> None:
    _, client = starter.run()
    done = toolman("probe", "--url", f"{client.http.base_url}/mcp".replace("//mcp", "/mcp"))
    assert json.loads(done.stdout)["protocol"] == {"era": "modern", "version": "2026-07-28", "transport": "http"}


@pytest.mark.requirement("T-15")
def test_an_allow_list_is_suggested_from_the_audit_log_and_never_used_tools_are_named(starter: Starter) -> None:
    server = {"name": "git", "upstream": {"kind": "process", "command": SCRIPTED, "env": {"SERVER_TOOLS": "echo,more"}}}
    running, client, path = starter.serve({"servers": [server], "layers": [{"source": "all"}]})
    client.initialize().call("git__echo")
    assert running.end() == 0
    done = toolman("suggest", "--audit", str(running.audit_file), "--config", str(path))
    assert done.returncode == 0
    assert "- echo # 1 calls" in done.stdout
    assert "# never called: more" in done.stdout


def test_awaiting_ends_when_all_required_tools_are_visible(starter: Starter) -> None:
    port = ports.free()
    server = {"name": "git", "upstream": {"kind": "process", "command": SCRIPTED}}
    config = {"listen": {"port": port}, "servers": [server], "layers": [{"source": "x", "tools": {"deny": ["state"]}}]}
    path = starter.folder / "toolman.json"
    path.write_text(json.dumps(config))
    waiting = starter.start("await", "--config", str(path), "--require", "git/echo", "--require", "git/state")
    until(lambda: "waiting for toolman" in waiting.audit_file.read_text())
    starter.start("serve", "--config", str(path))
    missing = "waiting for tools that are not there yet or not allowed: git/state\n"
    until(lambda: missing in waiting.audit_file.read_text())
    assert waiting.process.poll() is None
    path.write_text(json.dumps(config | {"layers": [{"source": "x"}]}))
    assert waiting.process.wait(20) == 0
    assert waiting.audit_file.read_text().endswith("tools are visible\n")


def test_awaiting_nothing_in_particular_waits_for_toolman_alone(starter: Starter) -> None:
    _, _, path = starter.serve({"servers": []})
    done = toolman("await", "--config", str(path))
    assert (done.returncode, done.stdout) == (0, "ready: 0 tools are visible\n")


@pytest.mark.parametrize(("name", "text"), [("nope/x", "there is no server 'nope'"), ("git", "is not SERVER/TOOL")])
def test_what_can_never_be_there_is_not_awaited(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / "toolman.json"
    path.write_text(json.dumps({"servers": [{"name": "git", "upstream": {"kind": "process", "command": ["x"]}}]}))
    done = toolman("await", "--config", str(path), "--require", name)
    assert done.returncode == 2
    assert text in done.stderr


def test_awaiting_can_be_ended(starter: Starter, tmp_path: Path) -> None:
    path = tmp_path / "toolman.json"
    path.write_text(json.dumps({"listen": {"port": ports.free()}}))
    waiting = starter.start("await", "--config", str(path))
    until(waiting.audit_file.read_text)
    assert waiting.end() == 143

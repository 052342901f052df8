from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from toolman_harness import SCRIPTED, until

if TYPE_CHECKING:
    from pathlib import Path

    from toolman_harness import Starter

pytestmark = pytest.mark.requirement("F-07")

SERVER = {"name": "git", "upstream": {"kind": "process", "command": SCRIPTED}}


def layer(*allow: str) -> dict[str, Any]:
    return {"source": "MCPAgent/dev", "tools": {"allow": list(allow)}}


def change(path: Path, **changes: object) -> None:
    """Replace the file the way people's editors do."""
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(json.loads(path.read_text()) | changes))
    beside.replace(path)


def test_a_policy_change_reaches_a_connected_agent_without_touching_session_or_server(starter: Starter) -> None:
    toolman, client, path = starter.serve({"servers": [SERVER], "layers": [layer("echo", "state")]})
    assert client.tools() == ["git__echo", "git__state"]
    pid = client.ask("git__state")["pid"]
    with client.events() as events:
        change(path, layers=[layer("state")])
        assert next(events)["method"] == "notifications/tools/list_changed"
    assert client.tools() == ["git__state"]
    assert client.request("tools/call", {"name": "git__echo"})["error"]["message"] == "Unknown tool: git__echo"
    assert client.ask("git__state")["pid"] == pid
    assert toolman.log.count("MCP 2025-11-25") == 1


def test_a_file_that_cannot_be_used_keeps_the_old_configuration_and_says_why(starter: Starter) -> None:
    toolman, client, path = starter.serve({"servers": [SERVER], "layers": [layer("echo")]})
    assert client.tools() == ["git__echo"]
    change(path, layers=[{"source": "x", "tool": {}}])
    toolman.said("the one before stays in force")
    assert "unknown field `tool` - at `$.layers[0]`" in toolman.log
    assert client.tools() == ["git__echo"]
    change(path, layers=[layer("state")])
    until(lambda: client.tools() == ["git__state"])


def test_a_file_that_is_gone_keeps_the_old_configuration(starter: Starter) -> None:
    toolman, client, path = starter.serve({"servers": [SERVER], "layers": [layer("echo")]})
    path.unlink()
    toolman.said("the one before stays in force")
    assert client.tools() == ["git__echo"]


def test_a_swapped_config_map_volume_is_noticed(starter: Starter, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    for name in ("..1", "..2"):
        (volume / name).mkdir(parents=True)
    (volume / "..data").symlink_to("..1")
    path = starter.folder / "toolman.json"
    path.symlink_to(volume / "..data" / "toolman.json")
    _, client, path = starter.serve({"servers": [SERVER], "layers": [layer("echo")]})
    assert client.tools() == ["git__echo"]
    text = json.loads(path.read_text()) | {"layers": [layer("state")]}
    (volume / "..2" / "toolman.json").write_text(json.dumps(text))
    (volume / "..tmp").symlink_to("..2")
    (volume / "..tmp").rename(volume / "..data")
    until(lambda: client.tools() == ["git__state"])


def test_servers_come_and_go_without_touching_the_others(starter: Starter) -> None:
    other = {"name": "other", "upstream": {"kind": "process", "command": SCRIPTED}}
    toolman, client, path = starter.serve({"servers": [SERVER], "layers": [layer("state")]})
    pid = client.ask("git__state")["pid"]
    change(path, servers=[SERVER, other])
    until(lambda: client.tools() == ["git__state", "other__state"])
    assert client.ask("git__state")["pid"] == pid
    other_pid = client.ask("other__state")["pid"]
    change(path, servers=[other])
    until(lambda: client.tools() == ["other__state"])
    assert client.ask("other__state")["pid"] == other_pid
    assert toolman.log.count("MCP 2025-11-25") == 2


def test_a_server_whose_settings_change_is_started_anew(starter: Starter) -> None:
    _, client, path = starter.serve({"servers": [SERVER], "layers": [layer("state")]})
    assert client.ask("git__state")["arguments"] == []
    changed = {"name": "git", "upstream": {"kind": "process", "command": [*SCRIPTED, "new"]}}
    change(path, servers=[changed])
    until(lambda: client.tools() and client.ask("git__state")["arguments"] == ["new"])


def test_naming_changes_at_once(starter: Starter) -> None:
    _, client, path = starter.serve({"servers": [SERVER], "layers": [layer("echo")]})
    assert client.tools() == ["git__echo"]
    change(path, naming="plain")
    until(lambda: client.tools() == ["echo"])
    assert client.call("echo")


def test_a_changed_port_is_said_to_need_a_restart(starter: Starter) -> None:
    toolman, client, path = starter.serve({"servers": [SERVER], "layers": [layer("echo")]})
    listen = json.loads(path.read_text())["listen"] | {"port": 1}
    change(path, listen=listen, layers=[layer("state")])
    toolman.said("until toolman is restarted")
    until(lambda: client.tools() == ["git__state"])


def test_two_tools_that_would_get_one_name_are_both_hidden_and_reported(starter: Starter) -> None:
    other = {"name": "other", "upstream": {"kind": "process", "command": SCRIPTED}}
    layers = [layer("echo", "state")]
    toolman, client, path = starter.serve({"naming": "plain", "servers": [SERVER, other], "layers": layers})
    assert client.tools() == []
    toolman.said("more than one tool would be called echo, state")
    assert client.request("tools/call", {"name": "echo"})["error"]["message"] == "Unknown tool: echo"
    assert until(toolman.audit)[-1]["reason"] == "Collision"
    only = {"source": "ToolPolicy/base", "servers": ["other"], "tools": {"deny": ["echo"]}}
    change(path, layers=[*layers, only])
    until(lambda: client.tools() == ["echo"])

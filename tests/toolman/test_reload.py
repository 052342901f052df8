from __future__ import annotations

import asyncio
import json
import os
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from toolman.config import Config, ConfigError
from toolman_harness import LIMIT, SCRIPTED, until

from toolman import configfile, reload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from toolman_harness import Starter

pytestmark = [pytest.mark.requirement("F-07"), pytest.mark.requirement("T-14")]

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
    assert "unknown field `tool` at layers[0].tool: did you mean `tools`?" in toolman.log
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

    def arguments() -> object:
        answer = client.request("tools/call", {"name": "git__state"})  # an error while neither of the two is running
        return "result" in answer and json.loads(answer["result"]["content"][0]["text"])["arguments"]

    until(lambda: arguments() == ["new"])


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


class Watch:
    """A watcher whose words are kept."""

    def __init__(self, path: Path, refused: str = "") -> None:
        self.path = path
        self.results: asyncio.Queue[tuple[bool, str]] = asyncio.Queue()
        self.applied: list[Config] = []
        self._refused = refused

    def apply(self, found: Config) -> None:
        if found.naming == self._refused:
            raise ConfigError("nothing can be made of it")
        self.applied.append(found)

    async def result(self) -> tuple[bool, str]:
        async with asyncio.timeout(LIMIT):
            return await self.results.get()


@asynccontextmanager
async def watching(path: Path, loaded: Config, refused: str = "") -> AsyncIterator[Watch]:
    watch = Watch(path, refused)
    task = asyncio.create_task(
        reload.watch(path, loaded, watch.apply, lambda is_used, problem: watch.results.put_nowait((is_used, problem)))
    )
    yield watch
    task.cancel()


async def test_each_change_of_the_file_has_a_result(tmp_path: Path) -> None:
    path = tmp_path / "toolman.json"
    path.write_text("{}")
    async with watching(path, Config()) as watch:
        change(path, naming="plain")
        assert await watch.result() == (True, "")
        change(path, nonsense=1)
        is_used, problem = await watch.result()
        assert not is_used
        assert "nonsense" in problem
        path.write_text('{"naming": "plain"}')
        assert await watch.result() == (True, "")
        assert [found.naming for found in watch.applied] == ["plain"]


async def test_what_cannot_be_put_in_force_is_tried_again_with_the_next_change(tmp_path: Path) -> None:
    path = tmp_path / "toolman.json"
    path.write_text('{"naming": "plain"}')
    async with watching(path, Config(), refused="plain") as watch:
        assert await watch.result() == (False, "nothing can be made of it")
        change(path, naming="prefixed", sessions={"ttl": 60})
        assert await watch.result() == (True, "")
        assert [found.sessions.ttl for found in watch.applied] == [60]


async def test_neither_a_pipe_nor_an_error_of_ours_ends_the_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "toolman.json"
    path.write_text("{}")
    async with watching(path, Config()) as watch:
        path.unlink()
        os.mkfifo(path)
        is_used, problem = await watch.result()
        while "not a file" not in problem:
            is_used, problem = await watch.result()
        assert not is_used
        with monkeypatch.context() as patch:
            patch.setattr(configfile, "load", lambda _: dict[str, Config]()["bug"])
            path.unlink()
            path.write_text("{} ")
            while "bug" not in problem:
                is_used, problem = await watch.result()
        assert not is_used
        change(path, naming="plain")
        while not is_used:
            is_used, _ = await watch.result()


async def test_what_toolman_was_started_with_is_no_change(tmp_path: Path) -> None:
    path = tmp_path / "toolman.json"
    path.write_text("{}")
    async with watching(path, Config()) as watch:
        change(path, naming="plain")
        assert await watch.result() == (True, "")
        assert watch.results.empty()
        assert len(watch.applied) == 1


def test_a_call_on_its_way_lives_through_a_change(starter: Starter) -> None:
    toolman, client, path = starter.serve({"servers": [SERVER], "layers": [layer("wait", "state")]})
    body = {"jsonrpc": "2.0", "id": "w", "method": "tools/call", "params": {"name": "git__wait"}}
    waiting = threading.Thread(target=client.post, args=[body])
    waiting.start()
    until(lambda: client.ask("git__state")["waiting"])
    no_more = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "w"}}
    change(path, layers=[layer("state")], naming="plain")
    toolman.said("the configuration has changed and is in force")
    until(lambda: client.tools() == ["state"])
    assert client.ask("state")["cancelled"] == []
    assert waiting.is_alive()
    until(lambda: client.post(no_more).is_success and client.ask("state")["cancelled"])
    waiting.join(LIMIT)
    assert not waiting.is_alive()

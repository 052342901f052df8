"""The sample agent is a real MCP client: over HTTP here, over mcp-wrapper in the cluster's tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

AGENT = Path(__file__).parents[2] / "deploy" / "samples" / "agent" / "agent.py"
SECONDS = 60

pytestmark = pytest.mark.requirement("F-06")


@pytest.fixture(scope="module")
def clock() -> Iterator[str]:
    command = [sys.executable, str(Path(__file__).with_name("clock.py"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def agent(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(AGENT), "--http", *arguments],
        env={**os.environ, "MCP_TOOLMAN_SERVER_URL": url},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


def test_it_lists_the_tools(clock: str) -> None:
    done = agent(clock, "tools")
    assert [line.split(maxsplit=1) for line in done.stdout.splitlines()] == [
        ["get_current_time", "Tell the time of a timezone."],
        ["break_down", "Fail."],
        ["refuse", "Answer as toolman does for a tool that may not be called."],
    ]


def test_it_calls_a_tool_with_arguments(clock: str) -> None:
    done = agent(clock, "call", "get_current_time", '{"timezone": "Asia/Osaka"}')
    assert (done.returncode, done.stdout) == (0, "noon in Asia/Osaka\n")


def test_a_refused_call_shows_the_error_and_exits_with_1(clock: str) -> None:
    done = agent(clock, "call", "refuse")
    assert (done.returncode, done.stdout) == (1, "error -32602: Unknown tool: refuse\n")


def test_a_tool_that_fails_exits_with_2(clock: str) -> None:
    done = agent(clock, "call", "break_down")
    assert done.returncode == 2
    assert done.stdout.strip()


@pytest.mark.parametrize("arguments", ["{", "[1]"])
def test_arguments_that_are_no_json_object_are_refused_with_the_reason(clock: str, arguments: str) -> None:
    done = agent(clock, "call", "get_current_time", arguments)
    assert done.returncode == 2
    assert "JSON" in done.stderr


def test_it_stays_connected_and_ends_at_once_when_told(clock: str) -> None:
    command = [sys.executable, "-u", str(AGENT), "--http"]
    environment = {**os.environ, "MCP_TOOLMAN_SERVER_URL": clock}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            lines = [process.stdout.readline().split(maxsplit=1)[1] for _ in range(3)]
            assert lines[0].startswith("connected to clock")
            assert lines[1] == "3 tools: get_current_time, break_down, refuse\n"
            assert lines[2] == "get_current_time answers noon in UTC\n"
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()


def test_it_goes_on_trying_when_nobody_answers() -> None:
    command = [sys.executable, "-u", str(AGENT), "--http"]
    environment = {**os.environ, "MCP_TOOLMAN_SERVER_URL": "http://127.0.0.1:9/mcp"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert "connection lost" in process.stdout.readline()
            assert "connection lost" in process.stdout.readline()
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()

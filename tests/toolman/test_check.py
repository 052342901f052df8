from __future__ import annotations

from typing import Any

import pytest
from toolman.core.catalog import Entry
from toolman.policy import Layer, Limits, Rules
from toolman.upstreams import Failure
from toolman_harness import SCRIPTED

from toolman import check, config, manifest

pytestmark = [pytest.mark.requirement("F-07"), pytest.mark.requirement("T-34")]


def scripted(name: str = "git", **changes: Any) -> config.Server:  # noqa: ANN401 - any setting
    upstream = config.Process(command=tuple(SCRIPTED), env={"SERVER_TOOLS": "a,b,c"})
    return config.Server(name=name, **({"upstream": upstream} | changes))


def examine(*servers: config.Server, layers: tuple[Layer, ...] = (Layer(source="all"),)) -> check.Report:
    return check.examine(config.Config(servers=servers, layers=layers))


def found(report: check.Report) -> list[tuple[str, str, bool, str]]:
    return [(entry.server, entry.name, entry.allowed, entry.reason) for entry in report.entries]


def test_real_servers_are_listed_and_everything_is_decided_on() -> None:
    layers = (Layer(source="A", tools=Rules(deny=("b",))), Layer(source="B", limits=Limits(max_tools=1)))
    report = examine(scripted(), layers=layers)
    assert found(report) == [
        ("git", "a", True, "Allowed"),
        ("git", "b", False, "Denied"),
        ("git", "c", False, "Limit"),
    ]
    assert report.problems == {}
    assert all(entry.hash.startswith("sha256:") for entry in report.entries)


def test_a_server_that_each_session_has_for_itself_is_started_once() -> None:
    assert len(found(examine(scripted(sessions="perSession")))) == 3


@pytest.mark.requirement("T-13")
def test_what_differs_from_the_manifest_is_told() -> None:
    recorded = (manifest.Tool("a", "sha256:0"), manifest.Tool("z", "sha256:0"))
    report = examine(scripted(manifest=recorded))
    assert [(entry.name, entry.reason, entry.pin) for entry in report.entries] == [
        ("a", "Pinned", "differs"),
        ("b", "Pinned", "added"),
        ("c", "Pinned", "added"),
        ("z", "Missing", "missing"),
    ]


def test_servers_of_which_nothing_can_be_said_are_named_with_the_reason() -> None:
    far = config.Server(name="far", upstream=config.Pipes(directory="/run/mcp/far"))
    broken = config.Server(name="broken", upstream=config.Process(command=("false",)))
    report = examine(far, broken, scripted())
    assert report.problems["far"] == "not started: it runs in a Pod"
    assert "it stopped (exit code 1)" in report.problems["broken"]
    assert len(report.entries) == 3


def test_a_server_of_which_nothing_can_be_made_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: config.Server) -> None:
        raise Failure("nothing can be made of it")

    monkeypatch.setattr("toolman.upstreams.kinds.Connectors", lambda: refuse)
    assert examine(scripted(sessions="perSession")).problems == {"git": "nothing can be made of it"}


def entry(kind: Any = "tools", name: str = "t", **changes: Any) -> Entry:  # noqa: ANN401
    known: dict[str, Any] = {"server": "s", "exposed": name, "allowed": True, "reason": "Allowed"} | changes
    return Entry(kind=kind, name=name, **known)


def test_each_kind_has_a_table_of_its_own() -> None:
    report = check.Report([entry("prompts", "p"), entry(), entry("templates", "x:{y}")], {"far": "away"})
    lines = [line.split() for line in check.as_table(report).splitlines()]
    assert lines == [
        ["SERVER", "TOOL", "NAME", "VISIBLE", "REASON", "LAYER", "WOULD", "DENY"],
        ["s", "t", "t", "yes", "Allowed"],
        [],
        ["SERVER", "PROMPT", "NAME", "VISIBLE", "REASON", "LAYER", "WOULD", "DENY"],
        ["s", "p", "p", "yes", "Allowed"],
        [],
        ["SERVER", "TEMPLATE", "NAME", "VISIBLE", "REASON", "LAYER", "WOULD", "DENY"],
        ["s", "x:{y}", "x:{y}", "yes", "Allowed"],
        ["server", "'far':", "away"],
    ]


def test_without_anything_there_is_still_a_table_of_tools() -> None:
    assert check.as_table(check.Report([], {})).split() == [
        "SERVER",
        "TOOL",
        "NAME",
        "VISIBLE",
        "REASON",
        "LAYER",
        "WOULD",
        "DENY",
    ]


@pytest.mark.requirement("T-11")
def test_who_denies_and_who_would_is_told() -> None:
    denied = entry(allowed=False, reason="Denied", source="ToolPolicy/a", would_deny=("ToolPolicy/b", "ToolPolicy/c"))
    line = check.as_table(check.Report([denied], {})).splitlines()[1]
    assert line.split() == ["s", "t", "t", "no", "Denied", "ToolPolicy/a", "ToolPolicy/b,", "ToolPolicy/c"]


def test_names_cannot_write_on_the_terminal_what_they_like() -> None:
    assert "\x1b" not in check.as_table(check.Report([entry(name="\x1b[2J")], {}))


def test_a_server_that_no_layer_is_about_is_told_with_what_to_add() -> None:
    assert "server 'git': no enforcing layer is about it" in check.as_table(examine(scripted(), layers=()))
    assert "no enforcing layer" not in check.as_table(examine(scripted()))

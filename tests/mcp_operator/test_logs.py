from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest
from mcp_operator import logs
from mcp_operator.workqueue import Key

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.requirement("O-35")]


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Configure as a process does that has no handlers yet; undone with the test."""

    def fresh(level: str, style: str) -> None:
        root = logging.getLogger()
        monkeypatch.setattr(root, "handlers", [])
        monkeypatch.setattr(root, "level", root.level)
        logs.configure(level, style)

    for name in logs.QUIET:
        monkeypatch.setattr(logging.getLogger(name), "level", logging.getLogger(name).level)
    return fresh


def test_a_line_is_an_object_with_the_identity_of_what_it_is_about(
    configure: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    configure("INFO", "json")
    log = logging.getLogger("mcp_operator.some")
    with logs.about(Key("MCPServer", "team", "one")):
        log.info("built\nin %d s", 3)
    with logs.about(Key("ToolPolicy", "", "cap")):
        log.warning("hm")
    log.info("nothing in particular")
    first, second, third = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert first["message"] == "built\nin 3 s"
    assert (first["kind"], first["namespace"], first["name"]) == ("MCPServer", "team", "one")
    assert first["level"] == "INFO"
    assert first["time"].endswith("+00:00")
    assert "namespace" not in second
    assert not {"kind", "namespace", "name"} & third.keys()


def test_an_error_has_its_trace_on_the_same_line(
    configure: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    configure("INFO", "json")
    try:
        int("why")
    except ValueError:
        logging.getLogger("mcp_operator").exception("failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert "ValueError: invalid literal" in json.loads(line)["trace"]


def test_people_get_lines_without_the_chatter_of_libraries(
    configure: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    configure("INFO", "text")
    logging.getLogger("kopf.objects").info("chatter")
    logging.getLogger("mcp_operator").info("news")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("INFO mcp_operator: news")


def test_a_level_that_there_is_not_is_refused(configure: Callable[[str, str], None]) -> None:
    with pytest.raises(ValueError, match="LOUD"):
        configure("LOUD", "text")

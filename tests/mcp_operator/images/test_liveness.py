from __future__ import annotations

import json

import pytest
from mcp_operator.images import liveness
from mcp_operator.images.liveness import Serving


def check(line: str) -> list[str]:
    words = json.loads(line.partition(" CMD ")[2])
    assert isinstance(words, list)
    return words


@pytest.mark.requirement("B-04")
@pytest.mark.parametrize("language", ["node", "python", "go"])
def test_http_is_exposed_and_asked_with_what_the_image_has(language: str) -> None:
    lines = liveness.lines(Serving(language=language, transport="streamable-http", port=8123, path="/mcp"))

    assert lines[0] == "EXPOSE 8123"
    assert "8123" in check(lines[1])[2]


@pytest.mark.requirement("B-04")
def test_http_without_a_known_port_is_expected_where_all_of_ours_listen() -> None:
    assert liveness.lines(Serving(language="node", transport="sse"))[0] == "EXPOSE 3000"


@pytest.mark.parametrize("path", ["", "mcp", "/a'); process.exit(0); ('", "/a b", "//x", "/-x"])
def test_a_path_that_would_mean_something_else_is_not_asked_for(path: str) -> None:
    line = liveness.lines(Serving(language="node", transport="sse", port=1, path=path))[1]

    assert "fetch('http://127.0.0.1:1/')" in check(line)[2]


@pytest.mark.requirement("B-04")
def test_stdio_is_alive_while_its_process_runs_and_has_a_client() -> None:
    (line,) = liveness.lines(Serving(language="python"))

    assert check(line)[:2] == ["sh", "-c"]
    assert "/proc/1/fd/0" in check(line)[2]


def test_nothing_is_claimed_of_an_image_that_others_describe() -> None:
    assert liveness.lines(Serving(language="dockerfile")) == []
    assert liveness.lines(Serving(language="dockerfile", transport="sse", port=80)) == ["EXPOSE 80"]

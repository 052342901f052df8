from __future__ import annotations

import pytest
from mcp_operator.images.detect import smithery
from mcp_operator.images.detect.candidate import Hints, Setting

TEXT = """
startCommand:
  type: stdio
  configSchema:
    type: object
    required: [apiKey]
    properties: {apiKey: {type: string}, url: {type: string}}
  commandFunction: |-
    (config) => ({ command: 'node', args: ['x.js'], env: { API_KEY: config.apiKey, "BASE_URL": config.url } })
"""


@pytest.mark.requirement("B-02")
def test_transport_and_variables_are_read() -> None:
    assert smithery.read(TEXT) == Hints(
        transport="stdio",
        env=(Setting(name="API_KEY", required=True), Setting(name="BASE_URL")),
    )


def test_http_is_streamable_http() -> None:
    assert smithery.read("startCommand: {type: http}").transport == "streamable-http"


@pytest.mark.parametrize(
    "text",
    ["", "- a", "startCommand: x", "a: [", "a: &a [*a]", "!!python/object:x {}", "[" * 5000, " " * 300_000, "a: 1-1-1"],
)
def test_what_cannot_be_read_says_nothing(text: str) -> None:
    assert smithery.read(text) == Hints()

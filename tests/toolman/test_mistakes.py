from __future__ import annotations

import pytest
from toolman.mistakes import advice

from toolman import config, configfile

pytestmark = pytest.mark.requirement("T-34")

SERVER = '{"servers":[{"name":"a","upstream":{"kind":"process","command":["x"]}%s}]}'


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ('{"version":2}', "write `1`"),
        ('{"naming":"short"}', "write `plain` or `prefixed`"),
        (
            '{"servers":[{"name":"a","upstream":{"kind":"stdio"}}]}',
            "write `process` or `pipes` or `http` or `sse` or `docker`",
        ),
        ('{"servers":[{"name":"a","upstream":{}}]}', "write `process` or `pipes` or `http` or `sse` or `docker`"),
        (SERVER % ',"serverRequests":["elicit"]', "write `elicitation` or `roots` or `sampling`"),
        (SERVER % ',"timeouts":{"start":"10 minutes"}', "a text with a unit: `500ms`, `60s`, `5m`, `1h`"),
        ('{"servers":[{"name":"A b","upstream":{"kind":"process","command":["x"]}}]}', "write small letters, digits"),
        ('{"servers":[{"name":"a","upstream":{"kind":"process","command":"x y"}}]}', "write a list, such as"),
        ('{"layers":[{"source":"x","tools":{"allow":"git_*"}}]}', "write a list, such as"),
        (
            '{"servers":[{"name":"a","upstream":{"kind":"process","command":["x"],"env":{"PORT":3000}}}]}',
            "put quotes around it",
        ),
        ('{"servers":[{"name":false,"upstream":{"kind":"process","command":["x"]}}]}', "put quotes around it"),
    ],
)
def test_a_value_that_cannot_be_is_told_with_what_to_write(text: str, remedy: str) -> None:
    with pytest.raises(config.ConfigError) as raised:
        configfile.loads(text.encode())
    assert "; " in str(raised.value)
    assert remedy in str(raised.value)


@pytest.mark.parametrize(
    "error", ["", "Expected `object`, got `array`", "Expected `int` <= 65535 - at `$.listen.port`", "x - at `$.no.way`"]
)
def test_what_says_it_all_gets_no_advice(error: str) -> None:
    assert not advice(error, config.Config)

from __future__ import annotations

from pathlib import Path

import pytest
from toolman.policy import Layer, Rules

from toolman import config

pytestmark = pytest.mark.requirement("F-07")


def test_what_is_written_can_be_read_again() -> None:
    server = config.Server(name="git", upstream=config.Pipes(directory="/run/mcp/git"))
    layer = Layer(source="MCPAgent/dev", tools=Rules(allow=("*",), deny=("rm",)))
    original = config.Config(
        listen=config.Listen(refuse_uids=(5,)), admin=config.Admin(), servers=(server,), layers=(layer,)
    )
    assert config.loads(config.dumps(original)) == original
    assert config.dumps(original) == config.dumps(config.loads(config.dumps(original)))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "truncated"),
        ("[]", "Expected `object`"),
        ('{"versoin":1}', "unknown field `versoin`"),
        ('{"version":2}', "$.version"),
        ('{"layers":[{"source":"x","tools":{"denny":[]}}]}', "unknown field `denny`"),
        ('{"servers":[{"name":"Git","upstream":{"kind":"process","command":["x"]}}]}', "$.servers[0].name"),
        ('{"servers":[{"name":"git","upstream":{"kind":"process","command":[]}}]}', "$.servers[0].upstream.command"),
        ('{"servers":[{"name":"git","upstream":{"kind":"magic"}}]}', "Invalid value 'magic'"),
        ('{"listen":{"port":0}}', "$.listen.port"),
        ('{"listen":{"loopback":false,"refuseUids":[5]}}', "refuseUids needs listen.loopback"),
    ],
)
def test_a_mistake_is_an_error_that_says_where(text: str, problem: str) -> None:
    with pytest.raises(config.ConfigError) as raised:
        config.loads(text.encode(), "toolman.json")
    assert str(raised.value).startswith("toolman.json: ")
    assert problem in str(raised.value)


def test_two_servers_of_one_name_are_an_error() -> None:
    server = config.Server(name="git", upstream=config.Pipes(directory="/x"))
    with pytest.raises(config.ConfigError, match="two servers are named 'git'"):
        config.loads(config.dumps(config.Config(servers=(server, server))))


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(config.ConfigError, match="/no/such/file: No such file"):
        config.load(Path("/no/such/file"))


def test_by_default_agents_of_this_machine_alone_are_served_and_names_are_prefixed() -> None:
    found = config.loads(b"{}")
    assert (found.listen.loopback, found.listen.port, found.naming, found.admin) == (True, 3000, "prefixed", None)

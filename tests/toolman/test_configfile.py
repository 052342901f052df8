from __future__ import annotations

from pathlib import Path

import pytest
from toolman.policy import Layer, Rules

from toolman import config, configfile

pytestmark = [pytest.mark.requirement("F-07"), pytest.mark.requirement("T-34")]

TLS = '"listen": {"tls": {"certificate": "/c", "key": "/k"}}'


def test_what_is_written_can_be_read_again() -> None:
    server = config.Server(name="git", upstream=config.Pipes(directory="/run/mcp/git"))
    layer = Layer(source="MCPAgent/dev", tools=Rules(allow=("*",), deny=("rm",)))
    original = config.Config(
        listen=config.Listen(refuse_uids=(5,)), admin=config.Admin(), servers=(server,), layers=(layer,)
    )
    assert configfile.loads(config.dumps(original)) == original
    assert config.dumps(original) == config.dumps(configfile.loads(config.dumps(original)))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "truncated"),
        ("[]", "Expected `object`"),
        ('{"versoin":1}', "unknown field `versoin` at versoin: did you mean `version`?"),
        ('{"version":2}', "$.version"),
        (
            '{"layers":[{"source":"x","tools":{"denny":[]}}]}',
            "unknown field `denny` at layers[0].tools.denny: did you mean `deny`?",
        ),
        (
            '{"servers":[{"name":"git","upstream":{"kind":"process","comand":["x"]}}]}',
            "at servers[0].upstream.comand: did you mean `command`?",
        ),
        ('{"listen":{"refuse_uids":[5]}}', "did you mean `refuseUids`?"),
        ('{"naming":"plain","naming":"prefixed"}', "the key 'naming' appears twice"),
        ('{"servers":[],"sessions":{"ttl":"five minutes"}}', "$.sessions.ttl"),
        (
            '{"servers":[{"name":"a","upstream":{"kind":"http","url":"ftp://x"}}]}',
            "servers[0].upstream.url must be http",
        ),
        ('{"servers":[{"name":"a","upstream":{"kind":"sse","url":"http://u:p@x/"}}]}', "must not hold a password"),
        ('{"audit":{"sink":"file"}}', "$.audit.sink"),
        ('{"servers":[{"name":"Git","upstream":{"kind":"process","command":["x"]}}]}', "$.servers[0].name"),
        ('{"servers":[{"name":"git","upstream":{"kind":"process","command":[]}}]}', "$.servers[0].upstream.command"),
        ('{"servers":[{"name":"git","upstream":{"kind":"magic"}}]}', "Invalid value 'magic'"),
        ('{"listen":{"port":0}}', "$.listen.port"),
        ('{"listen":{"loopback":false,"refuseUids":[5]}}', "refuseUids needs listen.loopback"),
    ],
)
def test_a_mistake_is_an_error_that_says_where(text: str, problem: str) -> None:
    with pytest.raises(config.ConfigError) as raised:
        configfile.loads(text.encode(), "toolman.json")
    assert str(raised.value).startswith("toolman.json: ")
    assert problem in str(raised.value)


def test_durations_may_have_a_unit() -> None:
    text = """{"servers":[{"name":"git","upstream":{"kind":"process","command":["x"],"env":{"start":"1s"}},
        "timeouts":{"start":"500ms","idle":"5m"}}],"layers":[{"source":"A","limits":{"callTimeout":"1h"}}]}"""
    found = configfile.loads(text.encode())
    assert found.servers[0].timeouts == config.Timeouts(start=0.5, idle=300)
    assert found.layers[0].limits.call_timeout == 3600
    assert found.servers[0].upstream == config.Process(command=("x",), env={"start": "1s"})


def test_yaml_is_read_by_the_name_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "toolman.yaml"
    path.write_text("naming: plain\nservers:\n- name: git\n  upstream: {kind: pipes, directory: /x}\n")
    server = config.Server(name="git", upstream=config.Pipes(directory="/x"))
    assert configfile.load(path) == config.Config(naming="plain", servers=(server,))
    path.write_text("")
    assert configfile.load(path) == config.Config()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("naming: plain\nnaming: plain\n", "the key 'naming' appears twice"),
        ("naming: [", "expected the node content"),
        ("listen: {prot: 1}\n", "did you mean `port`?"),
        ("listen: !!python/object:os.system {}\n", "could not determine a constructor"),
        ("{[a]: b}\n", "unhashable"),
    ],
)
def test_a_mistake_in_yaml_is_an_error_that_names_the_file(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "toolman.yml"
    path.write_text(text)
    with pytest.raises(config.ConfigError) as raised:
        configfile.load(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert problem in str(raised.value)


def test_two_servers_of_one_name_are_an_error() -> None:
    server = config.Server(name="git", upstream=config.Pipes(directory="/x"))
    with pytest.raises(config.ConfigError, match="two servers are named 'git'"):
        configfile.loads(config.dumps(config.Config(servers=(server, server))))


@pytest.mark.requirement("O-04")
@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ('"listen": {}', "guard needs listen.tls"),
        (f'{TLS[:-1]}, "token": {{"file": "/t"}}}}', "exclude each other"),
        (f'{TLS}, "sessions": {{"store": "redis://r"}}', "guard needs sessions.store: memory"),
    ],
)
def test_a_guard_that_would_not_guard_is_an_error(more: str, problem: str) -> None:
    with pytest.raises(config.ConfigError, match=problem):
        configfile.loads(f'{{"guard": {{"audience": "a"}}, {more}}}'.encode())


@pytest.mark.requirement("O-04")
@pytest.mark.parametrize(
    ("guard", "problem"),
    [
        ('"review": {"url": "http://api/"}', "guard.review.url must be https"),
        ('"callers": [{"pod": "1", "name": "a"}, {"pod": "1", "name": "b"}]', "two guard.callers are the Pod '1'"),
        ('"callers": [{"pod": "", "name": "a"}]', "length >= 1"),
    ],
)
def test_what_a_guard_cannot_work_with_is_named(guard: str, problem: str) -> None:
    with pytest.raises(config.ConfigError, match=problem):
        configfile.loads(f'{{"guard": {{"audience": "a", {guard}}}, {TLS}}}'.encode())


@pytest.mark.requirement("O-03")
@pytest.mark.parametrize("token", ["{}", f'{{"file": "/t", "sha256": "{"a" * 64}"}}'])
def test_the_admin_token_is_in_a_file_or_known_by_its_hash(token: str) -> None:
    with pytest.raises(config.ConfigError, match="either file or sha256"):
        configfile.loads(f'{{"admin": {{"token": {token}}}}}'.encode())
    with pytest.raises(config.ConfigError, match=r"admin\.token\.sha256"):
        configfile.loads(b'{"admin": {"token": {"sha256": "secret"}}}')


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(config.ConfigError, match="/no/such/file: No such file"):
        configfile.load(Path("/no/such/file"))


def test_by_default_agents_of_this_machine_alone_are_served_and_names_are_prefixed() -> None:
    found = configfile.loads(b"{}")
    assert (found.listen.loopback, found.listen.port, found.naming, found.admin) == (True, 3000, "prefixed", None)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b'{"layers": ' + b"[" * 5_000 + b"]" * 5_000 + b"}", "nested too deeply"),
        (b'{"version": "\xff"}', "codec can't decode"),
        (b'{"listen": {"port": %b}}' % (b"9" * 5_000), "limit"),
        (b'{"listen": {"token": {"file": "/\\u0000"}}}', "NUL"),
        (b'{"audit": {"sink": "/\\\\u0000\\u0000"}}', "NUL"),
        (b" " * 100, "bytes at most"),
    ],
)
def test_nothing_in_a_file_is_more_than_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, problem: str
) -> None:
    if not data.strip():
        monkeypatch.setattr(configfile, "MAX_FILE", 99)
    path = tmp_path / "toolman.json"
    path.write_bytes(data)
    with pytest.raises(config.ConfigError, match=problem):
        configfile.load(path)


def test_a_backslash_before_four_zeros_is_no_character(tmp_path: Path) -> None:
    path = tmp_path / "toolman.json"
    path.write_bytes(b'{"audit": {"sink": "/\\\\u0000"}}')
    assert configfile.load(path).audit.sink == "/\\u0000"

import json
import random

import pytest

from mcp_wrapper import jsonrpc, skim

WORDS = ["x", '"', "\\", "[]{},:", "\u2028\u00e9", "", "true", "\n"]


def made_up(dice: random.Random, depth: int = 0) -> object:
    kind = dice.random()
    if depth > 4 or kind < 0.4:
        return dice.choice([*WORDS, 1, -1.5e10, None, True])
    if kind < 0.7:
        return [made_up(dice, depth + 1) for _ in range(dice.randrange(4))]
    return {dice.choice(WORDS): made_up(dice, depth + 1) for _ in range(dice.randrange(4))}


@pytest.mark.parametrize("seed", range(300))
def test_the_members_of_any_object_are_found_where_they_are(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(seed)  # noqa: S311 - not a secret
    monkeypatch.setattr(skim, "WINDOW_BYTES", dice.choice([2, 3, 5, 16, skim.WINDOW_BYTES]))
    value = {"a": made_up(dice), "b": made_up(dice), "c": [made_up(dice)]}
    text = json.dumps(value, indent=dice.choice([None, 2]), ensure_ascii=dice.random() < 0.5).encode()
    found = {name: json.loads(text[begin:end]) for name, begin, end in skim.members(memoryview(text), whole=True)}
    assert found == value
    begin, end = skim.find(text, "c") or (0, 0)
    assert [json.loads(text[slice(*span)]) for span in skim.elements(text, begin)] == value["c"]
    assert json.loads(text[begin:end]) == value["c"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{",
        b'{"a":1',
        b'{"a":}',
        b'{"a" 1}',
        b"{a:1}",
        b'{"a":"x',
        b'{"a":"x\\',
        b'{"a":[1,2}]}',
        b'{"a":[',
        b'{"a":1,}',
        b'{"a":1 "b":2}',
        b'{"a":1}}',
        b'{"a":1} x',
        b'{"a":' + b"[" * 100_000,
    ],
)
def test_what_is_not_one_object_is_an_error(text: bytes) -> None:
    with pytest.raises(skim.SkimError):
        list(skim.members(text, whole=True))


def test_a_value_is_found_by_its_path_and_of_equal_names_the_last_counts() -> None:
    text = b' { "a": {"b": 1}, "a" : {"b":[2], "c":3} } '
    assert text[slice(*(skim.find(text, "a", "b") or ()))] == b"[2]"
    assert skim.find(text, "a", "b", "c") is None
    assert skim.find(text, "x") is None


def test_a_long_message_is_read_as_far_as_its_values_are_small() -> None:
    text = json.dumps(
        {
            "id": 2**70,
            "method": "tools/call",
            "params": {"_meta": {"k": "v"}, "arguments": {"long": "x" * 300_000, "n": 1.0, "list": [0] * 100_000}},
        }
    ).encode()
    message = jsonrpc.parse(memoryview(text))
    assert (message.kind, message.key, message.method) == (jsonrpc.REQUEST, str(2**70), "tools/call")
    assert message.params == {"_meta": {"k": "v"}, "arguments": {"long": ..., "n": "1.0", "list": ...}}


@pytest.mark.parametrize(
    "text", [b'{"id":1,"method":"m","params":["%b"]', b'{"id":1,"method":"m","params":["\xff%b"]}']
)
def test_a_long_message_that_is_no_json_is_an_error(text: bytes) -> None:
    with pytest.raises(jsonrpc.MessageError) as caught:
        jsonrpc.parse(text % (b"x" * 300_000))
    assert caught.value.code == jsonrpc.PARSE_ERROR


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        ([True, False, True], b'{"t": [ 1.0,[3] ], "n":1}'),
        ([False, False, True], b'{"t": [ [3] ], "n":1}'),
        ([True, False, False], b'{"t": [ 1.0 ], "n":1}'),
        ([False, False, False], b'{"t": [  ], "n":1}'),
    ],
)
def test_elements_are_left_out_and_the_rest_stays_as_it_was(wanted: list[bool], left: bytes) -> None:
    text = b'{"t": [ 1.0 ,"two" , [3] ], "n":1}'
    spans = list(skim.elements(text, (skim.find(text, "t") or (0, 0))[0]))
    assert skim.keep(text, spans, wanted) == left

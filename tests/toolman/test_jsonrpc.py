from __future__ import annotations

import contextlib
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolman import jsonrpc

pytestmark = pytest.mark.requirement("F-07")


def split(text: str | bytes) -> dict[str, bytes]:
    data = text.encode() if isinstance(text, str) else text
    return {key: bytes(value) for key, value in jsonrpc.members(data, jsonrpc.ENVELOPE).items()}


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        " { } ",
        '{"a":1}',
        '{ "a" : { "b" : [ 1 , 2 ] } , "c" : "}" }',
        '{"\\u0061b":"\\ud83d","c":[]}',
        '{"a\\"":"\\\\","b":-1.0e5}',
        '{"\u00e9":1,"\U0001f600":2}',
    ],
)
def test_an_object_is_split_into_its_members_as_they_are(text: str) -> None:
    found = split(text)
    assert json.loads("{" + ",".join(f"{json.dumps(k)}:{v.decode()}" for k, v in found.items()) + "}") == json.loads(
        text
    )
    assert all(value.decode() in text for value in found.values())


def test_what_was_split_can_be_joined_again() -> None:
    text = b'{"z":1.0,"params":{"a": null},"\xc3\xa9":9007199254740993,"half":"\\ud83d"}'
    assert jsonrpc.dump(jsonrpc.members(text, jsonrpc.ENVELOPE)) == text
    assert jsonrpc.dump({}) == b"{}"


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}',
        '{"a":1,"b":2,"a":12}',
        '{"a":12,"b":2,"a":1}',
        '{"a":1, "\\u0061":1}',
        '{"":1,"":1}',
        '{"a":{"a":1},"a":{"a":1}}',
        '{"a":"\\ud83d","a":"\\ud83d"}',
        '{"a":[1,"a"],"a":1, "b" : 2}',
    ],
)
def test_a_repeated_key_is_refused(text: str) -> None:
    with pytest.raises(jsonrpc.Malformed, match="twice"):
        split(text)


@pytest.mark.parametrize("key", ["Method", "METHOD", "ID", "param\u017f", "method\\u0000", "id\\u0000x", "Re\u017fult"])
def test_a_variant_of_a_guarded_key_is_refused(key: str) -> None:
    with pytest.raises(jsonrpc.Malformed, match="taken for another"):
        split('{"a":1,"' + key + '":1}')


def test_other_keys_are_nobodys_business() -> None:
    assert split('{"methods":1,"Name":2,"x\\u0000":3}') == {"methods": b"1", "Name": b"2", "x\0": b"3"}


def test_random_objects_with_and_without_repetition_are_told_apart() -> None:
    dice = random.Random(7)  # noqa: S311 - the same dice every time

    def value(depth: int) -> object:
        match dice.randrange(7 if depth else 4):
            case 0:
                return dice.choice([0, -1, 12, 123, 1.5, 2**60])
            case 1:
                return dice.choice(["", "a", 'b"c', "\\", "{", '","a":1', "\u00e9", "\U0001f600"])
            case 2:
                return None
            case 3:
                return dice.choice([True, False])
            case 4 | 5:
                return {dice.choice("abc"): value(depth - 1) for _ in range(dice.randrange(3))}
        return [value(depth - 1) for _ in range(dice.randrange(3))]

    for _ in range(3000):
        pairs = [(dice.choice("abcdefgh"), value(2)) for _ in range(dice.randrange(5))]
        comma, colon = dice.choice([(",", ":"), (", ", ": "), (" ,\n", " : ")])
        dumped = [json.dumps(key) + colon + json.dumps(item, ensure_ascii=dice.random() < 0.5) for key, item in pairs]
        text = "{" + comma.join(dumped) + "}"
        if len({key for key, _ in pairs}) == len(pairs):
            assert {key: json.loads(item) for key, item in split(text).items()} == dict(pairs)
        else:
            with pytest.raises(jsonrpc.Malformed):
                split(text)


def test_a_request_a_notification_and_a_response_are_told_apart() -> None:
    request = jsonrpc.parse(b'{"jsonrpc":"2.0","id":"a","method":"m","params":{"x":1}}')
    assert (request.method, request.identifier, request.key, request.params) == ("m", b'"a"', "a", b'{"x":1}')
    notification = jsonrpc.parse(b'{"jsonrpc":"2.0","method":"m"}')
    assert (notification.method, notification.identifier, notification.params) == ("m", None, None)
    response = jsonrpc.parse(b'{"jsonrpc":"2.0","id":1,"result":{}}')
    assert (response.method, response.key) == (None, 1)


def test_ids_are_compared_by_value_and_type_and_echoed_as_they_were() -> None:
    one = jsonrpc.parse(b'{"jsonrpc":"2.0","id":"\\u0061","method":"m"}')
    other = jsonrpc.parse(b'{"jsonrpc":"2.0","id":"a","method":"m"}')
    assert one.key == other.key
    assert one.identifier == b'"\\u0061"'
    assert jsonrpc.parse(b'{"jsonrpc":"2.0","id":1,"method":"m"}').key != "1"


@pytest.mark.parametrize("identifier", ["null", "1.0", "true", "[]", "{}"])
def test_other_ids_are_refused(identifier: str) -> None:
    with pytest.raises(jsonrpc.Malformed, match='"id" must be'):
        jsonrpc.parse(b'{"jsonrpc":"2.0","id":%b,"method":"m"}' % identifier.encode())


def test_params_come_on_one_line() -> None:
    message = jsonrpc.parse(b'{"jsonrpc":"2.0","id":1,"method":"m","params":{\r\n"a":\n"\\n"}}')
    assert message.params is not None
    assert b"\n" not in message.params
    assert json.loads(message.params) == {"a": "\n"}


def test_a_response_says_what_it_says_on_one_line() -> None:
    good = jsonrpc.parse(b'{"jsonrpc":"2.0","id":1,"result":{"a":\n1}}')
    assert good.outcome == (jsonrpc.RESULT, b'{"a": 1}')
    bad = jsonrpc.parse(b'{"jsonrpc":"2.0","id":1,"error":{"code":1e0}}')
    assert bad.outcome == (jsonrpc.ERROR, b'{"code":1e0}')
    assert jsonrpc.parse(b'{"jsonrpc":"2.0","id":1,"method":"m"}').outcome is None


def test_a_member_that_must_be_a_text_is_one() -> None:
    assert jsonrpc.text({"a": b'"\\u00e9"'}, "a") == "\u00e9"
    for found in ({}, {"a": b"1"}, {"a": b'"\\ud83d"'}):
        with pytest.raises(jsonrpc.Malformed, match='"a" must be a string'):
            jsonrpc.text(found, "a")


@pytest.mark.requirement("T-10")
def test_a_batch_is_taken_apart_message_by_message() -> None:
    assert jsonrpc.split_batch(b' [ {"a":[1,"]"]} , "\\ud83d" ,2]') == [b'{"a":[1,"]"]}', b'"\\ud83d"', b"2"]
    assert jsonrpc.split_batch(b'{"a":1}') is None
    for broken in (b"[]", b"[1", b"[1]x", b"[" * 100_000, b"[\xff]", b'["\\ud83d"', b'["\\ud83d",' + b"[" * 100_000):
        with pytest.raises(jsonrpc.Malformed):
            jsonrpc.split_batch(broken)


def test_an_error_has_a_code_if_it_has_one() -> None:
    assert jsonrpc.error_code(b'{"code":-32002,"data":[]}') == -32002
    assert [jsonrpc.error_code(raw) for raw in (b"{}", b"[]", b'{"code":"x"}', b"[" * 100_000)] == [None] * 4


def test_an_error_may_say_more() -> None:
    assert jsonrpc.error(-1, "no", {"a": 1}) == (jsonrpc.ERROR, b'{"code":-1,"message":"no","data":{"a":1}}')


KEYS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


@pytest.mark.requirement("T-05")
@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_what_is_split_and_joined_is_the_same_to_the_byte(value: dict[str, object]) -> None:
    keys = {key: jsonrpc.encode(key).decode() for key in value}  # escapes of keys alone are not kept
    text = "{" + ",".join(f"{keys[key]}:{compact(item)}" for key, item in value.items()) + "}"
    found = jsonrpc.members(text.encode(), frozenset())
    assert list(found) == list(value)
    assert jsonrpc.dump(found) == text.encode()


@pytest.mark.requirement("T-05")
@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=5), st.data())
def test_a_key_that_comes_twice_is_always_refused(value: dict[str, object], data: st.DataObject) -> None:
    pairs = [*value.items(), (data.draw(st.sampled_from(list(value))), data.draw(VALUES))]
    blank = data.draw(st.sampled_from(["", " ", "\n\t"]))
    text = "{" + f"{blank},{blank}".join(f"{compact(key)}{blank}:{compact(item)}" for key, item in pairs) + "}"
    with pytest.raises(jsonrpc.Malformed, match="twice"):
        jsonrpc.members(text.encode(), frozenset())


@pytest.mark.requirement("T-05")
@given(st.sampled_from(sorted(jsonrpc.PARAMS_KEYS)), st.data())
def test_every_variant_of_a_deciding_key_is_refused(key: str, data: st.DataObject) -> None:
    cases = data.draw(st.lists(st.booleans(), min_size=len(key), max_size=len(key)))
    spelt = "".join(each.swapcase() if swap else each for each, swap in zip(key, cases, strict=True))
    variant = spelt + data.draw(st.sampled_from(["", "\0", "\0x"]))
    text = compact({"name": "a"} | {variant: 1} if key != "name" else {variant: 1})
    if variant == key:
        jsonrpc.members(text.encode(), jsonrpc.PARAMS_KEYS)
    else:
        with pytest.raises(jsonrpc.Malformed, match="taken for another"):
            jsonrpc.members(text.encode(), jsonrpc.PARAMS_KEYS)


@pytest.mark.requirement("T-32")
@given(st.binary(max_size=60) | st.text('[]{}",:\\u dDeE89+-.10 nutrlfasé', max_size=60).map(str.encode))
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    for read in (jsonrpc.parse, jsonrpc.split_batch, lambda raw: jsonrpc.members(raw, jsonrpc.PARAMS_KEYS)):
        with contextlib.suppress(jsonrpc.Malformed):
            read(data)


def test_lone_surrogates_are_replaced_and_pairs_are_kept() -> None:
    text = rb'["\ud83d","\ud83d\ude00","\\ud83d","\ude00\ud83d\ude00","\uD83D"]'
    assert jsonrpc.repaired(text) == rb'["\ufffd","\ud83d\ude00","\\ud83d","\ufffd\ud83d\ude00","\ufffd"]'


def test_responses_are_put_together() -> None:
    assert jsonrpc.response(b'"a"', jsonrpc.result(b"{ }")) == b'{"jsonrpc":"2.0","id":"a","result":{ }}'
    error = json.loads(jsonrpc.response(b"1", jsonrpc.error(-32602, 'say "x"')))
    assert error == {"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": 'say "x"'}}

import json

import pytest

from mcp_wrapper import jsonrpc


@pytest.mark.parametrize(
    ("text", "kind", "key", "method"),
    [
        ('{"id":1,"method":"m"}', jsonrpc.REQUEST, "1", "m"),
        ('{"id":"1","method":"m"}', jsonrpc.REQUEST, '"1"', "m"),
        ('{"id":1.50,"method":"m"}', jsonrpc.REQUEST, "1.50", "m"),
        ('{"id":123456789012345678901234567890,"method":"m"}', jsonrpc.REQUEST, "123456789012345678901234567890", "m"),
        ('{"method":"n"}', jsonrpc.NOTIFICATION, "", "n"),
        ('{"id":2,"result":{}}', jsonrpc.RESPONSE, "2", ""),
        ('{"id":null,"error":{}}', jsonrpc.RESPONSE, "null", ""),
    ],
)
def test_a_message_is_known_by_its_members(text: str, kind: str, key: str, method: str) -> None:
    message = jsonrpc.parse(text.encode())
    assert (message.kind, message.key, message.method) == (kind, key, method)
    assert message.raw == text.encode()


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"{", jsonrpc.PARSE_ERROR),
        (b'{"id":1,"method":"m","params":NaN}', jsonrpc.PARSE_ERROR),
        (b"\xff", jsonrpc.PARSE_ERROR),
        (b"[" * 100_000, jsonrpc.PARSE_ERROR),
        (b"[]", jsonrpc.INVALID_REQUEST),
        (b"1", jsonrpc.INVALID_REQUEST),
        (b"{}", jsonrpc.INVALID_REQUEST),
        (b'{"id":1}', jsonrpc.INVALID_REQUEST),
        (b'{"id":null,"method":"m"}', jsonrpc.INVALID_REQUEST),
        (b'{"id":{},"method":"m"}', jsonrpc.INVALID_REQUEST),
        (b'{"id":true,"method":"m"}', jsonrpc.INVALID_REQUEST),
    ],
)
def test_what_is_not_a_message_is_refused_with_its_code(raw: bytes, code: int) -> None:
    with pytest.raises(jsonrpc.MessageError) as caught:
        jsonrpc.parse(raw)
    assert caught.value.code == code


def test_an_integer_of_ten_thousand_digits_is_no_reason_to_refuse_a_message() -> None:
    assert jsonrpc.parse(b'{"id":1,"method":"m","params":%b}' % (b"9" * 10_000)).key == "1"


@pytest.mark.parametrize(
    ("text", "modern"),
    [
        ('{"id":1,"method":"server/discover"}', True),
        ('{"id":1,"method":"m","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}', True),
        ('{"id":1,"method":"m","params":{"_meta":{"progressToken":1}}}', False),
        ('{"id":1,"method":"m","params":[]}', False),
        ('{"id":1,"method":"m"}', False),
    ],
)
def test_a_modern_request_is_known_by_its_envelope(text: str, modern: bool) -> None:  # noqa: FBT001 - a table's column
    assert jsonrpc.parse(text.encode()).is_modern is modern


def test_an_error_has_the_id_as_it_was_written() -> None:
    made = json.loads(jsonrpc.error('"a\\"b"', -32000, 'say "why"\n'))
    assert made == {"jsonrpc": "2.0", "id": 'a"b', "error": {"code": -32000, "message": 'say "why"\n'}}


def test_an_error_without_an_id_gets_that_of_its_request() -> None:
    raw = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32020,"message":"m","data":{"big":12345678901234567890}}}'
    assert json.loads(jsonrpc.readdress(raw, '"q"')) == {**json.loads(raw), "id": "q"}


@pytest.mark.parametrize(
    ("raw", "line"),
    [(b'{"a": 1}', b'{"a": 1}'), (b'{\r\n "a":\n1}\n', b'{   "a": 1}'), (b'{"a":"\\n"}', b'{"a":"\\n"}')],
)
def test_json_becomes_one_line_without_a_change_to_its_strings(raw: bytes, line: bytes) -> None:
    assert jsonrpc.one_line(raw) == line


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"id":1,"error":{"code":-32601}}', -32601),
        ('{"id":1,"error":{"code":1.5}}', None),
        ('{"id":1,"error":{"code":"x"}}', None),
        ('{"id":1,"error":3}', None),
        ('{"id":1,"result":{}}', None),
    ],
)
def test_the_code_of_an_error_is_an_integer_or_nothing(text: str, code: int | None) -> None:
    assert jsonrpc.error_code(jsonrpc.parse(text.encode())) == code

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from mcp_wrapper.jsonrpc import Number
from mcp_wrapper.lean import decoder, quoted
from wrapper_harness import BOUND, SOURCE


def constant(name: str) -> object:
    raise ValueError(name)


decode = decoder(Number, constant)


@pytest.mark.parametrize(
    "value", [None, True, "", 'a"\\\n\u00e9\u2028\U0001f600', [], {}, {"a": [{"b": None}, [1, "x"]], "": False}]
)
def test_json_is_decoded_as_the_json_package_does(value: object) -> None:
    text = json.dumps(value)
    assert decode(f" \n{text}\t\r ") == json.loads(text, parse_int=Number)


@pytest.mark.parametrize("text", ["1", "-0.0", "1e400", "9" * 10_000])
def test_numbers_stay_as_they_are_written(text: str) -> None:
    assert decode(text) == text
    assert isinstance(decode(text), Number)


@pytest.mark.parametrize(
    "text", ["", " ", "{", "[1,]", "{} {}", "nul", "NaN", '"a', '{"a":1,}', "\u00a01", '"\n"', "[NaN]"]
)
def test_what_is_not_json_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        decode(text)
    assert type(caught.value) in {ValueError, json.JSONDecodeError}


def test_errors_are_described_though_the_json_package_was_not_loaded() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(SOURCE.parent)!r})\n"
        "from mcp_wrapper.lean import decoder\n"
        "try:\n    decoder(str, str)('{nonsense')\n"
        "except ValueError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, check=True, timeout=BOUND)
    assert b"line 1 column 2" in done.stdout


@pytest.mark.parametrize("text", ["", 'a"\\/\n', "\u00e9\u2028\U0001f600", "\ud800"])
def test_strings_are_written_as_the_json_package_does(text: str) -> None:
    assert quoted(text) == json.dumps(text).encode()

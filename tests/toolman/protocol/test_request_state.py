from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toolman.protocol.request_state import Sealer, StateError, binding

from toolman import jsonrpc

pytestmark = pytest.mark.requirement("T-03")

BOUND = binding("anna", "tools/call", "t", b'{"a":1}')


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(st.integers(min_value=0))
def test_a_state_names_the_call_that_it_was_made_for(number: int) -> None:
    sealer = Sealer(b"k" * 32, Clock())
    assert sealer.open(sealer.seal(number, BOUND, 10), BOUND) == number


def test_a_state_is_valid_until_it_is_too_old() -> None:
    clock = Clock()
    sealer = Sealer(b"k" * 32, clock)
    state = sealer.seal(1, BOUND, 10)
    clock.now += 10
    assert sealer.open(state, BOUND) == 1
    clock.now += 1
    with pytest.raises(StateError, match="too old"):
        sealer.open(state, BOUND)


@given(st.data())
def test_a_state_with_anything_changed_is_refused(data: st.DataObject) -> None:
    sealer = Sealer(b"k" * 32, Clock())
    state = sealer.seal(12, BOUND, 10)
    place = data.draw(st.integers(0, len(state) - 1))
    changed = state[:place] + data.draw(st.text(max_size=3)) + state[place + 1 :]
    if changed != state:
        with pytest.raises(StateError):
            sealer.open(changed, BOUND)


@given(st.text())
def test_whatever_else_is_shown_is_refused(state: str) -> None:
    with pytest.raises(StateError):
        Sealer(b"k" * 32, Clock()).open(state, BOUND)


def test_a_state_of_another_key_or_for_another_request_is_refused() -> None:
    state = Sealer(b"k" * 32, Clock()).seal(1, BOUND, 10)
    with pytest.raises(StateError):
        Sealer(b"x" * 32, Clock()).open(state, BOUND)
    for other in (
        binding("bert", "tools/call", "t", b'{"a":1}'),
        binding("anna", "prompts/get", "t", b'{"a":1}'),
        binding("anna", "tools/call", "u", b'{"a":1}'),
        binding("anna", "tools/call", "t", b'{"a":2}'),
        binding("anna", "tools/call", "t", None),
    ):
        with pytest.raises(StateError):
            Sealer(b"k" * 32, Clock()).open(state, other)


def test_equal_arguments_are_the_same_however_they_are_spelt() -> None:
    assert binding("", "m", "n", b'{"b":"\\u00e9","a":9007199254740993}') == binding(
        "", "m", "n", '{ "a" : 9007199254740993, "b":"\u00e9" }'.encode()
    )
    assert binding("", "m", "n", b'{"a":9007199254740993}') != binding("", "m", "n", b'{"a":9007199254740992}')
    assert binding("", "m", "n", b'"\\ud83d"') != binding("", "m", "n", b'"\\ud83e"')
    assert binding("a", "b", "c", None) != binding("ab", "", "c", None)


@pytest.mark.parametrize("arguments", [b"[" * 100_000, json.dumps(10**4000).encode() * 2, b"{"])
def test_arguments_that_cannot_be_read_are_refused(arguments: bytes) -> None:
    with pytest.raises(jsonrpc.Malformed):
        binding("", "m", "n", arguments)

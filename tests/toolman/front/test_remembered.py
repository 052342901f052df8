"""How long an answer about a token counts: while there is another one to be had, and while there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
from toolman.config import Guard
from toolman.front.remembered import BLIND_FOR, MAX_KNOWN, REFUSED_FOR, Remembered

pytestmark = pytest.mark.requirement("O-04")

SETTINGS = Guard(audience="a", cache=60, outage=600)
DIGEST = b"digest"


@dataclass
class Time:
    passed: float = 0.0
    known: Remembered = field(init=False)

    def __post_init__(self) -> None:
        self.known = Remembered(lambda: 1_000 + self.passed, lambda: 2_000_000 + self.passed)

    def learn(self, pod: str = "pod", ends: float = math.inf) -> None:
        self.known.learn(DIGEST, pod, 2_000_000 + ends, SETTINGS)

    @property
    def counts(self) -> bool:
        return self.known.look_up(DIGEST) is not None

    @property
    def goes_on(self) -> bool:
        return self.known.prolonged(DIGEST) is not None


@pytest.fixture
def time() -> Time:
    return Time()


def test_an_answer_counts_for_the_cache_and_is_prolonged_for_the_outage(time: Time) -> None:
    time.learn()
    time.passed = 59.9
    assert time.counts
    time.passed = 60
    assert not time.counts
    assert time.goes_on
    assert time.counts
    time.passed += BLIND_FOR
    assert not time.counts
    time.passed = 659.9
    assert time.goes_on
    time.passed = 660
    assert not time.goes_on
    assert not time.counts


def test_a_token_counts_no_longer_than_it_lasts_itself(time: Time) -> None:
    time.learn(ends=100)
    time.passed = 99.9
    assert time.goes_on
    time.passed = 100
    assert not time.goes_on
    assert not time.counts
    time.passed = 0
    time.learn(ends=10)
    time.passed = 10
    assert not time.counts


def test_a_refusal_counts_for_a_moment_and_is_never_prolonged(time: Time) -> None:
    time.learn(pod="")
    assert time.counts
    assert not time.goes_on
    time.passed = REFUSED_FOR
    assert not time.counts
    assert not time.goes_on


def test_what_is_kept_is_bounded() -> None:
    known = Remembered(lambda: 0.0, lambda: 0.0)
    for number in range(MAX_KNOWN + 1):
        known.learn(b"%d" % number, "pod", math.inf, SETTINGS)
    assert known.look_up(b"0") is None
    assert known.look_up(b"1") is not None

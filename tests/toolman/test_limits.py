from __future__ import annotations

import msgspec
import pytest
from toolman.limits import FREE, LIMITED, Limiter, Permit, Refusal
from toolman.policy import Layer, Limits

pytestmark = pytest.mark.requirement("T-12")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def limiter(clock: Clock, *layers: Layer) -> Limiter:
    made = Limiter(clock)
    made.apply(layers)
    return made


def layer(source: str = "A", *servers: str, calls: int | None = None, at_a_time: int | None = None) -> Layer:
    limits = Limits(calls_per_minute=calls, max_concurrent_calls=at_a_time)
    return Layer(source=source, servers=servers or ("*",), limits=limits)


def test_a_server_that_nobody_bounds_has_room_for_everything(clock: Clock) -> None:
    assert limiter(clock, layer("A", "other", calls=1)).admit("git") is FREE


def test_calls_a_minute_come_from_a_bucket_that_fills_evenly(clock: Clock) -> None:
    made = limiter(clock, layer(calls=6))
    assert all(isinstance(made.admit("git"), Permit) for _ in range(6))
    assert made.admit("git") == Refusal("A", "callsPerMinute", 6, 10.0)
    clock.now += 9
    refusal = made.admit("git")
    assert isinstance(refusal, Refusal)
    assert refusal.wait == pytest.approx(1.0)
    clock.now += 1.01
    assert isinstance(made.admit("git"), Permit)
    clock.now += 3600
    assert sum(isinstance(made.admit("git"), Permit) for _ in range(10)) == 6


def test_calls_at_a_time_are_counted_until_they_are_released(clock: Clock) -> None:
    made = limiter(clock, layer(at_a_time=1))
    permit = made.admit("git")
    assert isinstance(permit, Permit)
    assert made.admit("git") == Refusal("A", "maxConcurrentCalls", 1, None)
    permit.release()
    permit.release()
    assert isinstance(made.admit("git"), Permit)
    assert isinstance(made.admit("git"), Refusal)


def test_the_tightest_layer_wins_and_a_refused_call_uses_nothing(clock: Clock) -> None:
    made = limiter(clock, layer("A", calls=2), layer("B", calls=1))
    assert isinstance(made.admit("git"), Permit)
    for _ in range(5):
        assert made.admit("git") == Refusal("B", "callsPerMinute", 1, 60.0)
    made.apply([layer("A", calls=2)])
    assert isinstance(made.admit("git"), Permit)


def test_a_layers_bucket_is_one_for_all_servers_that_it_is_about(clock: Clock) -> None:
    made = limiter(clock, layer("A", calls=1))
    assert isinstance(made.admit("git"), Permit)
    assert isinstance(made.admit("time"), Refusal)


def test_what_was_used_stays_used_when_other_layers_change(clock: Clock) -> None:
    made = limiter(clock, layer("A", calls=1, at_a_time=1))
    permit = made.admit("git")
    made.apply([layer("A", calls=1, at_a_time=1), layer("B", calls=9)])
    assert isinstance(made.admit("git"), Refusal)
    assert isinstance(permit, Permit)
    permit.release()
    clock.now += 60
    assert isinstance(made.admit("git"), Permit)


@pytest.mark.requirement("T-11")
def test_a_layer_in_audit_mode_says_that_it_would_refuse(clock: Clock) -> None:
    made = limiter(clock, Layer(source="A", enforcement="audit", limits=Limits(calls_per_minute=1)))
    first, second = made.admit("git"), made.admit("git")
    assert isinstance(first, Permit)
    assert isinstance(second, Permit)
    assert (first.would_refuse, second.would_refuse) == ((), ("A",))


def test_the_error_names_the_limit_and_when_to_try_again_and_no_layer() -> None:
    error = msgspec.json.decode(Refusal("ToolPolicy/secret", "callsPerMinute", 6, 1.23).error[1])
    assert error == {
        "code": LIMITED,
        "message": "limit callsPerMinute of 6 is reached: try again in 1.3 s",
        "data": {"limit": "callsPerMinute", "value": 6, "retryAfterSeconds": 1.3},
    }
    assert (
        "when another call has ended"
        in msgspec.json.decode(Refusal("A", "maxConcurrentCalls", 1, None).error[1])["message"]
    )

from __future__ import annotations

import copy
import threading
from typing import TYPE_CHECKING

import pytest
from mcp_operator import cluster
from mcp_operator.lease import DURATION, RENEW_DEADLINE, Lease

if TYPE_CHECKING:
    from mcp_operator.cluster import Manifest

BOUND = 10


class Server:
    """Leases with resource versions, as the API server has them."""

    def __init__(self) -> None:
        self.stored: Manifest | None = None
        self.down = False

    def lease(self, namespace: str, name: str) -> Manifest | None:
        del namespace, name
        self._check()
        return copy.deepcopy(self.stored)

    def create_lease(self, manifest: Manifest) -> Manifest:
        self._check()
        if self.stored is not None:
            raise cluster.ConflictError("exists")
        self.stored = copy.deepcopy(manifest)
        self.stored["metadata"]["resourceVersion"] = "1"
        return self.stored

    def replace_lease(self, manifest: Manifest) -> Manifest:
        self._check()
        assert self.stored is not None
        version = self.stored["metadata"]["resourceVersion"]
        if manifest["metadata"]["resourceVersion"] != version:
            raise cluster.ConflictError("changed")
        self.stored = copy.deepcopy(manifest)
        self.stored["metadata"]["resourceVersion"] = str(int(version) + 1)
        return self.stored

    def _check(self) -> None:
        if self.down:
            raise cluster.UnreachableError("down")


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def candidate(server: Server, identity: str, time: Time, place: str = "") -> Lease:
    return Lease(server, "mcp-system", identity, time, retry=0.005, place=place)


@pytest.mark.requirement("F-08")
def test_only_one_of_two_candidates_gets_the_lease() -> None:
    server, time = Server(), Time()
    first, second = candidate(server, "first", time), candidate(server, "second", time)
    assert first.acquire(threading.Event())
    assert second._attempt() == "first"


def test_a_lease_that_is_not_renewed_can_be_taken_after_its_duration() -> None:
    server, time = Server(), Time()
    candidate(server, "first", time).acquire(threading.Event())
    second = candidate(server, "second", time)
    assert second._attempt() == "first"
    time.now += DURATION
    assert second._attempt() == "first"
    time.now += 0.1
    assert second._attempt() == "second"
    assert server.stored is not None
    assert server.stored["spec"]["leaseTransitions"] == 1


@pytest.mark.requirement("O-31")
def test_who_is_started_again_in_the_same_place_takes_the_lease_of_the_one_that_died_at_once() -> None:
    server, time = Server(), Time()
    candidate(server, "host_pod_first", time, "host_pod_").acquire(threading.Event())
    assert candidate(server, "host_other_second", time, "host_other_")._attempt() == "host_pod_first"
    assert candidate(server, "host_third", time)._attempt() == "host_pod_first"
    assert candidate(server, "host_pod_fourth", time, "host_pod_")._attempt() == "host_pod_fourth"


def test_each_renewal_starts_the_duration_anew() -> None:
    server, time = Server(), Time()
    first, second = candidate(server, "first", time), candidate(server, "second", time)
    first.acquire(threading.Event())
    for _ in range(3):
        assert second._attempt() == "first"
        time.now += DURATION - 1
        assert first._attempt() == "first"
        assert second._attempt() == "first"


def test_a_released_lease_is_taken_at_once() -> None:
    server, time = Server(), Time()
    first, second = candidate(server, "first", time), candidate(server, "second", time)
    first.acquire(threading.Event())
    first.keep(lost=lambda: pytest.fail("it was released, not lost"))
    first.release()
    assert second.acquire(threading.Event())


def test_waiting_for_the_lease_ends_when_told_to_stop() -> None:
    server, time = Server(), Time()
    candidate(server, "first", time).acquire(threading.Event())
    stop = threading.Event()
    answers: list[bool] = []
    waiting = threading.Thread(target=lambda: answers.append(candidate(server, "second", time).acquire(stop)))
    waiting.start()
    stop.set()
    waiting.join(BOUND)
    assert answers == [False]


def test_the_holder_stops_before_anybody_else_may_take_over_when_the_api_server_is_gone() -> None:
    server, time = Server(), Time()
    first = candidate(server, "first", time)
    first.acquire(threading.Event())
    lost = threading.Event()
    server.down = True
    first.keep(lost=lost.set)
    time.now += RENEW_DEADLINE + 0.1
    assert lost.wait(BOUND)
    assert RENEW_DEADLINE < DURATION
    first.release()


def test_the_holder_stops_at_once_when_somebody_else_has_the_lease() -> None:
    server, time = Server(), Time()
    first = candidate(server, "first", time)
    first.acquire(threading.Event())
    assert server.stored is not None
    server.stored["spec"]["holderIdentity"] = "second"
    server.stored["metadata"]["resourceVersion"] = "7"
    lost = threading.Event()
    first.keep(lost=lost.set)
    assert lost.wait(BOUND)
    first.release()
    assert server.stored["spec"]["holderIdentity"] == "second"


def test_a_candidate_that_was_too_slow_does_not_believe_to_hold_the_lease() -> None:
    class Late(Server):
        def lease(self, namespace: str, name: str) -> Manifest | None:
            seen = super().lease(namespace, name)
            if seen is None:  # between reading and writing somebody else is faster
                self.stored = {"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": "fast"}}
            return seen

    slow = candidate(Late(), "slow", Time())
    assert slow._attempt() == ""
    assert slow._attempt() == "fast"

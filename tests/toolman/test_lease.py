from __future__ import annotations

import os
import subprocess

import msgspec
import pytest
from toolman.upstreams import lease

pytestmark = pytest.mark.requirement("T-22")

ME = lease.own(lambda _: None)


def away(_: str) -> str | None:
    return None


def test_a_process_knows_itself_and_is_not_gone() -> None:
    assert ME.pid == os.getpid()
    assert ME.container == ""
    assert not lease.is_gone(ME, ME, away)
    assert lease.loads(lease.dumps(ME)) == ME


def test_a_process_that_has_ended_is_gone_and_so_is_one_whose_number_another_has_now() -> None:
    with subprocess.Popen(["sleep", "1000"]) as child:
        other = msgspec.structs.replace(ME, pid=child.pid, started=lease._started(child.pid))
        assert not lease.is_gone(other, ME, away)
        child.kill()
    assert lease.is_gone(other, ME, away)
    assert lease.is_gone(msgspec.structs.replace(ME, started="1"), ME, away)


@pytest.mark.parametrize(
    ("changes", "is_gone"),
    [
        ({"machine": "another", "pid": 2**22}, False),
        ({"namespace": "pid:[1]", "pid": 2**22}, False),
        ({"boot": "an earlier one"}, True),
        ({"container": "c", "container_started": "monday"}, False),
        ({"container": "c", "container_started": "sunday"}, True),
    ],
)
def test_only_what_can_be_seen_is_judged(changes: dict[str, object], is_gone: bool) -> None:  # noqa: FBT001
    me = msgspec.structs.replace(ME, machine="this one")
    owner = msgspec.structs.replace(me, **changes)
    assert lease.is_gone(owner, me, lambda _: "monday") is is_gone


def test_another_boot_of_a_machine_that_has_no_name_is_not_judged() -> None:
    me = msgspec.structs.replace(ME, machine="")
    assert not lease.is_gone(msgspec.structs.replace(me, boot="another"), me, away)


def test_the_owner_in_a_container_that_does_not_run_any_more_is_gone() -> None:
    owner = msgspec.structs.replace(ME, container="c", container_started="monday")
    assert lease.is_gone(owner, ME, away)


def test_a_container_is_known_by_its_own_files_and_not_by_those_of_others() -> None:
    own, other = "a" * 64, "b" * 64
    shm = f"5 1 0:2 / /var/lib/docker/containers/{other}/mounts/shm rw - tmpfs shm rw\n"
    files = f"6 1 8:1 /var/lib/docker/containers/{own}/resolv.conf /etc/resolv.conf rw - ext4 /dev/sda1 rw\n"
    assert lease.own_container(shm + files) == own
    assert lease.own_container(shm) == ""


@pytest.mark.parametrize("text", ["", "{}", "nonsense", '{"pid":"x"}', "\ud800"])
def test_a_label_that_is_none_of_ours_is_nobodys(text: str) -> None:
    assert lease.loads(text) is None

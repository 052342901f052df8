from __future__ import annotations

import pytest

from toolman import addresses

pytestmark = pytest.mark.requirement("O-01")


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_what_the_internet_routes_is_public(address: str) -> None:
    assert addresses.place(address) == "public"


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "172.16.9.9",
        "192.168.1.1",
        "100.64.1.1",
        "fd12::1",
        "fec0::1",
        "240.0.0.1",
        "64:ff9b:1::1",
        "4000::1",
    ],
)
def test_networks_around_a_cluster_and_what_nobody_routes_are_private(address: str) -> None:
    assert addresses.place(address) == "private"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "0.0.0.0",  # noqa: S104 - nothing is bound to it
        "::",
        "169.254.1.1",
        "fe80::1",
        "fe80::1%eth0",
        "224.0.0.1",
        "ff02::1",
    ],
)
def test_this_machine_and_its_link_are_never_anybody_elses(address: str) -> None:
    assert addresses.place(address) == "own"


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "169.254.170.2", "fd00:ec2::254", "fd00:ec2::23"),  # Amazon's, and others'
        *(
            "fd20:ce::254",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
        ),  # Google's, Alibaba's, Azure's, Oracle's
    ],
)
def test_a_clouds_metadata_is_the_machines_own(address: str) -> None:
    assert addresses.place(address) == "own"


@pytest.mark.parametrize(
    "address",
    [
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "::169.254.169.254",
        "::ffff:127.0.0.1",
    ],
)
def test_an_address_in_disguise_is_judged_by_what_it_stands_for(address: str) -> None:
    assert addresses.place(address) == "own"


@pytest.mark.parametrize("text", ["", "localhost", "0x7f.1", "1.2.3", "2130706433"])
def test_what_is_no_address_is_refused(text: str) -> None:
    assert addresses.place(text) == "own"


def test_further_networks_are_told_also_for_an_address_in_disguise() -> None:
    assert addresses.within("198.51.100.7", ["198.51.100.0/24"])
    assert addresses.within("::ffff:198.51.100.7", ["198.51.100.0/24"])
    assert not addresses.within("198.51.101.7", ["198.51.100.0/24", "2001:db8::/32"])

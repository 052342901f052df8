from __future__ import annotations

from lab import kernel

LISTING = """\
-P INPUT ACCEPT
-P FORWARD DROP
-N CNI-FORWARD
-N CNI-ADMIN
-N DOCKER-USER
-A FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD
-A FORWARD -j DOCKER-USER
-A CNI-FORWARD -s 10.244.0.2/32 -j ACCEPT
-A CNI-FORWARD -j CNI-ADMIN
-A DOCKER-USER -j RETURN
"""


def test_jumps_go_before_contents_and_contents_before_chains() -> None:
    assert kernel.deletions(LISTING, ("CNI-",)) == [
        ["-D", "FORWARD", "-m", "comment", "--comment", "CNI firewall plugin rules", "-j", "CNI-FORWARD"],
        ["-F", "CNI-FORWARD"],
        ["-F", "CNI-ADMIN"],
        ["-X", "CNI-FORWARD"],
        ["-X", "CNI-ADMIN"],
    ]


def test_what_others_made_stays() -> None:
    assert kernel.deletions(LISTING, ("KUBE-",)) == []


def test_an_empty_table_needs_nothing() -> None:
    assert kernel.deletions("", ("CNI-",)) == []

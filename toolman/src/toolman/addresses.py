"""Which addresses lead elsewhere: not to this machine, this cluster, or a cloud's metadata. Pure.

An address in disguise is judged by what it stands for: an IPv4 address inside an IPv6 one, whichever way it is put
there, since the kernel or a gateway takes it out again.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

Place = Literal["public", "private", "own"]
"""Elsewhere; in this cluster or the network around it; this machine, its link, or a cloud's metadata."""

METADATA: Final = frozenset(
    {
        *("169.254.169.254", "169.254.170.2", "fd00:ec2::254", "fd00:ec2::23"),
        *("fd20:ce::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
    }
)
"""Where clouds answer questions about the machine, with its credentials among the answers."""

_NAT64: Final = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
"""The one that all know, and the one for networks of one's own, where the IPv4 address usually is at the end, too."""
_ASSIGNED: Final = ipaddress.IPv6Network("2000::/3")
"""All of IPv6 that the Internet routes."""
_SHARED: Final = ipaddress.IPv4Network("100.64.0.0/10")
"""Of carriers, and of many a cluster's Pods."""


def place(address: str) -> Place:
    """Say where an address is; what is no address, or none that anybody serves on, counts as ``own``."""
    try:
        found = _plain(ipaddress.ip_address(address.partition("%")[0]))
    except ValueError:
        return "own"
    if str(found) in METADATA or found.is_loopback or found.is_link_local or found.is_unspecified or found.is_multicast:
        return "own"
    if found.is_private or not found.is_global:
        return "private"
    routed = found not in _SHARED if isinstance(found, ipaddress.IPv4Address) else found in _ASSIGNED
    return "public" if routed else "private"


def within(address: str, networks: Iterable[str]) -> bool:
    """Tell whether an address is in one of some networks, such as ``10.0.0.0/8``."""
    found = _plain(ipaddress.ip_address(address.partition("%")[0]))
    return any(found in ipaddress.ip_network(network, strict=False) for network in networks)


def _plain(address: Address) -> Address:
    """Take an IPv4 address out of an IPv6 one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if any(address in network for network in _NAT64):
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = address.teredo[1] if address.teredo else None
    # ::1.2.3.4, which is deprecated; :: and ::1 are addresses of their own.
    compatible = ipaddress.IPv4Address(int(address)) if 1 < int(address) < 1 << 32 else None
    return address.ipv4_mapped or address.sixtofour or teredo or compatible or address

"""What the engine and the cluster leave in the kernel, and its removal: iptables, devices, mounts, cgroups."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path

from lab import commands

FAMILIES = ("iptables", "ip6tables")
TABLES = ("filter", "nat", "mangle")
CGROUPS = Path("/sys/fs/cgroup")
IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")


def deletions(listing: str, prefixes: tuple[str, ...]) -> list[list[str]]:
    """Give the iptables arguments that remove chains with these prefixes from a table.

    Args:
        listing: What ``iptables -S`` printed for the table.
        prefixes: Beginnings of chains' names.

    Returns:
        One list of arguments a command, in the order in which they must run: jumps, contents, chains.
    """
    lines = [shlex.split(line) for line in listing.splitlines()]
    chains = [words[1] for words in lines if words[0] == "-N" and words[1].startswith(prefixes)]
    kept = [words for words in lines if words[0] == "-A" and not words[1].startswith(prefixes)]
    jumps = [["-D", *words[1:]] for words in kept if _target(words).startswith(prefixes)]
    return jumps + [["-F", chain] for chain in chains] + [["-X", chain] for chain in chains]


def _target(rule: list[str]) -> str:
    """Give the chain to which a rule jumps or goes."""
    return next((rule[i + 1] for i, word in enumerate(rule[:-1]) if word in {"-j", "-g"}), "")


def remove_chains(prefixes: tuple[str, ...]) -> None:
    """Remove chains with these prefixes, and what jumps to them, from all tables."""
    for family in FAMILIES:
        for table in TABLES:
            listing = commands.attempt(family, "-w", "-t", table, "-S").stdout
            for arguments in deletions(listing, prefixes):
                commands.attempt(family, "-w", "-t", table, *arguments)


def remove_rules(bridge: str) -> None:
    """Remove the rules about a bridge that is gone: forwarding to and from it, translation of what leaves it."""
    for table, chain in (("nat", "POSTROUTING"), ("filter", "FORWARD")):
        for line in commands.attempt("iptables", "-w", "-t", table, "-S", chain).stdout.splitlines():
            words = shlex.split(line)
            if words[0] == "-A" and bridge in words:
                commands.attempt("iptables", "-w", "-t", table, "-D", *words[1:])


def forwarding() -> dict[str, str]:
    """Read what the engine changes for the whole machine when it starts."""
    rules = commands.attempt("iptables", "-w", "-S", "FORWARD").stdout.splitlines()
    policy = next((rule.split()[2] for rule in rules if rule.startswith("-P FORWARD")), "ACCEPT")
    return {"policy": policy, "ip_forward": IP_FORWARD.read_text().strip()}


def restore_forwarding(before: dict[str, str]) -> None:
    """Put back what ``forwarding`` read."""
    commands.attempt("iptables", "-w", "-P", "FORWARD", before["policy"])
    with contextlib.suppress(OSError):
        IP_FORWARD.write_text(before["ip_forward"])


def remove_link(name: str) -> None:
    """Remove a network device, if it is there."""
    commands.attempt("ip", "link", "del", name)


def unmount(folder: Path) -> None:
    """Unmount everything below a folder, innermost first."""
    for point in mounted_below(folder):
        commands.attempt("umount", "-l", point)


def mounted_below(folder: Path) -> list[str]:
    """Give what is mounted below a folder, innermost first."""
    points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return sorted((point for point in points if point.startswith(f"{folder}/")), reverse=True)


def remove_cgroups(name: str) -> None:
    """Remove the cgroups below those of this name; the kernel refuses those in which a process is left."""
    for group in (CGROUPS / name, *CGROUPS.glob(f"*/{name}")):
        folders = [folder for folder in group.rglob("*") if folder.is_dir()] if group.is_dir() else []
        for folder in sorted(folders, reverse=True):
            with contextlib.suppress(OSError):
                folder.rmdir()
        with contextlib.suppress(OSError):
            group.rmdir()

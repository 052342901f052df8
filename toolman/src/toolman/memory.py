"""Giving memory back to the system: glibc keeps what imports and big results have used, some megabytes a sidecar."""

from __future__ import annotations

import ctypes
import gc

_M_MMAP_THRESHOLD = -3
_BIG = 256 * 1024
"""Bytes. Blocks from here on are mapped one by one and given back at once, whatever glibc learns on the way."""


def settle() -> None:
    """After starting: what is there stays, so the collector need not look at it again."""
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):  # another C library has neither the trouble nor the cure
        library.mallopt(_M_MMAP_THRESHOLD, _BIG)
    gc.collect()
    gc.freeze()
    give_back()


def give_back() -> None:
    """Return what is free at the moment."""
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)

"""How the C library treats memory that tensors give back. Knows no tensor."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

TRIM_THRESHOLD: Final = -1
MMAP_THRESHOLD: Final = -3
LARGEST: Final = 32 * 1024 * 1024
"""Bytes; glibc takes no more than 32 MiB here."""
KEPT: Final = 256 * 1024 * 1024


def keep_freed_memory() -> None:
    """Lets this process use up to 256 MiB again that tensors of up to 32 MiB gave back, instead of asking the system.

    The system clears every page that it gives, which takes longer than most arithmetic on it: mergekit's slerp of 11 M
    elements took 6.9 ns an element before and 2.2 ns after. Of no effect where the C library is not glibc.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(MMAP_THRESHOLD, LARGEST)
        library.mallopt(TRIM_THRESHOLD, KEPT)

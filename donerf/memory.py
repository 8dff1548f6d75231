"""How this process keeps memory between the tiles of a frame."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_LARGEST_KEPT_BLOCK = 1 << 25
"""The most that glibc allows."""
_GROWTH = 1 << 28
"""Address space that is taken at once; a page costs memory only when it is first written."""


@cache
def keep_freed_memory() -> None:
    """Let the C library keep freed memory for the next tile instead of returning it.

    Each tile allocates and frees the same few megabytes. By default glibc gives such blocks back
    to the system at once, which then clears every page of the next tile anew; that takes a large
    part of a frame's time. For the whole process; does nothing where the library is another one.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT_BLOCK)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_TOP_PAD, _GROWTH)

"""Keep freed memory for the next array, instead of giving it back and asking for it again.

The C library of GNU gives arrays above 128 kB back to the system when they are freed, so that
every one as large begins with page faults, which cost more than much that is done with it. When a
larger one is freed it raises that limit, up to 32 MB, and keeps twice as much at the end of its
heap. Here both are there from the start.

Source: GNU C Library Reference Manual, "Malloc Tunable Parameters"; mallopt(3).
"""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MMAP_THRESHOLD_BYTES = 32 * 2**20
"""Where the library would stop raising it."""


def keep_freed_memory() -> None:
    """Set the limits of this process; nothing where the C library is another."""
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES)
        mallopt(_M_TRIM_THRESHOLD, 2 * _MMAP_THRESHOLD_BYTES)

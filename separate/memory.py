"""Settings of glibc's allocator for a process that separates.

Each segment uses and frees hundreds of megabytes, which by default are returned to the system and
fetched again page by page.
"""

import ctypes
import os
from contextlib import suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of glibc's mallopt
_KEPT_BYTES = 1 << 30


def keep_memory() -> None:
    """Keep what is freed, in one heap for all threads, in large pages; call it before torch loads.

    By default each thread has a heap of its own, and each keeps what its largest window left
    behind.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch asks for large pages
    with suppress(AttributeError, OSError, TypeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)


def release_memory() -> None:
    """Give the pages of all holes in the heap back to the system.

    Blocks of many sizes leave holes that the next ones do not fit: without this now and then, a
    file of hours takes more than one of minutes.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)

"""How the C library of this process treats memory that it no longer needs."""

import ctypes
import sys

KEPT_BYTES = 32 * 2**20  # at most at the end of each heap, of which every thread has one of 64 MiB
LARGE_BYTES = 32 * 2**20  # what is larger, as a map of 8 megapixels is, goes back to the system at once

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt, see malloc.h


def keep_freed_memory() -> None:
    """Keep the memory of photos for the next ones, where the C library is glibc; elsewhere nothing happens.

    A photo's pixels and maps come and go some hundred times a second, and glibc gives most of them back to the system
    in between, which then clears every page of them again.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt:
        mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(_MMAP_THRESHOLD, LARGE_BYTES)

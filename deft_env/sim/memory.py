"""Gives memory that a long run has freed back to the system."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable


@functools.cache
def _trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library than glibc
        return None


def give_back() -> bool:
    """Asks the C library to return freed pages; what is in use is not touched.

    Models and logs of some hundred kilobytes come and go with every episode, in sizes that differ from variant to
    variant. glibc keeps what is freed in such a mix: a sweep's worker grew by a megabyte with every four episodes.

    Returns:
        Whether it could be asked (glibc only).
    """
    trim = _trim()
    if trim is None:
        return False
    trim(0)
    return True

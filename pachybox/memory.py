"""What glibc keeps of memory that was freed: as little as costs nothing.

Measured under a steady load of posts and files, it kept 10 to 20 MB, more from minute to minute.
DuckDB has an allocator of its own (meta/connect.py), small objects of Python's are in neither.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

TRIM_S = 30.0
_M_ARENA_MAX = -8
_LIBC: Any = ctypes.CDLL(None)


def _function(name: str) -> Callable[..., int]:
    """One of glibc's own; one that does nothing where there is another library of C."""
    return getattr(_LIBC, name, lambda *_: 0)


def one_heap() -> None:
    """Have all threads share a heap. To be called before there is a second one.

    By itself glibc makes up to eight a core, each with holes of its own. Threads do not wait for
    each other the more: small pieces they keep for themselves, and most hold Python's lock.
    """
    _function("mallopt")(_M_ARENA_MAX, 1)


def trim() -> None:
    """Give whole pages that are free back to the system; some 0.1 ms. Every ``TRIM_S``, and not at
    each free as glibc can be told to: what carries megabytes would be asked for again at once."""
    _function("malloc_trim")(0)

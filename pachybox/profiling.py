"""What the daemon is doing: its threads now, where their time goes, where memory comes from.

For a look at a working box; nothing of it costs anything while nobody asks.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
import tracemalloc
from collections import Counter
from collections.abc import Callable
from types import FrameType

_EVERY_S = 0.01
_LOOK_S = 0.1  # between looks whether the caller still waits
_DEPTH = 64
_LINES = 200

_tracing = threading.Lock()


def stacks() -> str:
    """The stack of every thread."""
    names = {t.ident: t.name for t in threading.enumerate()}
    parts = []
    for ident, frame in sys._current_frames().items():
        text = "".join(traceback.format_stack(frame))
        parts.append(f"thread {names.get(ident, '?')} ({ident})\n{text}")
    return "\n".join(parts)


def cpu(seconds: float, cancelled: Callable[[], bool]) -> str:
    """Where the threads were, looked at a hundred times a second for ``seconds``: a line
    ``thread;outer;...;inner COUNT`` each, most frequent first (the form of flame graphs)."""
    found: Counter[str] = Counter()
    own = threading.get_ident()
    until = time.monotonic() + seconds
    while time.monotonic() < until and not cancelled():
        names = {t.ident: t.name for t in threading.enumerate()}
        for ident, frame in sys._current_frames().items():
            if ident != own:
                found[f"{names.get(ident, '?')};{_folded(frame)}"] += 1
        time.sleep(_EVERY_S)
    return "".join(f"{stack} {count}\n" for stack, count in found.most_common())


def _folded(frame: FrameType) -> str:
    names: list[str] = []
    at: FrameType | None = frame
    while at is not None and len(names) < _DEPTH:
        code = at.f_code
        names.append(f"{code.co_filename.rsplit('/', 1)[-1]}:{code.co_qualname}")
        at = at.f_back
    return ";".join(reversed(names))


def heap(seconds: float, cancelled: Callable[[], bool]) -> str:
    """What was allocated during ``seconds`` and is still held, by line of the program. Slows
    the box down meanwhile."""
    while not _tracing.acquire(timeout=_LOOK_S):  # another one's profile is being taken
        if cancelled():
            return ""
    tracemalloc.start()
    try:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not cancelled():
            time.sleep(min(_LOOK_S, max(0.0, until - time.monotonic())))
        taken = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
        _tracing.release()
    return "".join(f"{line}\n" for line in taken.statistics("lineno")[:_LINES])

"""Progress of uploads and downloads: a call-back, or a line on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pachybox.client.shown import human

Progress = Callable[[int, int], None]
"""Called now and then with (bytes, files) so far."""

Stages = Callable[[str, int, int], None]
"""Called with what is done now, how much of it is done, and of how much (0: not known)."""

_EVERY_S = 0.1


class Bar:
    """A line that tells how far a transfer is, for a terminal and for a notebook.

    >>> with Bar("photos") as bar:
    ...     box.put_files("images@master:/", "photos/", progress=bar)
    """

    def __init__(self, label: str = "") -> None:
        self._label = f"{label}: " if label else ""
        self._began = time.monotonic()
        self._next = 0.0
        self._width = 0
        self._last = (0, 0)

    def __call__(self, size: int, files: int) -> None:
        """Show that ``size`` bytes and ``files`` files are done."""
        self._last = (size, files)
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _EVERY_S
            self._show(now, "\r")

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Show the last state and end the line."""
        self._show(time.monotonic(), "\n")

    def _show(self, now: float, end: str) -> None:
        size, files = self._last
        rate = size / max(now - self._began, 1e-3)
        plural = "" if files == 1 else "s"
        text = f"{self._label}{files:,} file{plural}, {human(size)}, {human(int(rate))}/s"
        sys.stderr.write(f"\r{text.ljust(self._width)}{end if end != chr(13) else ''}")
        sys.stderr.flush()
        self._width = len(text)


@contextmanager
def watched(progress: Progress | bool | None) -> Iterator[Progress | None]:
    """The call-back that ``progress`` means: True is a ``Bar``."""
    if progress is True:
        with Bar() as bar:
            yield bar
    else:
        yield progress or None

"""A line on stderr that says how far something long is. Nothing when stderr is no terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TextIO

from pachybox.cli.output import size, visible

_EVERY_S = 0.1
_QUIET_S = 0.5  # a transfer shorter than this shows nothing


class Bar:
    """Call it with (bytes, files) so far; a context manager that clears its line at the end.

    With ``total`` bytes known it shows the share done and the time left.
    """

    def __init__(
        self,
        what: str,
        *,
        total: int = 0,
        enabled: bool = True,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream or sys.stderr
        self._enabled = enabled and self._stream.isatty()
        self._what = what
        self._total = total
        self._clock = clock
        self._begun = clock()
        self._shown = self._begun + _QUIET_S - _EVERY_S

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._enabled and self._shown > self._begun + _QUIET_S:
            self._stream.write("\r\033[K")
            self._stream.flush()

    def __call__(self, done: int, files: int) -> None:
        """Show the state, at most ten times a second."""
        now = self._clock()
        if not self._enabled or now < self._shown + _EVERY_S:
            return
        self._shown = now
        self._stream.write("\r" + self.text(done, files, now - self._begun)[: _width() - 1])
        self._stream.write("\033[K")
        self._stream.flush()

    def text(self, done: int, files: int, seconds: float) -> str:
        """The line for ``done`` bytes of ``files`` files after ``seconds``."""
        rate = done / seconds if seconds else 0.0
        parts = [
            self._what,
            f"{files:,} file{'s' * (files != 1)}",
            size(done),
            f"{size(int(rate))}/s",
        ]
        if self._total:
            share = min(done / self._total, 1.0)
            filled = int(share * 20)
            parts.insert(1, f"[{'#' * filled}{'.' * (20 - filled)}] {share:4.0%}")
            if rate and share < 1:
                left = int((self._total - done) / rate)
                parts.append(f"{left // 60}:{left % 60:02} left")
        return "  ".join(parts)


class Line:
    """Call it with what is waited for now; a context manager that clears its line at the end."""

    def __init__(self) -> None:
        self._enabled = sys.stderr.isatty()
        self._begun = time.monotonic()

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *exc: object) -> None:
        self._write("")

    def __call__(self, text: str) -> None:
        """Show it, behind the seconds that have gone by."""
        self._write(f"{time.monotonic() - self._begun:.0f}s  {visible(text)}")

    def _write(self, text: str) -> None:
        if self._enabled:
            sys.stderr.write(f"\r{text[: _width() - 1]}\033[K")
            sys.stderr.flush()


def _width() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80  # 0: it does not know
    except (OSError, ValueError):
        return 80

"""One file of log lines, read by place: where lines begin, when they were written, what is in them.

A line is JSON with ``ts``, ``user`` and ``message``, as pachybox.worker.log and pachybox.pps.logs
write them; ``ts`` comes first and is RFC 3339 in UTC.
"""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pachybox.errors import PachyboxError
from pachybox.model.units import parse_time

_STEP = 4096  # bytes looked at where one line is wanted
_BACK = 1 << 20
_STAMP = re.compile(rb'\{"ts": "([^"Z]*)Z"')
_HEADING = b'", "user": false, "datum": "'
"""What a line of the box's own has behind its time. Text of users cannot hold it: their quotation
marks have a backslash in front."""


class LineFile:
    """A file of lines. Offsets are bytes; ``end`` bounds what is looked at."""

    def __init__(self, path: Path) -> None:
        """Raises FileNotFoundError."""
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def read(self, start: int, end: int) -> bytes:
        """The bytes of a range; fewer when the file ends before."""
        pieces = []
        while start < end:
            piece = os.pread(self._fd, end - start, start)
            if not piece:
                break
            pieces.append(piece)
            start += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def end(self) -> int:
        """Where the last whole line ends."""
        at = os.fstat(self._fd).st_size
        while at:
            start = max(0, at - _STEP)
            found = self.read(start, at).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            at = start
        return 0

    def line_start(self, at: int, end: int) -> int:
        """Where the first line begins that begins at ``at`` or behind it; ``end`` if none does."""
        if at <= 0:
            return 0
        look = at - 1  # the end of the line before may be just there
        while look < end:
            found = self.read(look, min(look + _STEP, end)).find(b"\n")
            if found >= 0:
                return look + found + 1
            look += _STEP
        return end

    def stamp(self, at: int) -> bytes:
        """When the line that begins at ``at`` was written, as text that sorts as times do; empty
        when it does not say."""
        found = _STAMP.match(self.read(at, at + 64))
        return found[1] if found else b""

    def first_since(self, stamp: bytes, start: int, end: int) -> int:
        """Where the first line of a range begins that was not written before ``stamp``, as far as
        times in it grow; ``end`` if none. ``start`` is the beginning of a line."""
        low, high, found = start, end, end
        while high - low > _STEP:
            middle = (low + high) // 2
            line = self.line_start(middle, found)
            if line >= found:
                high = middle
            elif self.stamp(line) >= stamp:
                found, high = line, middle
            else:
                low = line
        while low < found and self.stamp(low) < stamp:
            low = self.line_start(low + 1, found)
        return low

    def heading_before(self, at: int) -> tuple[str, int]:
        """The datum that a line beginning at ``at`` is about, and the number of its attempt."""
        while at > 0:
            start = max(0, at - _BACK)
            found = self.read(start, at).rfind(_HEADING)
            if found >= 0:
                return heading_of(self._line_around(start + found))
            # one that lies across the edge of two pieces is found in the next
            at = start + len(_HEADING) - 1 if start else 0
        return "", 0

    def headings(self, start: int, end: int) -> list[tuple[int, str]]:
        """The lines of a range that name a datum: where they begin, and which. The range holds
        whole lines."""
        found = []
        while start < end:
            stop = self.line_start(min(start + _BACK, end), end)
            data = self.read(start, stop)
            at = data.find(_HEADING)
            while at >= 0:
                line = data.rfind(b"\n", 0, at) + 1
                behind = data.find(b"\n", at) + 1 or len(data)
                found.append((start + line, heading_of(data[line:behind])[0]))
                at = data.find(_HEADING, behind)
            start = stop
        return found

    def _line_around(self, at: int) -> bytes:
        """The line of the box's own that has ``at`` in it; these are short."""
        start = max(0, at - _STEP)
        data = self.read(start, at + _STEP)
        begin = data.rfind(b"\n", 0, at - start) + 1
        return data[begin:].partition(b"\n")[0]


def parsed(raw: bytes) -> dict[str, Any] | None:
    """What a line holds; None for one that a crash tore."""
    try:
        found = json.loads(raw.decode("utf-8", "replace"))
    except ValueError:
        return None
    good = isinstance(found, dict) and isinstance(found.get("message"), str)
    return found if good else None


def heading_of(raw: bytes) -> tuple[str, int]:
    """The datum and the attempt that a line of the box's own names."""
    found = parsed(raw) or {}
    return str(found.get("datum") or ""), int(found.get("attempt") or 0)


def time_of(line: dict[str, Any]) -> datetime:
    """When a line was written; the oldest time there is when it does not say."""
    text = str(line.get("ts"))
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    try:
        return parse_time(text)
    except PachyboxError:
        return datetime.min.replace(tzinfo=UTC)

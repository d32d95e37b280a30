"""Logs as they are shown: windows anywhere in them, a search, and what is added.

A log is a row of *parts*: one for a job or a datum, those of all jobs for a pipeline, the files of
what is rotated for a spout or an ingest source. Places go through all of them.
"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple

from pachybox.errors import InvalidArgument
from pachybox.pps.log_file import heading_of, parsed, time_of
from pachybox.pps.log_lines import Line, level_of, shortened
from pachybox.pps.log_order import Cut, Raw, View
from pachybox.pps.log_search import Pattern

MOST_LINES = 20_000
_MOST_BYTES = 8 << 20  # of an answer
_BLOCK = 2 << 20  # looked through at once
_SLOW_S = 20.0  # a search may take that long,
_SLOWEST = 4 << 20  # and longer while it takes so many bytes a second
_AT_ONCE = 2  # blocks
_BATCH = 500  # lines of those followed


@dataclass(frozen=True, slots=True)
class Part:
    """One log of a row. ``size`` is None while it may grow; ``job`` is "" where there are none."""

    base: int
    size: int | None
    job: str
    open: Callable[[], AbstractContextManager[View]]


class Window(NamedTuple):
    """Lines in order, the places they take, and where the log ends now."""

    lines: list[Line]
    start: int
    end: int
    size: int


class Log:
    """One log. ``parts`` gives its parts in order, as they are now; only lines about datums whose
    id begins with ``datum`` are seen."""

    def __init__(self, parts: Callable[[], Sequence[Part]], datum: str = "") -> None:
        self._parts = parts
        self._datum = datum

    def tail(self, lines: int) -> Window:
        """The last lines."""
        return self.before(None, lines)

    def before(self, at: int | None, lines: int) -> Window:
        """The last lines that begin before a place (None: the end)."""
        found: deque[Line] = deque()
        parts = self._parts()
        start = first = parts[0].base if parts else 0
        size = first
        end: int | None = None
        left = _MOST_BYTES
        for number in range(len(parts) - 1, -1, -1):
            part = parts[number]
            if at is not None and at <= part.base and number < len(parts) - 1:
                continue
            with part.open() as view:
                seen = _Seen(part, view, self._datum)
                size = max(size, part.base + seen.size)
                if end is None:
                    end = size if at is None else min(max(at, first), size)
                raws: deque[Raw] = deque()
                for raw in seen.back(end - part.base):
                    if left <= 0 or len(raws) + len(found) >= lines:
                        break
                    raws.appendleft(raw)
                    left -= len(raw.data)
                start = part.base + raws[0].at if raws else start
                found.extendleft(reversed(seen.lines(raws)))
            if left <= 0 or len(found) >= lines:
                break
            start = first
        size = self._size(parts, size)
        end = first if end is None else end
        return Window(list(found), min(start, end), end, size)

    def after(self, at: int, lines: int) -> Window:
        """The first lines that begin at a place or behind it."""
        found: list[Line] = []
        parts = self._parts()
        if not parts:
            return Window([], 0, 0, 0)
        first = parts[0].base
        start = end = size = max(at, first)
        left = _MOST_BYTES
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            if part.size is not None and part.base + part.size <= at and not last:
                continue
            with part.open() as view:
                seen = _Seen(part, view, self._datum)
                size = part.base + seen.size
                raws: list[Raw] = []
                for raw in seen.forward(max(at - part.base, 0)):
                    if left <= 0 or len(raws) + len(found) >= lines:
                        break
                    raws.append(raw)
                    left -= len(raw.data)
                else:
                    end = size
                if raws and (left <= 0 or len(raws) + len(found) >= lines):
                    end = part.base + raws[-1].after
                found += seen.lines(raws)
            if left <= 0 or len(found) >= lines:
                break
        size = self._size(parts, size)
        start = found[0].at if found else min(start, size)
        return Window(found, start, max(start, min(end, size)), size)

    def find(
        self, pattern: Pattern, at: int, *, back: bool, cancelled: Callable[[], bool]
    ) -> Line | None:
        """The first line at ``at`` or behind it (with ``back`` the last one before) that has the
        pattern; None too once ``cancelled``. Raises InvalidArgument when that takes too long."""
        parts = self._parts()
        for part in reversed(parts) if back else parts:
            ended = part.size is not None and part.base + part.size <= at
            if cancelled() or (back and part.base >= at) or (not back and ended):
                continue
            with part.open() as view:
                seen = _Seen(part, view, self._datum)
                if (raw := seen.first(pattern, at - part.base, back, cancelled)) is not None:
                    return seen.lines([raw])[0]
        return None

    def follow(
        self, at: int, over: Callable[[], bool], wait: Callable[[], object]
    ) -> Iterator[Line | None]:
        """Lines at ``at`` and behind it, and new ones, until ``over``. None: nothing more for now;
        ``wait`` is called then."""
        while True:
            ended = over()  # asked first: what is written until then is read
            while True:
                window = self.after(at, _BATCH)
                yield from window.lines
                at = max(at, window.end)
                if len(window.lines) < _BATCH and window.end >= window.size:
                    break
            if ended:
                return
            yield None
            wait()

    @staticmethod
    def _size(parts: Sequence[Part], size: int) -> int:
        """Where the log ends, of which a part ends at ``size``."""
        for part in parts[-1:]:
            if part.size is None and part.base >= size:
                with part.open() as view:
                    return part.base + view.size
            size = max(size, part.base + (part.size or 0))
        return size


class _Seen:
    """What is shown of one part. Places are those of the part."""

    def __init__(self, part: Part, view: View, datum: str) -> None:
        self._part = part
        self._view = view
        self.size = view.size if part.size is None else min(part.size, view.size)
        self._ranges = (
            [_ranges(view, number, datum) for number in range(len(view.files))] if datum else None
        )

    def forward(self, at: int) -> Iterator[Raw]:
        """Lines from a place on."""
        place: int | None = at
        while place is not None and place < self.size:
            node = self._view.node_at(place)
            if node is None:
                return
            for raw in self._view.lines(node):
                if at <= raw.at < self.size and self._shows(raw):
                    yield raw
            place = self._next(node.end, node.after)

    def back(self, at: int) -> Iterator[Raw]:
        """Lines that begin before a place, last first."""
        at = min(at, self.size)
        place: int | None = at - 1
        while place is not None and place >= 0:
            node = self._view.node_at(place)
            if node is None:
                return
            for raw in reversed(self._view.lines(node)):
                if raw.at < at and self._shows(raw):
                    yield raw
            place = self._previous(node.start, node.at - 1)

    def lines(self, raws: Iterable[Raw]) -> list[Line]:
        """What lines of the log say, without those that a crash tore."""
        about: dict[int, tuple[str, int]] = {}
        made = []
        for raw in raws:
            found = parsed(raw.data)
            if found is None:
                continue
            if not found.get("user") and "datum" in found:
                about[raw.file] = heading_of(raw.data)
            elif raw.file not in about:
                file = self._view.files[raw.file]
                about[raw.file] = file.heading_before(raw.offset) if file else ("", 0)
            datum, attempt = about[raw.file]
            text = str(found["message"])
            made.append(
                Line(
                    time_of(found),
                    shortened(text),
                    level_of(text),
                    datum,
                    self._view.name(raw.file).partition("-")[0],
                    self._part.base + raw.at,
                    attempt,
                    bool(found.get("user")),
                    self._part.job,
                )
            )
        return made

    def first(
        self, pattern: Pattern, at: int, back: bool, cancelled: Callable[[], bool]
    ) -> Raw | None:
        """The first line at a place or behind it (with ``back`` the last before it) that has the
        pattern."""
        under_way: deque[Future[Raw | None]] = deque()
        began, seen = time.monotonic(), 0
        with ThreadPoolExecutor(_AT_ONCE) as pool:  # the engine lets other threads run
            for block in self._blocks(at, back):
                if cancelled():
                    return None
                seen += sum(end - start for _, start, end in block)
                if time.monotonic() - began > _SLOW_S + seen / _SLOWEST:
                    raise InvalidArgument("the search takes too long", "make the pattern simpler")
                under_way.append(pool.submit(self._search, pattern, block, back))
                if len(under_way) > _AT_ONCE and (raw := under_way.popleft().result()) is not None:
                    return raw
            return next((raw for one in under_way if (raw := one.result()) is not None), None)

    def _blocks(self, at: int, back: bool) -> Iterator[list[tuple[int, int, int]]]:
        """Pieces of the log in order of looking: (file, start, end) each, whole lines. All lie
        from ``at`` on, or before it."""
        bound = self._view.vector(min(max(at, 0), self.size))
        edge = self._view.vector(self.size)
        place: int | None = min(at, self.size) - 1 if back else max(at, 0)
        while place is not None and 0 <= place < self.size:
            node = self._view.node_at(place, _BLOCK)
            if node is None:
                return
            low = node.start if back else tuple(map(max, node.start, bound))
            high = tuple(map(min, node.end, bound if back else edge))
            found = [
                (file, max(a, start), min(b, end))
                for file, (start, end) in enumerate(zip(low, high, strict=True))
                for a, b in self._within(file, start, end)
            ]
            yield [one for one in found if one[1] < one[2]]
            if back:
                place = self._previous(node.start, node.at - 1)
            else:
                place = self._next(node.end, node.after)

    def _search(
        self, pattern: Pattern, block: Iterable[tuple[int, int, int]], back: bool
    ) -> Raw | None:
        """The first (or last) line of a block that has the pattern."""
        best: Raw | None = None
        done: set[int] = set()
        for number, start, end in sorted(block, reverse=back):
            file = self._view.files[number]
            if file is None or number in done:
                continue
            data = file.read(start, end)
            line = pattern.lines(data, last=back)
            if line < 0:
                continue
            done.add(number)
            at = 0
            for _ in range(line):
                at = data.index(b"\n", at) + 1
            raw = self._view.place(number, start + at)
            if raw is not None and (best is None or (raw.at > best.at) is back):
                best = raw
        return best

    # ---- of one datum

    def _shows(self, raw: Raw) -> bool:
        return any(
            a <= raw.offset < b for a, b in self._within(raw.file, raw.offset, raw.offset + 1)
        )

    def _within(self, file: int, start: int, end: int) -> list[tuple[int, int]]:
        """The ranges that are shown of a range of a file."""
        if self._ranges is None:
            return [(start, end)]
        ranges = self._ranges[file]
        first = bisect_right(ranges, start, key=lambda one: one[1])
        last = bisect_left(ranges, end, key=lambda one: one[0])
        return ranges[first:last]

    def _next(self, end: Cut, place: int) -> int | None:
        """Where the next piece with something to show begins, behind ``end``."""
        if self._ranges is None:
            return place
        places = []
        for file, ranges in enumerate(self._ranges):
            number = bisect_right(ranges, end[file], key=lambda one: one[1])
            if number < len(ranges):
                offset = max(ranges[number][0], end[file])
                if (raw := self._view.place(file, offset)) is not None:
                    places.append(raw.at)
        return max(place, min(places)) if places else None

    def _previous(self, start: Cut, place: int) -> int | None:
        """The last place of the piece with something to show that ends before ``start``."""
        if self._ranges is None:
            return place
        places = []
        for file, ranges in enumerate(self._ranges):
            number = bisect_left(ranges, start[file], key=lambda one: one[0]) - 1
            if number >= 0:
                offset = min(ranges[number][1], start[file]) - 1
                if (raw := self._view.place(file, offset)) is not None:
                    places.append(raw.at)
        return min(place, max(places)) if places else None


def _ranges(view: View, file: int, datum: str) -> list[tuple[int, int]]:
    """Where the lines of a datum are in a file."""
    headings = view.headings(file)
    ends = [at for at, _ in headings[1:]] + [view.end[file]]
    return [
        (at, end) for (at, name), end in zip(headings, ends, strict=True) if name.startswith(datum)
    ]

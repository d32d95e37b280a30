"""The lines of a log that are in memory, and the rows of the screen that they take."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

from tui.widgets.log_source import LogLine

CAPACITY = 50_000


class Ring:
    """At most ``capacity`` lines that lie beside each other, numbered in their order.

    A number stays with its line: lines that come before the first get smaller ones, below nought.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        self.first = 0
        """The number of the first line."""
        self._lines: list[LogLine] = []
        self._gone = 0  # entries of _lines before the first: cut off now and then, not each time

    def __len__(self) -> int:
        return len(self._lines) - self._gone

    def __iter__(self) -> Iterator[LogLine]:
        return iter(self.span(self.first, self.next))

    @property
    def next(self) -> int:
        """The number after the last."""
        return self.first + len(self)

    def line(self, number: int) -> LogLine:
        """The line of that number; IndexError where it is not here."""
        if not self.first <= number < self.next:
            raise IndexError(number)
        return self._lines[self._gone + number - self.first]

    def span(self, start: int, end: int) -> list[LogLine]:
        """Lines [start, end), those of them that are here."""
        start, end = max(start, self.first), min(end, self.next)
        shift = self._gone - self.first
        return self._lines[start + shift : max(start, end) + shift]

    def append(self, lines: Sequence[LogLine]) -> int:
        """Add at the end; as many as are too much go at the front, and their count is returned."""
        self._lines.extend(lines)
        over = max(0, len(self) - self.capacity)
        self._gone += over
        self.first += over
        if self._gone > self.capacity // 4:
            del self._lines[: self._gone]
            self._gone = 0
        return over

    def prepend(self, lines: Sequence[LogLine]) -> int:
        """Add before the first; as many as are too much go at the end: their count."""
        lines = lines[-self.capacity :]
        self._lines[: self._gone] = lines
        self._gone = 0
        self.first -= len(lines)
        over = max(0, len(self._lines) - self.capacity)
        if over:
            del self._lines[-over:]
        return over

    def replace(self, lines: Sequence[LogLine]) -> None:
        """Other lines; their numbers go on after the old ones, so that none means two lines."""
        self.first = self.next
        self._lines = list(lines[-self.capacity :])
        self._gone = 0


class Shown:
    """Which lines are shown, each with the rows it takes, in the order of their numbers.

    Rows are numbered as lines are: a row's number stays when rows before it come or go.
    """

    def __init__(self, base: int = 0) -> None:
        self.base = base
        """The number of the first row."""
        self._numbers = array("q")
        self._ends = array("q")

    @property
    def rows(self) -> int:
        """Rows in all."""
        return self._ends[-1] - self.base if self._ends else 0

    @property
    def count(self) -> int:
        """Lines shown."""
        return len(self._numbers)

    def lines(self) -> list[tuple[int, int]]:
        """All of them as (number, rows)."""
        starts = [self.base, *self._ends[:-1]]
        return [
            (number, end - start)
            for number, start, end in zip(self._numbers, starts, self._ends, strict=False)
        ]

    def append(self, lines: Iterable[tuple[int, int]]) -> None:
        """Add (number, rows) at the end."""
        end = self._ends[-1] if self._ends else self.base
        for number, height in lines:
            end += height
            self._numbers.append(number)
            self._ends.append(end)

    def prepend(self, lines: Sequence[tuple[int, int]]) -> int:
        """Add (number, rows) before the first; how many rows they are."""
        height = sum(height for _, height in lines)
        self.base -= height
        old = self._numbers, self._ends
        self._numbers, self._ends = array("q"), array("q")
        self.append(lines)
        self._numbers += old[0]
        self._ends += old[1]
        return height

    def keep(self, first: int, after: int) -> int:
        """Forget lines before ``first`` and from ``after`` on; how many rows went at the front."""
        end = bisect_left(self._numbers, after)
        del self._numbers[end:], self._ends[end:]
        start = bisect_left(self._numbers, first)
        if not start:
            return 0
        base = self._ends[start - 1]
        gone, self.base = base - self.base, base
        del self._numbers[:start], self._ends[:start]
        return gone

    def at(self, row: int) -> tuple[int, int] | None:
        """The line at that row's number, and which of its rows it is."""
        index = bisect_right(self._ends, row)
        if row < self.base or index >= len(self._ends):
            return None
        return self._numbers[index], row - (self._ends[index - 1] if index else self.base)

    def row(self, number: int) -> int:
        """The first row of that line, else of the next that is shown, else the end."""
        index = bisect_left(self._numbers, number)
        return self._ends[index - 1] if index else self.base

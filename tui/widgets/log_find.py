"""Where a pattern is found in a ring."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right, insort

from tui.widgets import log_text
from tui.widgets.filters import compiled
from tui.widgets.ring import Ring


class Found:
    """The numbers of the lines that ``text`` is found in, kept up as the ring changes."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.pattern: re.Pattern[str] = compiled(text)
        self.current: int | None = None
        """The one that is looked at."""
        self._numbers: list[int] = []

    def look(self, ring: Ring, start: int, end: int) -> None:
        """Search lines [start, end) of the ring, which come after all that was searched."""
        search = self.pattern.search
        self._numbers += [
            number
            for number, line in enumerate(ring.span(start, end), max(start, ring.first))
            if search(log_text.plain(line.text))
        ]

    def again(self, ring: Ring) -> None:
        """Search the whole ring."""
        self._numbers = []
        self.look(ring, ring.first, ring.next)

    def keep(self, ring: Ring) -> None:
        """Forget what is no longer in the ring."""
        if self._numbers and self._numbers[0] < ring.first:
            del self._numbers[: bisect_left(self._numbers, ring.first)]

    def add(self, number: int) -> None:
        """The box found the pattern there, by its own reckoning."""
        if number not in self._numbers:
            insort(self._numbers, number)

    def step(self, start: int, back: bool, inclusive: bool = False) -> int | None:
        """The next after ``start``, or the one before it."""
        if back:
            index = (bisect_right if inclusive else bisect_left)(self._numbers, start) - 1
        else:
            index = (bisect_left if inclusive else bisect_right)(self._numbers, start)
        return self._numbers[index] if 0 <= index < len(self._numbers) else None

    def count(self, whole: bool) -> str:
        """``2 of 3``; ``2 of 3+`` where only a part of the log is known."""
        total = f"{len(self._numbers):,}{'' if whole else '+'}"
        if self.current is None or self.current not in self._numbers:
            return f"{total} found"
        return f"{bisect_left(self._numbers, self.current) + 1:,} of {total}"

"""The rows that a table has fetched: a few pages of a list that may be endless."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence

from tui.widgets.rows import PAGE, Page, Row

KEPT = 24
"""Pages in memory; those looked at last."""


class Pages:
    """Pages by number. A page that is not fresh is still shown, until it was fetched again."""

    def __init__(self) -> None:
        self.total = -1
        """Rows in all; -1 before the first page came."""
        self.at_least = False
        self._pages: OrderedDict[int, Sequence[Row]] = OrderedDict()
        self._fresh: set[int] = set()

    def row(self, index: int) -> Row | None:
        """The row, where it was fetched."""
        page = self._pages.get(index // PAGE)
        at = index % PAGE
        return page[at] if page is not None and at < len(page) else None

    def rows(self) -> Iterator[tuple[int, Row]]:
        """All rows in memory with their places."""
        for number, page in self._pages.items():
            for at, row in enumerate(page):
                yield number * PAGE + at, row

    def missing(self, wanted: Sequence[int]) -> int | None:
        """The first of the wanted pages that must be fetched."""
        last = max(self.total - 1, 0) // PAGE
        for number in wanted:
            if number not in self._fresh and number <= last:
                return number
        return None

    def put(self, number: int, page: Page) -> None:
        """What came for page ``number``."""
        self.total, self.at_least = max(page.total, number * PAGE + len(page.rows)), page.at_least
        if number * PAGE >= page.total:
            self.total = page.total
        self._pages[number] = page.rows
        self._pages.move_to_end(number)
        self._fresh.add(number)
        last = max(self.total - 1, 0) // PAGE
        for old in [old for old in self._pages if old > last]:
            self._drop(old)
        while len(self._pages) > KEPT:
            self._drop(next(iter(self._pages)))

    def _drop(self, number: int) -> None:
        self._pages.pop(number, None)
        self._fresh.discard(number)

    def expire(self) -> None:
        """All pages are to be fetched again when they are looked at."""
        self._fresh.clear()

    def clear(self) -> None:
        """Forget the rows; the total stands until the next page comes."""
        self._pages.clear()
        self._fresh.clear()

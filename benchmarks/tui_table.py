"""A list of 1,000,000 rows in the terminal: opened, gone through, sorted; beside DataTable."""

from __future__ import annotations

import asyncio
import random
import time

from textual.widgets import DataTable

from benchmarks.harness import Row, below, label, note, report, scaled
from benchmarks.tui import high, memory_mb, opened, painted, press, shown
from tui.widgets.rows import Column, Page, Query
from tui.widgets.rows import Row as TableRow
from tui.widgets.table import VirtualTable

ROWS = 1_000_000
PEER_ROWS = (10_000, 100_000)
KEYS = 300
COLUMNS = (
    Column("glyph", "", 1, keep=9),
    Column("id", "ID", 12, keep=8, sort="id"),
    Column("input", "INPUT", 20, grow=1, keep=7, sort="input"),
    Column("state", "STATE", 9, keep=6, sort="state"),
    Column("download", "DL", 6, right=True, keep=2),
    Column("process", "RUN", 6, right=True, keep=4, sort="time"),
    Column("upload", "UP", 6, right=True, keep=1),
    Column("tries", "TRY", 4, right=True, keep=3),
)


def cells(number: int) -> tuple[str, ...]:
    """A row of datums as the terminal shows them."""
    return ("✓", f"{number:012x}", f"/2026/{number}.png", "success", "0.1s", "12s", "-", "1/3")


class Datums:
    """A list at a box that answers at once."""

    def __init__(self, total: int) -> None:
        self.total = total

    async def page(self, query: Query, offset: int, limit: int) -> Page:
        """See ``Rows``."""
        numbers = range(offset, min(self.total, offset + limit))
        return Page(self.total, [TableRow(str(number), cells(number)) for number in numbers])


async def virtual() -> float:
    """The table of the terminal; seconds until it is painted."""
    total = scaled(ROWS, 1000)
    async with shown() as app:
        before = memory_mb()
        table = VirtualTable(COLUMNS, Datums(total))
        open_s = await opened(app, table, lambda: table.row(0) is not None)
        below(f"table of {label(total)} rows: on the screen", open_s, "s", 0.3)
        start = time.perf_counter()
        await press(app, "G")
        end_s = await painted(app, start, lambda: table.row(total - 1) is not None)
        below(f"table of {label(total)} rows: to its end (G)", end_s, "s", 0.3)
        await press(app, "g")
        seconds = [await press(app, "j") for _ in range(KEYS)]
        below("table: key down to paint, 95 of 100", 1000 * high(seconds, 95), "ms", 50)
        chosen, seconds = random.Random(1), []
        for _ in range(KEYS // 2):
            seconds.append(await press(app, chosen.choice(["j", "pagedown", "G", "ctrl+d"])))
            seconds.append(await press(app, "g"))
        below("table: pages and ends to paint, 95 of 100", 1000 * high(seconds, 95), "ms", 50)
        taken = memory_mb() - before
        below("table: memory that it and its rows take", taken, "MB", 80)
        await table.remove()
    return open_s


async def peer(total: int, ours: float) -> None:
    """DataTable of Textual, with all rows in memory."""
    async with shown() as app:
        before = memory_mb()
        table: DataTable[str] = DataTable(cursor_type="row")
        start = time.perf_counter()
        await app.mount(table)
        table.focus()
        table.add_columns(*(column.title or "-" for column in COLUMNS))
        table.add_rows(cells(number) for number in range(total))
        await painted(app, start, lambda: table.virtual_size.height > total)
        open_s = app.at - start
        report(
            Row(
                f"DataTable of {label(total)} rows: on the screen",
                open_s,
                "s",
                f"the table of {label(scaled(ROWS, 1000))} rows {ours:.2g} s",
                open_s / ours,
            )
        )
        down = [await press(app, "pagedown") for _ in range(20)]
        report(
            Row(f"DataTable of {label(total)} rows: a page, median", 1000 * sorted(down)[10], "ms")
        )
        report(Row(f"DataTable of {label(total)} rows: memory", memory_mb() - before, "MB"))


def main() -> None:
    """Print the rows."""
    ours = asyncio.run(virtual())
    for total in PEER_ROWS:
        note(f"DataTable of {total} rows")
        asyncio.run(peer(scaled(total, 100), ours))


if __name__ == "__main__":
    main()

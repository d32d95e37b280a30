"""A table shows a window of its rows and keeps its place in them."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text
from textual.content import Content
from textual.pilot import Pilot

from tests.tui.screens import Bare, lines, text, until
from tests.tui.sources import COLUMNS, Endless
from tui.widgets.cells import shortened
from tui.widgets.rows import Column, LocalRows, Page, Query, Row
from tui.widgets.table import VirtualTable

SIZE = (60, 12)


class Listening(Bare):
    """Writes down what the table posts."""

    def __init__(self, table: VirtualTable) -> None:
        super().__init__(table)
        self.heard: list[tuple[str, object]] = []

    def on_virtual_table_highlighted(self, message: VirtualTable.Highlighted) -> None:
        self.heard.append(("at", message.row_id))

    def on_virtual_table_opened(self, message: VirtualTable.Opened) -> None:
        self.heard.append(("open", message.row_id))

    def on_virtual_table_marked(self, message: VirtualTable.Marked) -> None:
        self.heard.append(("marked", message.table.marked))


async def test_a_million_rows_are_read_by_the_page_in_sight() -> None:
    rows = Endless(1_000_000)
    table = VirtualTable(COLUMNS, rows)
    async with Bare(table).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "r10" in text(table))
        assert lines(table)[0].split() == ["ID", "INPUT", "STATE", "SIZE"]
        assert [offset for _, offset in rows.asked] == [0, 256]
        await pilot.press("G")
        await until(pilot, lambda: "r999999" in text(table))
        assert lines(table)[-1].startswith("> r999999")
        assert table.cursor_id == "r999999"
        assert len(rows.asked) <= 5
        await pilot.press("g")
        assert table.cursor_id == "r0"


async def test_keys_move_the_cursor_and_keep_it_in_sight() -> None:
    table = VirtualTable(COLUMNS, Endless(100))
    app = Listening(table)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: table.total == 100)
        await pilot.press("j", "down", "k")
        assert table.cursor_id == "r1"
        await pilot.press("pagedown")
        assert lines(table)[-1].startswith("> r12")
        await pilot.press("ctrl+d", "ctrl+u", "pageup")
        assert table.cursor_id == "r1"
        await pilot.press("k", "k", "k")
        assert table.cursor_id == "r0"
        await pilot.press("enter")
        await pilot.pause()
        assert app.heard[0] == ("at", "r0")
        assert app.heard[-1] == ("open", "r0")


async def test_the_cursor_stays_on_its_row_when_others_come_before_it() -> None:
    rows = Endless(100)
    table = VirtualTable(COLUMNS, rows)
    async with Bare(table).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: table.total == 100)
        await pilot.press(*["j"] * 30)
        before = lines(table)[1:]
        rows.first, rows.total = -5, 105
        table.refresh_rows()
        await until(pilot, lambda: table.total == 105)
        assert table.cursor_id == "r30"
        assert table.cursor == 35
        assert lines(table)[1:] == before


async def test_the_cursor_stays_within_a_list_that_shrinks() -> None:
    rows = Endless(300)
    table = VirtualTable(COLUMNS, rows)
    async with Bare(table).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: table.total == 300)
        await pilot.press("G")
        await until(pilot, lambda: table.cursor_id == "r299")
        rows.total = 3
        table.refresh_rows()
        await until(pilot, lambda: table.total == 3 and table.cursor_id == "r2")
        rows.total = 0
        table.refresh_rows()
        await until(pilot, lambda: "nothing here yet" in text(table))
        assert table.cursor_id is None
        assert table.targets() == []


async def test_marks_are_shown_and_are_what_an_action_is_about() -> None:
    table = VirtualTable(COLUMNS, Endless(5))
    app = Listening(table)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: table.total == 5)
        assert table.targets() == ["r0"]
        await pilot.press("space", "j", "space")
        assert table.targets() == ["r0", "r2"]
        assert [line[0] for line in lines(table)[1:6]] == ["*", " ", "*", ">", " "]
        await pilot.press("a")
        assert len(table.marked) == 5
        await pilot.press("a")
        assert table.marked == frozenset()
        await pilot.pause()
        assert ("marked", frozenset({"r0"})) in app.heard


async def test_sorting_is_asked_of_the_rows_and_shown_by_an_arrow() -> None:
    rows = Endless(5)
    table = VirtualTable(COLUMNS, rows)
    async with Bare(table).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: table.total == 5)
        await pilot.press("full_stop")
        assert table.request == Query(sort="id")
        await pilot.press("full_stop", "semicolon")
        await until(pilot, lambda: rows.asked[-1][0] == Query(sort="input", reverse=True))
        assert "INPUT▼" in lines(table)[0]
        await pilot.press("comma", "comma")
        assert table.request == Query(sort="size")
        assert "SIZE▲" in lines(table)[0]
        await pilot.click(table, offset=(3, 0))
        assert table.request == Query(sort="id")


async def test_columns_are_dropped_when_narrow_and_reached_sideways() -> None:
    rows = LocalRows([Row("a", ("a", "x" * 70, "success", "12"))])
    table = VirtualTable(COLUMNS, rows)
    async with Bare(table).run_test(size=(34, 8)) as pilot:
        await until(pilot, lambda: table.total == 1)
        assert lines(table)[0].split() == ["ID", "INPUT", "STATE"]
        assert "…" in lines(table)[1]
        await pilot.press(*["L"] * 20)
        assert lines(table)[0].split() == ["STATE", "SIZE"]
        assert lines(table)[1].endswith("12")
        await pilot.press(*["H"] * 20)
        assert lines(table)[0].split() == ["ID", "INPUT", "STATE"]
        await pilot.resize_terminal(10, 4)
        await pilot.resize_terminal(120, 30)
        await until(pilot, lambda: "SIZE" in lines(table)[0])


async def test_cells_are_never_markup_and_cut_by_cells_of_the_terminal() -> None:
    cells = (
        "[b]x[/b]",
        Text("日本語日本語日本語日本語日本語日本語日本語日本語日本語", "red"),
        Content("a\x1b[2Jb\u202e"),
        "bell\x07\ud800",
    )
    table = VirtualTable(COLUMNS, LocalRows([Row("a", cells)]))
    async with Bare(table).run_test(size=(50, 5)) as pilot:
        await until(pilot, lambda: table.total == 1)
        assert lines(table)[1] == "> [b]x[/b] 日本語日本語日本語日… a?[2Jb?    bell??"
        assert table.render_line(1).cell_length == 50


async def test_a_path_without_room_shows_its_name() -> None:
    columns = (Column("path", "FILE", 20, path=True), Column("size", "SIZE", 5))
    rows = [Row("a", ("/2026/lines/one/camera/7.png", "1")), Row("b", ("/short.png", "1"))]
    table = VirtualTable(columns, LocalRows(rows))
    async with Bare(table).run_test(size=(40, 5)) as pilot:
        await until(pilot, lambda: table.total == 2)
        shown = [line.split()[-2] for line in lines(table)[1:3]]
        assert shown == ["/2026/…/camera/7.png", "/short.png"]


@given(
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="…"), max_size=40),
    st.integers(0, 30),
)
def test_a_text_without_its_middle_has_both_ends(text: str, width: int) -> None:
    made = shortened(text, width)
    if made == text:
        assert cell_len(text) <= width or width < 8
        return
    assert cell_len(made) <= width
    first, last = made.split("…")
    assert text.startswith(first.rstrip())
    assert text.endswith(last)


async def test_a_click_goes_to_a_row_and_a_second_opens_it() -> None:
    table = VirtualTable(COLUMNS, Endless(100))
    app = Listening(table)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: table.total == 100)
        await pilot.click(table, offset=(5, 4))
        assert table.cursor_id == "r3"
        await pilot.double_click(table, offset=(5, 6))
        await pilot.pause()
        assert app.heard[-1] == ("open", "r5")


async def test_loading_error_and_emptiness_are_told_in_the_table() -> None:
    rows = Endless(3)
    rows.gate.clear()
    table = VirtualTable(COLUMNS, rows, empty="no datum yet")
    async with Bare(table).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "loading ..." in text(table))
        rows.problem = ConnectionError("no box answers; start it with: pachybox up")
        rows.gate.set()
        await until(pilot, lambda: "no box answers" in text(table))
        assert "start it with: pachybox up" in text(table)
        rows.problem = None
        table.refresh_rows()
        await until(pilot, lambda: "r2" in text(table))
        rows.problem = ConnectionError("lost")
        table.refresh_rows()
        await until(pilot, lambda: table.problem == "lost")
        assert "r2" in text(table)
        rows.problem, rows.total = None, 0
        table.request = Query("zzz")
        await until(pilot, lambda: "nothing matches zzz" in text(table))
        table.request = Query()
        await until(pilot, lambda: "no datum yet" in text(table))


async def test_a_list_that_is_not_known_yet_is_not_told_to_be_empty() -> None:
    rows = LocalRows(known=False)
    table = VirtualTable(COLUMNS, rows, empty="no jobs yet")
    async with Bare(table).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "loading ..." in text(table))
        table.refresh_rows()
        await until(pilot, lambda: "loading ..." in text(table))
        assert "loading ..." in text(table)
        rows.set([])
        table.refresh_rows()
        await until(pilot, lambda: "no jobs yet" in text(table))


async def test_a_filter_keeps_the_cursor_on_its_row_if_it_passes() -> None:
    local = LocalRows(Row(f"n{number}", (f"n{number}", "x", "s", "1")) for number in range(50))
    table = VirtualTable(COLUMNS, local)
    async with Bare(table).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: table.total == 50)
        await pilot.press(*["j"] * 25)
        table.request = Query("id:5")
        await until(pilot, lambda: table.total == 5)
        assert table.cursor_id == "n25"
        table.request = Query("id:7")
        await until(pilot, lambda: table.cursor_id == "n7")


async def test_other_rows_begin_at_their_top() -> None:
    table = VirtualTable(COLUMNS, Endless(50))
    async with Bare(table).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: table.total == 50)
        await pilot.press("G", "space")
        other = Endless(9)
        other.first = 100
        table.set_rows(other)
        await until(pilot, lambda: table.cursor_id == "r100")
        assert table.marked == frozenset()


@pytest.mark.parametrize("reverse", [False, True])
async def test_local_rows_sort_by_numbers_in_texts_or_by_their_keys(reverse: bool) -> None:
    rows = LocalRows(
        [
            Row("a", ("r10", "", "", "1KiB"), keys=("r10", "", "", 1024)),
            Row("b", ("r9", "", "", "900B"), keys=("r9", "", "", 900)),
            Row("c", ("R100", "", "", "1MiB"), keys=("R100", "", "", 1 << 20)),
        ],
        COLUMNS,
    )
    by_id = await rows.page(Query(sort="id", reverse=reverse), 0, 10)
    by_size = await rows.page(Query(sort="size", reverse=reverse), 0, 10)
    wanted = ["b", "a", "c"][:: -1 if reverse else 1]
    assert [row.id for row in by_id.rows] == wanted
    assert [row.id for row in by_size.rows] == wanted


async def test_any_size_is_shown() -> None:
    table = VirtualTable(COLUMNS, Endless(1000))
    async with Bare(table).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: table.total == 1000)
        for size in ((40, 10), (1, 1), (200, 60), (3, 2), (80, 24), (12, 12)) * 3:
            await pilot.resize_terminal(*size)
            await pilot.press("G", "L", "k", "H", "g")
            for y in range(table.size.height):
                assert table.render_line(y).cell_length == table.body_width
        assert table.cursor_id == "r0"


async def test_scrolling_fast_fetches_only_where_it_comes_to_rest() -> None:
    rows = Endless(1_000_000)
    table = VirtualTable(COLUMNS, rows)
    async with Bare(table).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: table.total > 0 and len(rows.asked) == 2)
        rows.gate.clear()
        await scroll(pilot, table, range(10_000, 500_000, 10_000))
        rows.gate.set()
        await until(pilot, lambda: "r490000" in text(table))
        assert len(rows.asked) < 10


async def scroll(pilot: Pilot[None], table: VirtualTable, places: range) -> None:
    for y in places:
        table.scroll_to(y=y, animate=False)
        await asyncio.sleep(0)
    await pilot.pause()


async def test_a_drag_of_the_mouse_selects_cells_without_borders_and_marks() -> None:
    table = VirtualTable(COLUMNS, Endless(100))
    async with Bare(table).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "r5" in text(table))
        await pilot.mouse_down(table, offset=(0, 1))
        await pilot.hover(table, offset=(4, 3))
        await pilot.mouse_up(table, offset=(4, 3))
        await pilot.pause()
        first, second, third = (pilot.app.screen.get_selected_text() or "").splitlines()
        assert first.split() == text(table).splitlines()[1].split()[1:]
        assert second.split()[0] == "r1"
        assert third[:2] == "r2"
        await pilot.click(table, offset=(5, 5))
        assert not pilot.app.screen.get_selected_text()
        assert table.cursor_id == "r4"


async def test_a_filter_of_the_first_rows_says_so_where_it_finds_nothing() -> None:
    class First(Endless):
        async def page(self, query: Query, offset: int, limit: int) -> Page:
            if query.filter:
                return Page(0, (), at_least=True)
            return await super().page(query, offset, limit)

    table = VirtualTable(COLUMNS, First(100))
    async with Bare(table).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "r5" in text(table))
        table.request = Query(filter="!r")
        await until(pilot, lambda: "nothing matches !r\n" in text(table))
        assert "in the first rows; a plain word is looked for in all" in text(table)

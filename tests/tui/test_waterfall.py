"""The timing of a job as rows: few datums have a bar each, many have a line a worker."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.app import App, ComposeResult

from pachybox.client.page_values import DatumRow, JobTiming, Span, WorkerTime
from tui import shown
from tui.widgets.timing import FEW, Row, by_phase, slowest, waterfall
from tui.widgets.waterfall import Waterfall


def job(datums: int, workers: int = 2) -> JobTiming:
    """A job whose workers ran their datums one after the other, two seconds each."""
    spans = [
        Span(
            f"datum{i:03}", "FAILED" if i == 3 else "SUCCESS", 2.0 * (i // workers), 0.25, 1.5, 0.25
        )
        for i in range(datums)
    ]
    return JobTiming(
        tuple(WorkerTime(f"w{n + 1}", tuple(spans[n::workers]), 0.9) for n in range(workers)),
        {"upload": (0.2, 0.3, 0.4), "download": (0.1, 0.2, 0.3), "process": (1.5, 4, 8)},
        tuple(
            DatumRow(s.datum, f"/a/{s.datum}.png", (), s.state, "", 0.25, 1.5, 0.25, 1)
            for s in spans[:20]
        ),
    )


def text(rows: list[Row]) -> list[str]:
    return ["".join(piece.text for piece in row.pieces).rstrip() for row in rows]


def test_few_datums_have_a_bar_each_below_their_worker() -> None:
    drawn = text(waterfall(job(6), 60))
    assert "0s to 6.0s" in drawn[0]
    assert drawn[1] == "w1  busy 90%"
    assert drawn[2].startswith("✓ datum000")
    assert drawn[2].split()[2].strip("░▇▒") == ""
    assert {"░", "▇", "▒"} <= set(drawn[2])
    bars = [line[11:-9] for line in drawn if line.startswith("✓")]
    assert len(bars) == 5
    assert bars[1].index("░") > bars[0].index("░")
    failed = next(line for line in drawn if line.startswith("✗"))
    assert "✗" in failed[2:]


def test_many_datums_are_a_line_a_worker_with_phases_and_the_slowest() -> None:
    rows = waterfall(job(FEW + 2), 80)
    drawn = text(rows)
    assert [line.split()[0] for line in drawn[1:3]] == ["w1", "w2"]
    assert all(line.endswith("90%") for line in drawn[1:3])
    assert any(line.startswith("process") and "4.0s" in line for line in drawn)
    assert sum(bool(row.datum) for row in rows) == 20
    assert len(rows) < 40


def test_phases_stand_in_their_order_with_bars() -> None:
    drawn = text(by_phase(job(4), 80))
    assert [line.split()[0] for line in drawn] == ["PHASE", "download", "process", "upload"]
    assert drawn[2].split()[1:4] == ["1.5s", "4.0s", "8.0s"]
    assert drawn[2].count("▇") > drawn[1].count("░")


def test_the_slowest_say_their_times_and_lead_to_their_datum() -> None:
    rows = slowest(job(30), 80)
    assert len(rows) == 21
    assert text(rows)[4].split() == [
        "✗",
        "datum003",
        "0.25s",
        "1.5s",
        "0.25s",
        "1",
        "/a/datum003.png",
    ]
    assert rows[4].datum == "datum003"


@given(st.integers(1, 230), st.integers(1, 4), st.integers(20, 120), st.booleans())
def test_no_row_is_wider_than_the_pane(datums: int, workers: int, width: int, ascii: bool) -> None:
    for make in (waterfall, by_phase, slowest):
        for line in text(make(job(datums, workers), width, ascii=ascii)):
            assert shown.columns(line) <= max(width, 48)
            assert not ascii or line.isascii()


@pytest.mark.parametrize("make", [waterfall, by_phase, slowest])
def test_a_job_that_has_run_nothing_says_so(
    make: Callable[[JobTiming, int], list[Row]],
) -> None:
    assert text(make(JobTiming(), 60)) == ["no datum has run yet"]


class Shown(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.pane = Waterfall()
        self.opened: list[str] = []

    def compose(self) -> ComposeResult:
        yield self.pane

    def on_waterfall_opened(self, event: Waterfall.Opened) -> None:
        self.opened.append(event.datum)


def lines(pane: Waterfall) -> list[str]:
    return [pane.render_line(y).text.rstrip() for y in range(pane.size.height)]


async def test_the_pane_has_three_tabs_and_opens_datums() -> None:
    app = Shown()
    async with app.run_test(size=(80, 12)) as pilot:
        app.pane.focus()
        assert lines(app.pane)[:2] == ["[waterfall] by-phase  slowest", "loading ..."]
        app.pane.set_timing(job(40))
        await pilot.press("j", "j")
        assert app.pane.datum == "datum002"
        await pilot.press("enter")
        assert app.opened == ["datum002"]
        app.pane.turn(1)
        await pilot.pause()
        assert lines(app.pane)[1].startswith("PHASE")
        await pilot.click(Waterfall, offset=(24, 0))
        assert app.pane.tab == "slowest"
        await pilot.double_click(Waterfall, offset=(5, 3))
        assert app.opened == ["datum002", "datum001"]
        await pilot.press("G")
        await pilot.pause()
        assert lines(app.pane)[-1].split()[1] == "datum019"
        await pilot.press("pageup", "g", "ctrl+d", "k", "H")


async def test_new_times_keep_the_cursor_where_it_is() -> None:
    app = Shown()
    async with app.run_test(size=(80, 12)) as pilot:
        app.pane.focus()
        app.pane.set_timing(job(10))
        await pilot.press("j", "j", "j")
        before = app.pane.datum
        app.pane.set_timing(job(12))
        await pilot.pause()
        assert app.pane.datum == before


async def test_the_axis_of_time_is_as_wide_as_the_pane_after_each_resize() -> None:
    app = Shown()
    async with app.run_test(size=(150, 8)) as pilot:
        app.pane.set_timing(job(30))
        for size in ((50, 30), (140, 6), (90, 60)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            width = app.pane.scrollable_size.width
            assert len(lines(app.pane)[1]) == width

"""A log view is a window on a log at the box."""

from __future__ import annotations

from textual.geometry import Offset
from textual.selection import Selection

from tests.tui.screens import Bare, lines, text, until
from tests.tui.sources import MemoryLog
from tui.widgets.log import LogView

SIZE = (80, 12)


async def test_a_log_opens_at_its_end_and_follows() -> None:
    log = MemoryLog(5000)
    view = LogView(log)
    async with Bare(view).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "line 4999" in text(view))
        assert lines(view)[0] == "line 4989"
        assert "1,000+ lines  0 dropped  saved 488.3KiB" in lines(view)[-1]
        assert log.asked == ["tail"]
        log.write("one more")
        await until(pilot, lambda: lines(view)[-2] == "one more")
        assert lines(view)[-1].endswith("follow")


async def test_scrolling_up_pauses_and_counts_what_comes() -> None:
    log = MemoryLog(300)
    view = LogView(log)
    async with Bare(view).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "line 299" in text(view))
        await pilot.press("k", "k", "k")
        before = lines(view)[:-1]
        assert before[-1] == "line 296"
        log.write("a", "b")
        await until(pilot, lambda: "2 new (G)" in lines(view)[-1])
        assert lines(view)[:-1] == before
        await pilot.press("G")
        assert lines(view)[-2] == "b"
        assert "new" not in lines(view)[-1]
        log.write("c")
        await until(pilot, lambda: lines(view)[-2] == "c")


async def test_scrolling_back_to_the_end_follows_again() -> None:
    log = MemoryLog(300)
    view = LogView(log)
    async with Bare(view).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "line 299" in text(view))
        await pilot.press("k", "j")
        assert view.follow
        await pilot.press("f")
        assert not view.follow


async def test_the_begin_of_a_long_log_is_fetched_and_read_on_from() -> None:
    log = MemoryLog(20_000)
    view = LogView(log)
    async with Bare(view).run_test(size=(80, 42)) as pilot:
        await until(pilot, lambda: "line 19999" in text(view))
        await pilot.press("g")
        await until(pilot, lambda: lines(view)[0] == "line 0")
        for _ in range(40):
            await pilot.press("pagedown")
            await pilot.pause()
        top = int(lines(view)[0].removeprefix("line "))
        assert 1500 < top <= 1640
        assert lines(view)[:-1] == [f"line {number}" for number in range(top, top + 41)]
        await pilot.press("G")
        await until(pilot, lambda: lines(view)[-2] == "line 19999")


async def test_scrolling_up_past_what_is_in_memory_fetches_what_lies_before() -> None:
    log = MemoryLog(5000)
    view = LogView(log)
    async with Bare(view).run_test(size=(80, 42)) as pilot:
        await until(pilot, lambda: "line 4999" in text(view))
        for number in range(40):
            await pilot.press("pageup")
            await until(
                pilot, lambda number=number: lines(view)[0] == f"line {4959 - 41 * (number + 1)}"
            )


async def test_find_keeps_the_lines_around_and_counts() -> None:
    log = MemoryLog(500, {100: "cannot allocate", 250: "Allocated", 400: "allocator"})
    view = LogView(log)
    async with Bare(view).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "line 499" in text(view))
        await pilot.press("g")
        await pilot.press("slash", *"alloc")
        assert lines(view)[-1].startswith("/alloc")
        await pilot.press("enter")
        assert "cannot allocate" in text(view)
        assert "line 99" in text(view)
        assert "/alloc 1 of 3" in lines(view)[-1]
        await pilot.press("n", "n")
        assert "allocator" in text(view)
        assert "/alloc 3 of 3" in lines(view)[-1]
        await pilot.press("N")
        assert "Allocated" in text(view)
        await pilot.press("n", "n")
        await until(pilot, lambda: "from the begin" in lines(view)[-1])
        assert "cannot allocate" in text(view)


async def test_find_goes_on_beyond_what_is_in_memory() -> None:
    log = MemoryLog(90_000, {70: "needle"})
    view = LogView(log)
    async with Bare(view).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "line 89999" in text(view))
        await pilot.press("slash", *"needle", "enter")
        await until(pilot, lambda: "needle" in "".join(lines(view)[:-1]))
        assert "line 69" in text(view)
        assert "line 71" in text(view)
        await pilot.press("slash", *"nothing", "enter")
        await until(pilot, lambda: "not found" in lines(view)[-1])


async def test_a_filter_shows_matching_lines_only_and_can_be_taken_off() -> None:
    log = MemoryLog(300, {10: "bad one", 200: "bad two"})
    view = LogView(log)
    async with Bare(view).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "line 299" in text(view))
        await pilot.press("ampersand", *"bad", "enter")
        assert lines(view)[:3] == ["bad one", "bad two", ""]
        assert "&bad 2 of 300 lines" in lines(view)[-1]
        log.write("nothing", "bad three")
        await until(pilot, lambda: lines(view)[2] == "bad three")
        await pilot.press("ampersand", "enter")
        assert lines(view)[-2] == "bad three"
        assert lines(view)[-3] == "nothing"


async def test_long_lines_wrap_and_scroll_sideways() -> None:
    log = MemoryLog(50, {49: "x" * 100 + "end"})
    view = LogView(log)
    async with Bare(view).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "xxx" in text(view))
        assert "end" not in "".join(lines(view)[:-1])
        await pilot.press("L", "L", "L", "L")
        assert lines(view)[-2].endswith("end")
        await pilot.press("w")
        assert lines(view)[-3].startswith("xxx")
        assert lines(view)[-2].endswith("end")


async def test_timestamps_levels_and_json() -> None:
    log = MemoryLog(1)
    log.lines[0] = log.lines[0]._replace(text='{"a": [1, "[b]"]}', level="error")
    view = LogView(log)
    async with Bare(view).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: lines(view)[0] == 'ERROR {"a": [1, "[b]"]}')
        await pilot.press("t")
        assert view.feed is not None
        clock = log.lines[0].time.astimezone().strftime("%H:%M:%S.000")  # type: ignore[union-attr]
        assert lines(view)[0].startswith(f"{clock} ERROR {{")
        await pilot.press("t", "p")
        assert lines(view)[:3] == ["ERROR {", '        "a": [', "          1,"]


async def test_colours_are_kept_and_other_codes_are_not() -> None:
    texts = {
        0: "\x1b[31mred\x1b[0m plain \x1b[2J\x1b]0;title\x07\x1b[5;5Hhere",
        1: "bell\x07 10%\r50%\r100%\r",
        2: "[bold]no markup[/]\x00",
        3: "y" * 1_000_000,
        4: "日本\u202eevil",
    }
    log = MemoryLog(5, texts)
    view = LogView(log)
    async with Bare(view).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "red" in text(view))
        assert lines(view)[0] == "red plain here"
        colour = next(part.style for part in view.render_line(0) if part.text == "red")
        assert colour is not None
        assert colour.color is not None
        assert colour.color.name != view.rich_style.color.name  # type: ignore[union-attr]
        assert lines(view)[1] == "100%"
        assert lines(view)[2] == "[bold]no markup[/]?"
        assert lines(view)[4] == "日本?evil"
        await pilot.press("w")
        await until(pilot, lambda: "995,904 m" in text(view))


async def test_a_minute_back_and_on() -> None:
    log = MemoryLog(5000)
    view = LogView(log)
    async with Bare(view).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "line 4999" in text(view))
        await pilot.press("{")
        await until(pilot, lambda: lines(view)[0] == "line 4939")
        for _ in range(20):
            await pilot.press("{")
        await until(pilot, lambda: lines(view)[0] == "line 3739")
        await pilot.press("}")
        await until(pilot, lambda: "line 3799" in text(view))


async def test_marks_are_rows_of_their_own_and_are_gone_to() -> None:
    log = MemoryLog(300)
    view = LogView(log)
    async with Bare(view).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "line 299" in text(view))
        await pilot.press("m")
        assert lines(view)[-2].startswith("── mark ")
        await pilot.press("g", "m")
        await pilot.press("pagedown", "pagedown", "pagedown", "apostrophe")
        assert "line 299" in text(view)
        assert "── mark" in text(view)
        await pilot.press("apostrophe")
        assert "line 10" in text(view)


async def test_windows_of_time() -> None:
    log = MemoryLog(20_000)
    view = LogView(log)
    async with Bare(view).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "line 19999" in text(view))
        await pilot.press("T")
        await until(pilot, lambda: lines(view)[0] == "line 0")
        await pilot.press("T")
        await until(pilot, lambda: lines(view)[-2] == "line 19999")
        assert lines(view)[-1].endswith("1m follow")
        await until(pilot, lambda: view.shown_lines == 61)
        view.show_window("all")
        await until(pilot, lambda: view.shown_lines == 20_000)


async def test_what_is_read_is_not_pushed_out_by_what_comes() -> None:
    log = MemoryLog(100)
    view = LogView(log)
    async with Bare(view).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "line 99" in text(view))
        await pilot.press("g")
        before = lines(view)[:-1]
        for _ in range(7):
            log.write(*["more"] * 10_000)
            await pilot.pause(0.02)
        await until(pilot, lambda: "70,000 new" in lines(view)[-1])
        assert lines(view)[:-1] == before
        await pilot.press("G")
        await until(pilot, lambda: lines(view)[-2] == "more")
        log.write("the last")
        await until(pilot, lambda: lines(view)[-2] == "the last")


async def test_a_lost_box_is_waited_for_without_gap_or_repeat() -> None:
    log = MemoryLog(10)
    view = LogView(log)
    async with Bare(view).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "line 9" in text(view))
        log.lost = True
        log.write("while lost")
        await until(pilot, lambda: "lost, trying again" in lines(view)[-1])
        assert "line 9" in text(view)
        log.lost = False
        log.write("after")
        await until(pilot, lambda: "after" in text(view))
        assert view.feed is not None
        assert [one.at for one in view.feed.ring] == [100 * number for number in range(12)]


async def test_an_empty_log_and_one_that_cannot_be_read_say_so() -> None:
    log = MemoryLog(0)
    view = LogView(log, empty="no line was written")
    async with Bare(view).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "no line was written" in text(view))
        lost = MemoryLog(0)
        lost.lost = True
        view.set_source(lost)
        await until(pilot, lambda: "no box answers" in text(view))
        lost.lost = False
        lost.write("here")
        await until(pilot, lambda: lines(view)[0] == "here")


async def test_selected_text_has_no_borders_and_no_breaks_of_wrapping() -> None:
    log = MemoryLog(3, {1: "w" * 100})
    view = LogView(log)
    async with Bare(view).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "www" in text(view))
        await pilot.press("w")
        assert view.get_selection(Selection(Offset(5, 0), None)) == (
            f"0\n{'w' * 100}\nline 2",
            "\n",
        )
        assert view.get_selection(Selection(Offset(0, 3), Offset(4, 3))) == ("line", "\n")


async def test_a_drag_of_the_mouse_selects() -> None:
    log = MemoryLog(3)
    view = LogView(log)
    async with Bare(view).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "line 2" in text(view))
        await pilot.mouse_down(view, offset=(5, 0))
        await pilot.hover(view, offset=(4, 1))
        await pilot.mouse_up(view, offset=(4, 1))
        await pilot.pause()
        assert pilot.app.screen.get_selected_text() in ("0\nline", "0\nline ")


async def test_any_size_and_any_bytes_are_shown() -> None:
    texts = {
        number: bytes((number * 7 + step) % 256 for step in range(400)).decode("latin-1")
        for number in range(100)
    }
    texts[50] = "\ud800\udfff lone" + "مرحبا" * 50 + "日本" * 500
    log = MemoryLog(100, texts)
    view = LogView(log)
    async with Bare(view).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: view.shown_lines == 100)
        for keys in ("", "w", "p", "t", "L"):
            await pilot.press(*keys)
            for size in ((40, 10), (1, 1), (200, 60), (3, 2), (80, 24)):
                await pilot.resize_terminal(*size)
                for y in range(view.size.height):
                    shown = view.render_line(y).text
                    assert not any(ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 for c in shown)
        await pilot.press("g", "slash", *"lone", "enter")
        assert "/lone 1 of 1" in lines(view)[-1]


async def test_keys_are_heard_while_a_long_log_is_laid_out() -> None:
    log = MemoryLog(50_000, {49_999: '{"a": {"b": 1}}'})
    view = LogView(log)
    async with Bare(view).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "line 49998" in text(view))
        view.show_window("all")
        await until(pilot, lambda: view.shown_lines == 50_000)
        await pilot.press("p", "w")
        await until(pilot, lambda: lines(view)[-2] == "}")
        log.write("and on")
        await until(pilot, lambda: lines(view)[-2] == "and on")
        await pilot.press("p", "w")
        await until(pilot, lambda: lines(view)[-3] == '{"a": {"b": 1}}')


async def test_a_filter_looks_at_what_lies_before_until_it_fills_the_view() -> None:
    log = MemoryLog(9_000, {10: "needle one", 8_900: "needle two"})
    view = LogView(log)
    async with Bare(view).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "line 8999" in text(view))
        await pilot.press("ampersand", *"needle", "enter")
        await until(pilot, lambda: "needle one" in text(view))
        assert "&needle 2 of 9,000 lines" in text(view)


async def test_a_filter_says_what_it_has_looked_at() -> None:
    log = MemoryLog(60_000)
    view = LogView(log)
    async with Bare(view).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "line 59999" in text(view))
        await pilot.press("ampersand", *"line 7$", "enter")
        await until(pilot, lambda: "&line 7$ 0 of the last 50,000 lines" in text(view))
        await until(pilot, lambda: "/ looks through the whole log" in text(view))

"""The graph as a pane: what it shows, where keys and clicks lead, what is painted."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from tui import glyphs, shown
from tui.widgets.dag import Dag
from tui.widgets.picture import Item, Look, Picture, View, around

ITEMS = [
    Item("raw", "raw"),
    Item("tick", "tick"),
    Item("clean", "clean", ("raw", "tick"), 8),
    Item("resize", "resize", ("clean",), 8),
    Item("ocr", "ocr", ("clean",), 8),
    Item("train", "train", ("resize",), 8),
    Item("windows", "windows", ("mqtt",), 8),
    Item("mqtt", "mqtt"),
]
LOOKS = {
    "raw": Look(glyphs.REPO),
    "clean": Look(glyphs.job("success")),
    "resize": Look(glyphs.job("running"), "38/120"),
    "ocr": Look(glyphs.job("failure"), "3 failed"),
}


class Shown(App[None]):
    """A screen with nothing but the graph."""

    def __init__(self, items: Iterable[Item] = ITEMS, ascii: bool = False) -> None:
        super().__init__()
        self.dag = Dag(empty="no pipelines yet\nn makes one", ascii=ascii)
        self.items = items
        self.opened: list[str] = []

    def compose(self) -> ComposeResult:
        yield self.dag

    def on_mount(self) -> None:
        self.dag.set_graph(self.items)
        self.dag.set_looks(LOOKS)
        self.dag.focus()

    def on_dag_opened(self, event: Dag.Opened) -> None:
        self.opened.append(event.node)


def text(dag: Dag) -> list[str]:
    return [dag.render_line(y).text.rstrip() for y in range(dag.size.height)]


async def settled(pilot: Pilot[None]) -> None:
    await pilot.pause()


async def test_it_shows_signs_names_words_and_lines() -> None:
    app = Shown()
    async with app.run_test(size=(100, 10)) as pilot:
        await settled(pilot)
        lines = text(app.dag)
        assert lines[0].startswith("▤ raw ───┬── ✓ clean ──")
        assert any("✗ ocr 3 failed" in line for line in lines)
        assert any("● resize 38/120 ──" in line for line in lines)
        assert not any("failed ─" in line for line in lines)


async def test_its_ascii_form_is_ascii() -> None:
    app = Shown(ascii=True)
    async with app.run_test(size=(100, 10)) as pilot:
        await settled(pilot)
        assert all(line.isascii() for line in text(app.dag))
        assert any("* resize 38/120 --" in line for line in text(app.dag))


async def test_a_changed_state_moves_nothing_and_paints_its_row_only() -> None:
    app = Shown()
    async with app.run_test(size=(100, 10)) as pilot:
        await settled(pilot)
        before = text(app.dag)
        painted: list[int] = []
        render = app.dag.render_line
        app.dag.render_line = lambda y: (painted.append(y), render(y))[1]  # type: ignore[method-assign]
        looks = LOOKS | {"resize": Look(glyphs.job("success"), "120")}
        app.dag.set_looks(looks)
        await settled(pilot)
        app.dag.set_looks(dict(looks))
        await settled(pilot)
        rows, after = set(painted), text(app.dag)
        row = next(y for y, line in enumerate(before) if "resize" in line)
        assert rows == {row}
        assert [a == b for a, b in zip(before, after, strict=True)].count(False) == 1
        assert before[row].index("resize") == after[row].index("resize")
        assert before[row].index("train") == after[row].index("train")


async def test_arrows_follow_the_lines_and_enter_opens() -> None:
    app = Shown()
    async with app.run_test(size=(100, 10)) as pilot:
        await settled(pilot)
        assert app.dag.cursor == "raw"
        seen = []
        for key in ("down", "right", "right", "L", "left", "k", "H", "left"):
            await pilot.press(key)
            seen.append(app.dag.cursor)
        assert seen[:2] == ["tick", "clean"]
        assert seen[-1] in ("raw", "tick")
        assert "train" in seen or "ocr" in seen
        await pilot.press("G", "enter")
        assert app.opened == ["windows"]


async def test_a_click_selects_and_a_double_click_opens() -> None:
    app = Shown()
    async with app.run_test(size=(100, 10)) as pilot:
        await settled(pilot)
        row = next(y for y, line in enumerate(text(app.dag)) if "ocr" in line)
        at = (text(app.dag)[row].index("ocr"), row)
        await pilot.click(Dag, offset=at)
        assert app.dag.cursor == "ocr"
        assert app.opened == []
        await pilot.double_click(Dag, offset=at)
        assert app.opened == ["ocr"]


async def test_the_cursor_stays_on_its_node_when_others_come() -> None:
    app = Shown()
    async with app.run_test(size=(100, 10)) as pilot:
        await settled(pilot)
        app.dag.select("ocr")
        app.dag.set_graph([*ITEMS, Item("aaa", "aaa", ("ocr",), 8)])
        await settled(pilot)
        assert app.dag.cursor == "ocr"
        app.dag.set_graph(ITEMS[:2])
        await settled(pilot)
        assert app.dag.cursor == "raw"


async def test_many_nodes_open_as_a_list_with_the_neighbourhood_of_the_selected() -> None:
    items = [Item(f"n{i:03}", f"n{i:03}", (f"n{i - 1:03}",) if i else (), 8) for i in range(100)]
    app = Shown(items)
    async with app.run_test(size=(100, 20)) as pilot:
        await settled(pilot)
        assert app.dag.as_list
        await pilot.press("j", "j", "j", "j")
        assert app.dag.cursor == "n004"
        lines = text(app.dag)
        assert lines[4].startswith("  n004")
        near = " ".join(line.partition("│")[2] for line in lines)
        assert all(f"n{i:03}" in near for i in range(3, 7))
        assert "n007" not in near
        await pilot.press("right")
        assert app.dag.cursor == "n005"
        await pilot.press("G")
        await settled(pilot)
        assert any(line.startswith("  n099") for line in text(app.dag))
        app.dag.toggle_list()
        await settled(pilot)
        assert not app.dag.as_list
        assert app.dag.cursor == "n099"
        assert "n099" in text(app.dag)[0]


async def test_a_set_that_stands_out_dims_the_rest_and_filters_the_list() -> None:
    app = Shown()
    async with app.run_test(size=(100, 10)) as pilot:
        await settled(pilot)
        app.dag.highlight({"clean", "ocr"})
        app.dag.toggle_list()
        await settled(pilot)
        listed = [line[:20].split()[1] for line in text(app.dag) if line[:20].strip(" │")]
        assert listed == ["clean", "ocr"]
        app.dag.highlight(None)
        assert sum(bool(line[:14].strip(" │")) for line in text(app.dag)) == len(ITEMS)


async def test_nothing_at_all_says_what_to_do() -> None:
    app = Shown([])
    async with app.run_test(size=(40, 10)) as pilot:
        await settled(pilot)
        assert "  n makes one" in text(app.dag)
        app.dag.empty = "nothing yet"
        await settled(pilot)
        seen = "".join(s.text for strip in app.screen._compositor.render_strips() for s in strip)
        assert "nothing yet" in seen
        await pilot.press("j", "L", "G", "pagedown", "enter", "k")
        app.dag.toggle_list()
        app.dag.set_graph(ITEMS)
        await settled(pilot)
        assert "raw" in "".join(text(app.dag))


async def test_it_bears_any_size() -> None:
    app = Shown()
    async with app.run_test(size=(100, 20)) as pilot:
        for across, high in ((40, 10), (4, 2), (1, 1), (200, 60)):
            await pilot.resize_terminal(across, high)
            await pilot.press("right", "down")
            app.dag.toggle_list()
            await settled(pilot)
            assert all(shown.columns(line) <= across for line in text(app.dag))


@given(
    st.text(st.sampled_from("aé日\u0301🙂\x1b"), max_size=40),
    st.integers(0, 60),
    st.integers(0, 50),
)
def test_a_row_has_exactly_its_columns_wherever_it_is_cut(name: str, start: int, size: int) -> None:
    picture = Picture([Item("a", name, (), 4), Item("b", name, ("a",), 4)])
    view = View(looks={"a": Look(glyphs.job("running"), "日本語日本")})
    row = "".join(piece.text for piece in picture.row(0, start, start + size, view))
    assert shown.columns(row) == size


def test_a_neighbourhood_is_two_steps_each_way() -> None:
    items = {i.id: i for i in ITEMS}
    assert {i.id for i in around(items, "clean")} == {
        "raw",
        "tick",
        "clean",
        "resize",
        "ocr",
        "train",
    }
    assert {i.id for i in around(items, "train")} == {"train", "resize", "clean"}
    assert around(items, "gone") == []


async def test_a_graph_wider_than_four_screens_opens_as_a_list_until_there_is_room() -> None:
    items = [Item(f"n{i:02}", f"n{i:02}", (f"n{i - 1:02}",) if i else (), 8) for i in range(40)]
    app = Shown(items)
    async with app.run_test(size=(60, 20)) as pilot:
        await settled(pilot)
        assert app.dag.as_list
        await pilot.resize_terminal(300, 20)
        await pilot.pause()
        assert not app.dag.as_list


async def test_on_a_narrow_screen_words_are_brief() -> None:
    app = Shown()
    async with app.run_test(size=(60, 10)) as pilot:
        looks = LOOKS | {"resize": Look(glyphs.job("running"), "38/120", "31%")}
        app.dag.set_looks(looks)
        await settled(pilot)
        assert any("● resize 31%" in line for line in text(app.dag))
        await pilot.resize_terminal(120, 10)
        await pilot.pause()
        assert any("● resize 38/120" in line for line in text(app.dag))

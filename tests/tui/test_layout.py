"""Whatever the graph: nodes stand apart, every line leads where it should, nothing jumps."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tui.widgets.layering import parts
from tui.widgets.layout import Layout, lay_out

ARMS = {
    "│": "ud", "─": "lr", "╯": "ul", "╮": "dl", "┤": "udl", "╰": "ur", "╭": "dr", "├": "udr",
    "┴": "ulr", "┬": "dlr", "┼": "udlr", " ": "",
}  # fmt: skip
STEPS = {"u": (0, -1), "d": (0, 1), "l": (-1, 0), "r": (1, 0)}
BACK = {"u": "d", "d": "u", "l": "r", "r": "l"}

Reads = dict[str, list[str]]


@st.composite
def graphs(draw: st.DrawFn, most: int = 24) -> Reads:
    """Any graph without a circle; names do not tell the order."""
    count = draw(st.integers(0, most))
    names = draw(st.permutations([f"n{i}" for i in range(count)]))
    return {
        name: draw(st.lists(st.sampled_from(names[:i]), max_size=4, unique=True)) if i else []
        for i, name in enumerate(names)
    }


@st.composite
def trees(draw: st.DrawFn, most: int = 24) -> Reads:
    """Graphs in which everything has one source at most."""
    return {name: sources[:1] for name, sources in draw(graphs(most)).items()}


def laid_out(reads: Reads) -> Layout:
    return lay_out({name: 3 + len(name) for name in reads}, reads)


def reached(layout: Layout, name: str) -> set[str]:
    """The nodes that a finger comes to that follows the line of ``name`` to its right."""
    rows = [layout.line(y) for y in range(layout.height)]
    heads = {(p.x - 1, p.y): p.id for p in layout.places.values()}
    start = layout.places[name]
    if not start.forks:
        return set()
    found: set[str] = set()
    seen: set[tuple[int, int, str]] = set()
    todo = [(start.x + start.width, start.y, "r")]
    while todo:
        x, y, way = todo.pop()
        if (x, y, way) in seen:
            continue
        seen.add((x, y, way))
        if way == "r" and (x, y) in heads:
            found.add(heads[x, y])
            continue
        todo += [(x + dx, y + dy, on) for on, dx, dy in onward(rows[y][x], way)]
    return found


def onward(sign: str, way: str) -> Iterator[tuple[str, int, int]]:
    """Where one goes on from a sign; a line that crosses an upright one passes under it. Lines
    lead to the right, never back to the left."""
    arms = ARMS[sign]
    if sign == "│" and way == "r":
        yield way, *STEPS[way]
        return
    assert BACK[way] in arms, f"a line breaks off before {sign!r}"
    for arm in arms:
        if arm not in (BACK[way], "l"):
            yield arm, *STEPS[arm]


@given(graphs())
def test_nodes_stand_apart_and_no_line_goes_through_one(reads: Reads) -> None:
    layout = laid_out(reads)
    assert set(layout.places) == set(reads)
    taken: set[tuple[int, int]] = set()
    for place in layout.places.values():
        cells = {(x, place.y) for x in range(place.x, place.x + place.width)}
        assert not cells & taken
        taken |= cells
        assert place.x + place.width <= layout.width
        assert place.y < layout.height
        assert not layout.line(place.y)[place.x : place.x + place.width].strip()


@given(graphs())
def test_every_line_is_drawn_whole_and_leads_to_the_right(reads: Reads) -> None:
    layout = laid_out(reads)
    for name, sources in reads.items():
        for source in sources:
            assert layout.places[source].x < layout.places[name].x
            assert name in reached(layout, source)


@given(trees())
def test_where_nothing_has_two_sources_a_line_leads_to_its_readers_only(reads: Reads) -> None:
    layout = laid_out(reads)
    for name in reads:
        assert reached(layout, name) == {n for n, sources in reads.items() if name in sources}


@given(graphs())
def test_the_way_of_a_line_is_on_drawn_signs_from_its_source_to_its_reader(reads: Reads) -> None:
    layout = laid_out(reads)
    for name, sources in reads.items():
        end = layout.places[name]
        for source in sources:
            way = list(layout.way(source, name))
            start = layout.places[source]
            assert way[0] == (start.x + start.width, start.y)
            assert way[-1] == (end.x - 2, end.y)
            assert all(layout.line(y)[x] != " " for x, y in way)


@given(graphs())
def test_the_order_in_which_nodes_are_told_changes_nothing(reads: Reads) -> None:
    names = sorted(reads, reverse=True)
    again = {name: reads[name] for name in names}
    first, second = laid_out(reads), laid_out(again)
    assert first.places == second.places
    assert [first.line(y) for y in range(first.height)] == [
        second.line(y) for y in range(second.height)
    ]


@given(graphs())
def test_the_ascii_form_has_a_sign_where_the_other_has_one(reads: Reads) -> None:
    layout = laid_out(reads)
    for y in range(layout.height):
        plain = layout.line(y, ascii=True)
        assert plain.isascii()
        assert [c == " " for c in plain] == [c == " " for c in layout.line(y)]


@given(graphs())
def test_a_column_has_one_lane_a_row_in_its_order(reads: Reads) -> None:
    for part in parts(sorted(reads), reads):
        assert all(part.row[a] < part.row[b] for layer in part.layers for a, b in pairwise(layer))


def test_a_small_graph_looks_as_a_person_would_draw_it() -> None:
    reads = {
        "raw": [], "tick": [], "mqtt": [], "clean": ["raw", "tick"], "resize": ["clean"],
        "ocr": ["clean"], "train": ["resize"], "windows": ["mqtt"],
    }  # fmt: skip
    layout = laid_out(reads)
    drawn = []
    for y in range(layout.height):
        text = list(layout.line(y))
        for place in layout.rows[y]:
            text[place.x : place.x + len(place.id)] = place.id
        drawn.append("".join(text).rstrip())
    assert drawn == [
        "raw    ──┬── clean     ──┬── ocr",
        "tick   ──╯               ╰── resize   ──── train",
        "mqtt   ───── windows",
    ]


def test_lines_cross_no_more_than_they_must_in_a_swapped_pair() -> None:
    layout = laid_out({"a": [], "b": [], "c": ["b"], "d": ["a"]})
    assert not any("│" in layout.line(y) for y in range(layout.height))


def test_a_circle_and_a_source_nobody_knows_do_no_harm() -> None:
    layout = laid_out({"a": ["b", "gone"], "b": ["a"], "c": ["c"]})
    assert set(layout.places) == {"a", "b", "c"}


def test_a_long_chain_and_an_empty_graph_are_laid_out() -> None:
    names = [f"n{i:04}" for i in range(2000)]
    chain = {n: names[max(0, i - 1) : i] for i, n in enumerate(names)}
    assert laid_out(chain).height == 1
    assert laid_out({}).height == 0

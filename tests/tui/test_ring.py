"""The ring of a log and the rows its lines take, against plain lists."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.tui.sources import line
from tui.widgets.log_text import Look, height, rows
from tui.widgets.ring import Ring, Shown

STEPS = st.lists(st.tuples(st.sampled_from(["append", "prepend"]), st.integers(0, 30)), max_size=40)


@given(STEPS, st.integers(1, 40))
def test_a_ring_holds_the_lines_beside_each_other_that_fit(
    steps: list[tuple[str, int]], capacity: int
) -> None:
    ring, held, made = Ring(capacity), [], 0
    numbers: dict[int, int] = {}
    for what, count in steps:
        fresh = [line(made + number) for number in range(count)]
        made += count
        if what == "append":
            ring.append(fresh)
            held = (held + fresh)[-capacity:]
        else:
            ring.prepend(fresh)
            held = (fresh[-capacity:] + held)[:capacity]
        assert list(ring) == held
        assert len(ring) == len(held) == ring.next - ring.first
        for number, one in enumerate(ring, ring.first):
            assert ring.line(number) is one
            assert numbers.setdefault(one.at, number) == number


def test_a_ring_that_is_replaced_gives_new_numbers() -> None:
    ring = Ring(10)
    ring.append([line(number) for number in range(5)])
    ring.replace([line(7)])
    assert (ring.first, ring.next) == (5, 6)


HEIGHTS = st.lists(st.integers(1, 4), max_size=30)


@given(HEIGHTS, HEIGHTS, st.integers(-40, 40), st.integers(0, 40))
def test_rows_lead_to_lines_and_lines_to_rows(
    behind: list[int], before: list[int], first: int, count: int
) -> None:
    shown = Shown(7)
    shown.append(list(enumerate(behind)))
    shown.prepend(list(enumerate(before, -len(before))))
    gone = shown.keep(first, first + count)
    wanted = [
        (number, part)
        for number, height in enumerate(before + behind, -len(before))
        if first <= number < first + count
        for part in range(height)
    ]
    assert shown.rows == len(wanted)
    assert [shown.at(shown.base + row) for row in range(len(wanted))] == wanted
    assert shown.at(shown.base - 1) is None
    assert shown.at(shown.base + len(wanted)) is None
    assert gone == shown.base - (7 - sum(before)) or not wanted
    for number in {number for number, _ in wanted}:
        assert shown.at(shown.row(number)) == (number, 0)


TEXTS = st.text(st.characters(), max_size=300) | st.sampled_from(
    ['{"a": [1, {"b": null}]}', "[" * 2000, "\x1b[31mred\x1b[0m" * 9, "日本語" * 40, "a\tb" * 30]
)


@given(TEXTS, st.integers(1, 60), st.booleans(), st.booleans(), st.booleans())
def test_a_line_takes_the_rows_it_is_said_to_take(
    text: str, width: int, wrap: bool, times: bool, pretty: bool
) -> None:
    look = Look(width, wrap, times, pretty)
    one = line(1, text, "info")
    made = rows(one, look)
    assert len(made) == height(one, look)
    assert all(row.plain.isprintable() or "\x00" > "" for row in made)
    for row in made:
        assert not any(ord(letter) < 32 or 0xD800 <= ord(letter) < 0xE000 for letter in row.plain)
        if wrap and width > 1:
            assert row.cell_len <= width

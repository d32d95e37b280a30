"""Values as text: what a reader sees in a column."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pachybox.cli import output
from tui import shown

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_sizes_and_ages_are_worded_as_in_the_command_line() -> None:
    assert shown.size(1536) == output.size(1536) == "1.5KiB"
    assert shown.ago(NOW - timedelta(minutes=3), NOW) == "3 minutes ago"
    assert shown.ago(None, NOW) == "-"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "0s"),
        (0.001, "<0.01s"),
        (0.08, "0.08s"),
        (0.024, "0.02s"),
        (0.2, "0.2s"),
        (0.234, "0.23s"),
        (1.23, "1.2s"),
        (9.96, "10s"),
        (41.4, "41s"),
        (59.7, "1m00s"),
        (72, "1m12s"),
        (3599.6, "1h00m"),
        (35760, "9h56m"),
        (3 * 86400 + 7200, "3d02h"),
    ],
)
def test_a_length_of_time(seconds: float | None, text: str) -> None:
    assert shown.span(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"),
        (41.9, "41s"),
        (60, "1m"),
        (3600, "1h"),
        (47 * 3600, "47h"),
        (3 * 86400, "3d"),
        (800 * 86400, "2y"),
    ],
)
def test_an_age_in_one_unit(seconds: float, text: str) -> None:
    assert shown.age(NOW - timedelta(seconds=seconds), NOW) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.2, "~1s"), (89, "~89s"), (120, "~2m"), (7200, "~2h"), (400_000, "~5d")],
)
def test_what_is_left(seconds: float | None, text: str) -> None:
    assert shown.left(seconds) == text


def test_numbers() -> None:
    assert shown.count(41022) == "41,022"
    assert [shown.share(s) for s in (0, 0.31, 0.996, 1)] == ["0%", "31%", "99%", "100%"]
    assert shown.used(412 * 2**30, 931 * 2**30) == "412/931GiB"
    assert [shown.rate(r) for r in (0, 0.24, 412.4, 12345)] == ["0/s", "0.2/s", "412/s", "12,345/s"]
    assert shown.rate(412, "msg") == "412 msg/s"
    assert shown.byte_rate(1536) == "1.5KiB/s"
    assert shown.growth(2**30) == "+1GiB a day"
    assert shown.growth(-(2**20)) == "-1MiB a day"


def test_times_are_where_the_terminal_is() -> None:
    assert shown.clock(NOW) == NOW.astimezone().strftime("%H:%M:%S")
    assert shown.stamp(NOW) == NOW.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    assert shown.clock(None) == shown.stamp(None) == "-"


@given(st.floats(-1, 2), st.integers(2, 40), st.booleans())
def test_a_bar_is_full_only_at_the_end_and_empty_only_before_the_start(
    part: float, width: int, ascii: bool
) -> None:
    drawn = shown.bar(part, width, ascii=ascii)
    on, off = "#." if ascii else "▇░"
    assert len(drawn) == width
    assert set(drawn) <= {on, off}
    assert drawn == on * drawn.count(on) + off * drawn.count(off)
    assert (drawn.count(on) == 0) is (part <= 0)
    if part >= 1:
        assert drawn == on * width
    elif part < 0.999999:
        assert drawn != on * width


@given(st.lists(st.floats(0, 1e9), max_size=80), st.integers(0, 60), st.booleans())
def test_a_sparkline_fits_and_its_highest_is_full(
    values: list[float], width: int, ascii: bool
) -> None:
    drawn = shown.spark(values, width, ascii=ascii)
    assert len(drawn) == min(width, len(values))
    if drawn and max(values) > 0 and len(values) <= width:
        assert drawn[values.index(max(values))] == ("@" if ascii else "█")


def test_a_sparkline_of_few_values_and_of_none() -> None:
    assert shown.spark([0, 1, 2, 4, 8], 5) == "▁▁▂▄█"
    assert shown.spark([0, 0], 5) == "▁▁"
    assert shown.spark([], 5) == ""
    assert shown.spark([0.1, 0.5, 1], 3, most=1) == "▁▄█"
    assert shown.spark([0.5, 2], 3, most=1) == "▄█"


def test_how_far_a_job_is() -> None:
    assert shown.datums(120, 38) == "38/120"
    assert shown.datums(120, 117, failed=3) == "117+3✗"
    assert shown.datums(120, 117, failed=3, ascii=True) == "117+3x"
    assert shown.datums(120, 20, skipped=100) == "20+100»"
    assert shown.datums(120, 0, skipped=120) == "120»"
    assert shown.datums(0, 0) == "0"


@given(st.text(max_size=30), st.integers(0, 20), st.booleans())
def test_padded_text_has_exactly_its_columns(text: str, width: int, right: bool) -> None:
    assert shown.columns(shown.pad(shown.visible(text), width, right=right)) == width


def test_text_is_cut_with_a_sign_and_never_steers_the_terminal() -> None:
    assert shown.cut("resize", 4) == "res…"
    assert shown.cut("resize", 4, ascii=True) == "res~"
    assert shown.cut("日本語", 4) == "日…"
    assert shown.visible("a\x1b[31mb\n") == "a\\x1b[31mb\\n"
    assert shown.plain("╭─ ▇░ ✓ é") == "+- #. + é"

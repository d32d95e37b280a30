"""Sizes, quantities, durations and times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pachybox.errors import InvalidArgument
from pachybox.model import units


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("100", 100),
        ("100B", 100),
        ("1MB", 10**6),
        ("1mb", 10**6),
        ("1.5 GB", 1_500_000_000),
        ("10k", 10_000),
        ("1KiB", 1024),
        ("2Gi", 2**31),
        ("1EB", 10**18),
        (".5KB", 500),
    ],
)
def test_human_sizes_are_decimal_unless_they_say_binary(text: str, size: int) -> None:
    assert units.parse_decimal_size(text) == size


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("64M", 64_000_000),
        ("64Mi", 64 * 2**20),
        ("1.5Gi", 3 * 2**29),
        ("1k", 1000),
        ("1K", 1000),
        ("1Ki", 1024),
        ("500m", Fraction(1, 2)),
        ("250u", Fraction(1, 4000)),
        ("0.1", Fraction(1, 10)),
        ("2e3", 2000),
        ("1E", 10**18),
        ("1E2", 100),
        ("-1", -1),
    ],
)
def test_quantities_are_exact(text: str, value: int | Fraction) -> None:
    assert units.parse_quantity(text) == value


def test_memory_is_whole_bytes_rounded_up() -> None:
    assert units.parse_bytes("64M") == 64_000_000
    assert units.parse_bytes("1500m") == 2
    with pytest.raises(InvalidArgument, match="negative"):
        units.parse_bytes("-1")


@pytest.mark.parametrize("text", ["", "MB", "1XB", "-1MB", "1.2.3", "1 0", "١MB"])
def test_a_bad_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidArgument, match="not a size") as caught:
        units.parse_decimal_size(text)
    assert "1MB" in caught.value.hint


@pytest.mark.parametrize("text", ["", "M", "1MB", "1ki", "1e", "1e9999", "0x1", "1Mim"])
def test_a_bad_quantity_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidArgument, match="not a quantity") as caught:
        units.parse_quantity(text)
    assert "64M" in caught.value.hint


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (1023, "1023B"),
        (1024, "1KiB"),
        (1536, "1.5KiB"),
        (58644, "57.27KiB"),
        (2**20, "1MiB"),
        (5 * 2**40, "5TiB"),
        (2**70, "1024EiB"),
    ],
)
def test_sizes_are_printed_in_binary_units(size: int, text: str) -> None:
    assert units.format_size(size) == text


@pytest.mark.parametrize(
    ("text", "seconds", "canonical"),
    [
        ("0", 0, "0s"),
        ("300s", 300, "5m0s"),
        ("1h2m3.5s", 3723.5, "1h2m3.5s"),
        ("100ms", 0.1, "100ms"),
        ("1.5h", 5400, "1h30m0s"),
        ("-1m30s", -90, "-1m30s"),
        ("+5s", 5, "5s"),
        ("1.5µs", 1.5e-6, "1.5µs"),
        ("1500us", 1.5e-3, "1.5ms"),
        ("15ns", 15e-9, "15ns"),
        (".5s", 0.5, "500ms"),
        ("1m1m", 120, "2m0s"),
        ("24h", 86400, "24h0m0s"),
    ],
)
def test_go_durations_both_ways(text: str, seconds: float, canonical: str) -> None:
    assert units.parse_duration(text) == pytest.approx(seconds, rel=1e-12)
    assert units.format_duration(units.parse_duration(text)) == canonical


@pytest.mark.parametrize("text", ["", "5", "s", "1d", "1 s", "1h-2m", "--1s", "9999999h"])
def test_a_bad_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidArgument, match="not a duration") as caught:
        units.parse_duration(text)
    assert "300s" in caught.value.hint


@given(st.integers(-(10**15), 10**15))
def test_a_printed_duration_reads_back(nanoseconds: int) -> None:
    seconds = nanoseconds / 10**9
    assert units.parse_duration(units.format_duration(seconds)) == pytest.approx(seconds, abs=1e-9)


NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ago", "text"),
    [
        (timedelta(seconds=-5), "Less than a second ago"),
        (timedelta(milliseconds=900), "Less than a second ago"),
        (timedelta(seconds=1.9), "1 second ago"),
        (timedelta(seconds=59), "59 seconds ago"),
        (timedelta(seconds=61), "About a minute ago"),
        (timedelta(minutes=3), "3 minutes ago"),
        (timedelta(minutes=65), "About an hour ago"),
        (timedelta(hours=47), "47 hours ago"),
        (timedelta(days=2), "2 days ago"),
        (timedelta(days=14), "2 weeks ago"),
        (timedelta(days=90), "3 months ago"),
        (timedelta(days=800), "2 years ago"),
    ],
)
def test_ages_are_worded_as_pachctl_words_them(ago: timedelta, text: str) -> None:
    assert units.format_age(NOW - ago, NOW) == text


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-06-01T12:00:00Z", NOW),
        ("2026-06-01t12:00:00z", NOW),
        ("2026-06-01T14:30:00+02:30", NOW),
        ("2026-06-01T11:00:00.123456789-01:00", NOW + timedelta(microseconds=123456)),
    ],
)
def test_times_are_rfc_3339_and_become_utc(text: str, time: datetime) -> None:
    assert units.parse_time(text) == time
    assert units.parse_time(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    ["", "2026-06-01", "2026-06-01T12:00:00", "2026-13-01T12:00:00Z", "2026-06-01T12:00:00+25:00",
     "0001-01-01T00:00:00+01:00", "yesterday"],
)  # fmt: skip
def test_a_bad_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidArgument, match="not a time") as caught:
        units.parse_time(text)
    assert "2026-01-31T18:30:00Z" in caught.value.hint


@given(st.datetimes(timezones=st.just(timezone(timedelta(hours=2)))))
def test_a_printed_time_reads_back(time: datetime) -> None:
    if time.year > 1:
        assert units.parse_time(units.format_time(time)) == time

"""Schedules: what is one, and when it is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pachybox.errors import InvalidArgument
from pachybox.model.schedule import check_schedule, last_tick, next_tick, ticked

NEW_YORK = ZoneInfo("America/New_York")
RIGHT = [
    "* * * * *", "*/5 0-6 1,15 JAN-MAR MON", "0 12 ? * sun", " 0 0 * * 7 ", "@yearly", "@annually",
    "@monthly", "@weekly", "@daily", "@midnight", "@hourly", "@every 90s", "@every 1h30m",
    "@every 10ms", "@never", "0 0 30 2 *",
]  # fmt: skip
WRONG = [
    "", "*", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "a b c d e", "@every",
    "@every x",
    "@every 0s", "@every -5m", "@sometimes", "@reboot", "* * * * *\n* * * * *", "R * * * *",
    "* " * 5000, "1" * 5000 + " * * * *", "@every " + "1" * 5000 + "s", "é * * * *",
]  # fmt: skip


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize("spec", RIGHT)
def test_schedules_are_accepted(spec: str) -> None:
    check_schedule(spec)


@pytest.mark.parametrize("spec", WRONG, ids=lambda s: s[:20])
def test_others_are_refused_with_the_remedy(spec: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_schedule(spec)
    assert "is not valid" in caught.value.message
    assert len(caught.value.message) < 300
    assert "write five fields" in caught.value.hint


@pytest.mark.parametrize(
    ("spec", "after", "tick"),
    [
        ("* * * * *", "2026-01-01T00:00:00", "2026-01-01T00:01:00"),
        ("* * * * *", "2026-01-01T00:00:59.5", "2026-01-01T00:01:00"),
        ("0 0 29 2 *", "2026-01-01T00:00:00", "2028-02-29T00:00:00"),
        ("0 9 * * MON", "2026-01-01T00:00:00", "2026-01-05T09:00:00"),
        ("@monthly", "2026-01-31T18:30:00", "2026-02-01T00:00:00"),
        ("@every 90s", "2026-01-01T00:00:00.7", "2026-01-01T00:01:30"),
        ("@every 1ms", "2026-01-01T00:00:00", "2026-01-01T00:00:01"),
        ("@never", "2026-01-01T00:00:00", None),
        ("0 0 30 2 *", "2026-01-01T00:00:00", None),
        ("@every 2000000h", "9990-01-01T00:00:00", None),
    ],
)
def test_the_next_tick(spec: str, after: str, tick: str | None) -> None:
    assert next_tick(spec, at(after)) == (None if tick is None else at(tick))


def test_fields_are_read_in_the_zone_and_told_in_utc() -> None:
    assert next_tick("0 9 * * *", at("2026-01-01T00:00:00"), NEW_YORK) == at("2026-01-01T14:00:00")
    assert next_tick("0 9 * * *", at("2026-07-01T00:00:00"), NEW_YORK) == at("2026-07-01T13:00:00")


@pytest.mark.parametrize("day", ["2026-03-08", "2026-11-01"])
def test_ticks_go_on_where_clocks_are_changed(day: str) -> None:
    """Of a schedule by the quarter hour none is before the one ahead of it, or far behind."""
    tick = at(f"{day}T00:00:00")
    for _ in range(60):
        following = next_tick("*/15 * * * *", tick, NEW_YORK)
        assert following is not None
        assert timedelta(0) < following - tick <= timedelta(minutes=75)
        tick = following


_times = st.datetimes(datetime(2000, 1, 1), datetime(2030, 1, 1)).map(  # noqa: DTZ001
    lambda t: t.replace(tzinfo=UTC)
)
_schedules = st.sampled_from(["* * * * *", "*/7 3 * * *", "@hourly", "@every 77s", "@monthly"])


@given(_schedules, _times, st.integers(0, 40))
def test_the_last_tick_is_the_last_of_all(spec: str, start: datetime, many: int) -> None:
    first = next_tick(spec, start)
    assert first is not None
    assert not ticked(spec, start, start)
    tick = first
    for _ in range(many):
        following = next_tick(spec, tick)
        assert following is not None
        assert following > tick
        assert following.microsecond == 0
        tick = following
    assert last_tick(spec, first, tick) == tick
    if not spec.startswith("@every"):  # there, ticked counts from another beginning
        assert ticked(spec, start, first)
        assert not ticked(spec, start, first - timedelta(seconds=1))


def test_an_every_is_due_once_in_its_time_however_often_one_asks() -> None:
    begin = at("2026-01-01T00:00:00")
    looks = [begin + timedelta(seconds=n) for n in range(1000)]
    due = [b for a, b in pairwise(looks) if ticked("@every 100s", a, b)]
    assert len(due) in (9, 10)
    assert {(b - a).total_seconds() for a, b in pairwise(due)} == {100.0}

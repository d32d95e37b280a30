"""Schedules: what is one, and when it is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from croniter import CroniterBadDateError, croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from pachybox.errors import InvalidArgument
from pachybox.model.schedule import check_schedule, parse_schedule, ticked
from tests.unit.model.clock_oracle import MANY, WINDOWS, moments, schedules, wall

NEW_YORK = ZoneInfo("America/New_York")
RIGHT = [
    "* * * * *", "*/5 0-6 1,15 JAN-MAR MON", "0 12 ? * sun", " 0 0 * * 7 ", "@yearly", "@annually",
    "@monthly", "@weekly", "@daily", "@midnight", "@hourly", "@every 90s", "@every 1h30m",
    "@every 10ms", "@never", "0 0 30 2 *", "5/15 ? * * Sun-Tue,6", "TZ=Europe/Berlin 0 9 * * *",
    "CRON_TZ=UTC @daily", "TZ=Local @every 5m", "0\t0 1-7/2,20 * 1-5",
]  # fmt: skip
WRONG = [
    "", "*", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "a b c d e", "@every",
    "@every x",
    "22-2 * * * *", "*/0 * * * *", "*-5 * * * *", "0 0 0 * *", "0 0 * 13 *", "0 0 * * 8",
    "0 0 L * *", "0 0 * * 5L", "0 0 * * mon#2", "0 0 15W * *", "H * * * *", "R(0-5) * * * *",
    "0 0 * mon *", "1-2-3 * * * *", "-5 * * * *", "+5 * * * *", "1,,2 * * * *", "TZ=UTC",
    "@every 0s", "@every -5m", "@sometimes", "@reboot", "* * * * *\n* * * * *", "R * * * *",
    "* " * 5000, "1" * 5000 + " * * * *", "@every " + "1" * 5000 + "s", "é * * * *",
]  # fmt: skip


def next_tick(spec: str, after: datetime, zone: tzinfo = UTC) -> datetime | None:
    return parse_schedule(spec, "", zone).after(after)


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


@pytest.mark.parametrize("spec", ["TZ=Mars/Phobos @daily", "CRON_TZ= @daily", "TZ=../UTC @daily"])
def test_zones_that_are_not_known_are_refused_with_the_remedy(spec: str) -> None:
    with pytest.raises(InvalidArgument, match=r"time zone .* is not known") as caught:
        check_schedule(spec)
    assert "Europe/Berlin" in caught.value.hint


def test_a_zone_is_said_once_and_beats_that_of_the_machine() -> None:
    check_schedule("0 9 * * *", "Europe/Berlin")
    with pytest.raises(InvalidArgument, match="says its time zone, and so does timezone") as caught:
        check_schedule("TZ=UTC 0 9 * * *", "Europe/Berlin")
    assert caught.value.hint == "remove TZ=UTC from the spec"
    for spec in ("TZ=Asia/Tokyo 0 9 * * *", "CRON_TZ=Asia/Tokyo  0 9 * * *"):
        assert next_tick(spec, at("2026-01-01T00:00:00"), NEW_YORK) == at("2026-01-02T00:00:00")
    of_input = parse_schedule("0 9 * * *", "Asia/Tokyo", NEW_YORK)
    assert of_input.after(at("2026-01-01T00:00:00")) == at("2026-01-02T00:00:00")


BERLIN, APIA = ZoneInfo("Europe/Berlin"), ZoneInfo("Pacific/Apia")
HOWE, BEIRUT = ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Asia/Beirut")


@pytest.mark.parametrize(
    ("spec", "zone", "after", "ticks"),
    [
        # left out by the clock: as soon as it has done so
        ("30 2 * * *", BERLIN, "2026-03-28 12:00", "29T03:00+02 30T02:30+02"),
        ("0,30 2 29 3 *", BERLIN, "2026-03-28 12:00", "29T03:00+02"),
        ("0 0 * * *", BEIRUT, "2026-03-28 12:00", "29T01:00+03 30T00:00+03"),
        ("@daily", BEIRUT, "2026-03-28 12:00", "29T01:00+03 30T00:00+03"),
        ("15 2 * * *", HOWE, "2026-10-03 12:00", "04T02:30+11 05T02:15+11"),
        # shown twice: the first time
        ("30 2 * * *", BERLIN, "2026-10-24 12:00", "25T02:30+02 26T02:30+01"),
        ("45 1 * * *", HOWE, "2026-04-04 12:00", "05T01:45+11 06T01:45+10:30"),
        # with a star: whenever the clock shows it
        ("0 * * * *", BERLIN, "2026-03-29 00:30", "29T01:00+01 29T03:00+02 29T04:00+02"),
        ("@hourly", BERLIN, "2026-10-25 01:30", "25T02:00+02 25T02:00+01 25T03:00+01"),
        ("0 0-23 * * *", BERLIN, "2026-10-25 01:30", "25T02:00+02 25T02:00+01 25T03:00+01"),
        ("*/30 2 * * *", BERLIN, "2026-10-25 01:30", "25T02:00+02 25T02:30+02 25T02:00+01"),
        ("*/30 2 * * *", BERLIN, "2026-03-28 12:00", "30T02:00+02 30T02:30+02"),
        # a day that is left out has none
        ("0 9 * * *", APIA, "2011-12-28 12:00", "29T09:00-10 31T09:00+14"),
        ("0 9 30 12 *", APIA, "2010-12-31 12:00", "30T09:00+14"),
    ],
)
def test_where_clocks_are_changed(spec: str, zone: ZoneInfo, after: str, ticks: str) -> None:
    tick = datetime.fromisoformat(after).replace(tzinfo=zone).astimezone(UTC)
    for expected in ticks.split():
        following = next_tick(spec, tick, zone)
        assert following is not None
        shown = following.astimezone(zone).isoformat()[8:].replace(":00+", "+").replace(":00-", "-")
        assert shown.removesuffix(":00") == expected
        tick = following


@pytest.mark.parametrize(
    ("zone", "begin"),
    [
        (BERLIN, "2026-10-24T23:59:00"),
        # from 00:01 back to 23:01: the next day has begun before this one ends
        (ZoneInfo("America/St_Johns"), "2010-11-07T01:30:00"),
    ],
)
def test_both_passes_of_an_hour_have_all_their_ticks(zone: ZoneInfo, begin: str) -> None:
    schedule = parse_schedule("* * * * *", local=zone)
    for n in range(150):
        tick = at(begin) + timedelta(minutes=n)
        assert schedule.after(tick) == tick + timedelta(minutes=1)
        assert schedule.last(at(begin), tick + timedelta(seconds=59)) == tick


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


@settings(max_examples=MANY)
@given(st.data())
def test_it_is_due_when_the_clock_on_the_wall_says_so(data: st.DataObject) -> None:
    """Against the oracle: from anywhere forwards and backwards, and through changes of clocks."""
    zone, year = data.draw(st.sampled_from(WINDOWS))
    clock, drawn = wall(zone, year), data.draw(schedules())
    schedule, due = parse_schedule(drawn.text, zone), clock.due(drawn)
    for _ in range(3):
        start = data.draw(moments(clock))
        place = int(np.searchsorted(due, start.timestamp(), side="right"))
        tick = start
        for expected in due[place : place + 40]:
            following = schedule.after(tick)
            assert following is not None
            assert following.timestamp() == expected
            tick = following
        if place > 0:
            long_ago = datetime(1980, 1, 1, tzinfo=UTC)
            assert schedule.last(long_ago, start).timestamp() == due[place - 1]


@given(st.data())
def test_it_is_due_in_utc_when_croniter_says_so(data: st.DataObject) -> None:
    """A second opinion where both mean the same."""
    drawn, tick = data.draw(schedules(plain=True)), data.draw(_times)
    theirs = croniter(drawn.text, tick)
    for _ in range(10):
        following = next_tick(drawn.text, tick)
        if following is None:
            with pytest.raises(CroniterBadDateError):
                theirs.get_next(datetime)
            return
        assert following == theirs.get_next(datetime)
        tick = following


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
    assert parse_schedule(spec).last(first, tick) == tick
    if not spec.startswith("@every"):  # there, ticked counts from another beginning
        assert ticked(spec, start, first)
        assert not ticked(spec, start, first - timedelta(seconds=1))


def test_an_every_is_due_once_in_its_time_however_often_one_asks() -> None:
    begin = at("2026-01-01T00:00:00")
    looks = [begin + timedelta(seconds=n) for n in range(1000)]
    due = [b for a, b in pairwise(looks) if ticked("@every 100s", a, b)]
    assert len(due) in (9, 10)
    assert {(b - a).total_seconds() for a, b in pairwise(due)} == {100.0}

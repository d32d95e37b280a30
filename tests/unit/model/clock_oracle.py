"""When schedules are due, found in another way than the code does: by looking at the clock on the
wall in every minute of some years. And the drawing of schedules that are known by their values.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import strategies as st

from tests.examples import many

MANY = many(40)
YEARS = 3
WINDOWS = [
    ("UTC", 2026), ("Europe/Berlin", 2026), ("America/New_York", 2006),
    ("Australia/Lord_Howe", 2024), ("Pacific/Apia", 2010), ("Asia/Beirut", 2023),
    ("America/St_Johns", 2009), ("Asia/Kathmandu", 1985), ("Africa/Casablanca", 2024),
    ("Antarctica/Troll", 2024), ("America/Asuncion", 2022), ("Pacific/Kiritimati", 1994),
    ("Antarctica/Casey", 2009), ("America/Caracas", 2015), ("Asia/Pyongyang", 2014),
    ("Africa/Cairo", 2023), ("America/Santiago", 2018),
]  # fmt: skip
"""Zones and the first of the years looked at: clocks changed at midnight, by half an hour, by three
hours, by a day; and none."""
_NAMES = {
    "month": "jan feb mar apr may jun jul aug sep oct nov dec".split(),  # noqa: SIM905
    "weekday": "sun mon tue wed thu fri sat".split(),  # noqa: SIM905
}
_BOUNDS = {
    "minute": (0, 59),
    "hour": (0, 23),
    "day": (1, 31),
    "month": (1, 12),
    "weekday": (0, 6),
}


@dataclass(frozen=True)
class Drawn:
    """A schedule of five fields: its text, and for each field the values and whether it has a
    star."""

    text: str
    values: dict[str, frozenset[int]]
    stars: dict[str, bool]


class Wall:
    """The clock on the wall of a zone in each minute of ``YEARS`` years from January 10 on."""

    def __init__(self, zone: str, year: int) -> None:
        self.start = datetime(year, 1, 10, tzinfo=UTC)
        self.end = datetime(year + YEARS, 1, 10, tzinfo=UTC)
        self.zone = ZoneInfo(zone)
        first = int(self.start.timestamp()) // 60
        self.minutes = np.arange(first, int(self.end.timestamp()) // 60, dtype=np.int64)
        self.shown = self.minutes + self._offsets()
        self.fields = self._split(self.shown)

    def _offsets(self) -> np.ndarray[Any, Any]:
        hours = range(int(self.minutes[0]), int(self.minutes[-1]) + 61, 60)
        known = [self._offset(hour) for hour in hours]
        found = np.repeat(np.array(known[:-1]), 60)
        for number, (a, b) in enumerate(pairwise(known)):
            if a != b:
                base = number * 60
                found[base : base + 60] = [self._offset(hours[number] + m) for m in range(60)]
        return found

    def _offset(self, minute: int) -> int:
        shown = datetime.fromtimestamp(minute * 60, UTC).astimezone(self.zone)
        offset = shown.utcoffset()
        assert offset is not None
        return int(offset.total_seconds()) // 60

    @staticmethod
    def _split(shown: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
        days = shown // 1440
        first = int(days.min())
        dates = np.arange(first, int(days.max()) + 1).astype("datetime64[D]")
        months = dates.astype("datetime64[M]")
        of_day = days - first
        return {
            "minute": (shown % 60).astype(np.int8),
            "hour": (shown % 1440 // 60).astype(np.int8),
            "day": ((dates - months).astype(int) + 1).astype(np.int8)[of_day],
            "month": (months.astype(int) % 12 + 1).astype(np.int8)[of_day],
            "weekday": ((days + 4) % 7).astype(np.int8),  # 1970 began on a Thursday
        }

    def due(self, drawn: Drawn) -> np.ndarray[Any, Any]:
        """The seconds since 1970 at which a schedule is due."""
        matches = _matches(self.fields, drawn)
        everything = [len(drawn.values["minute"]) == 60, len(drawn.values["hour"]) == 24]
        if drawn.stars["minute"] or drawn.stars["hour"] or any(everything):
            return self.minutes[matches] * 60
        furthest = np.maximum.accumulate(self.shown)
        again = np.zeros(len(self.shown), dtype=bool)
        again[1:] = self.shown[1:] <= furthest[:-1]
        matches = matches & ~again
        for number in np.nonzero(np.diff(self.shown) > 1)[0]:
            left_out = np.arange(self.shown[number] + 1, self.shown[number + 1])
            left_out = left_out[left_out > furthest[number]]
            if len(left_out) < 1440 and _matches(self._split(left_out), drawn).any():
                matches[number + 1] = True
        return self.minutes[matches] * 60

    @cached_property
    def changes(self) -> list[datetime]:
        """When the clock is changed."""
        steps = np.nonzero(np.diff(self.shown - self.minutes))[0]
        return [datetime.fromtimestamp(int(self.minutes[n + 1]) * 60, UTC) for n in steps]


def _matches(fields: dict[str, np.ndarray[Any, Any]], drawn: Drawn) -> np.ndarray[Any, Any]:
    hit = {}
    for name, values in drawn.values.items():
        table = np.zeros(64, dtype=bool)
        table[list(values)] = True
        hit[name] = table[fields[name]]
    day, weekday = hit["day"], hit["weekday"]
    restricted = not drawn.stars["day"] and not drawn.stars["weekday"]
    days = (day | weekday) if restricted else (day & weekday)
    found: np.ndarray[Any, Any] = hit["minute"] & hit["hour"] & hit["month"] & days
    return found


@lru_cache(maxsize=6)
def wall(zone: str, year: int) -> Wall:
    """See Wall."""
    return Wall(zone, year)


@st.composite
def _items(draw: st.DrawFn, name: str, kinds: tuple[str, ...]) -> tuple[str, set[int], bool]:
    """One item of a field: its text, its values, whether it is a star."""
    least, most = _BOUNDS[name]
    near = {"minute": st.sampled_from([0, 1, 15, 30, 59]), "hour": st.integers(0, 4)}
    one = st.one_of(near.get(name, st.integers(least, most)), st.integers(least, most))

    def spelled(value: int) -> str:
        if name in _NAMES and draw(st.booleans()):
            word = _NAMES[name][value - least]
            return draw(st.sampled_from([word, word.upper(), word.title()]))
        return "7" if (name, value) == ("weekday", 0) and draw(st.booleans()) else str(value)

    kind = draw(st.sampled_from(kinds))
    step = draw(st.integers(1, most))
    if kind == "star/":
        return f"{draw(st.sampled_from('*?'))}/{step}", set(range(least, most + 1, step)), True
    low = draw(one)
    if kind == "value":
        return spelled(low), {low}, False
    if kind == "value/":
        return f"{low}/{step}", set(range(low, most + 1, step)), False
    high = draw(st.integers(low, most))
    text = f"{low}-{high}" if low < high else str(low)  # 0-0 is more than 0 to croniter
    kind = kind if low < high else "range"
    if kind == "range":
        return text, set(range(low, high + 1)), False
    return f"{text}/{step}", set(range(low, high + 1, step)), False


@st.composite
def schedules(draw: st.DrawFn, *, plain: bool = False) -> Drawn:
    """Schedules of five fields. ``plain``: those that no two programs read differently."""
    kinds = ("value", "value", "range", "range/", "value/", "star/")[: 4 if plain else None]
    texts, values, stars = [], {}, {}
    for name, (least, most) in _BOUNDS.items():
        if draw(st.integers(0, 9)) < (3 if name in ("minute", "hour") else 7):
            found = [
                ("*" if plain else draw(st.sampled_from("*?")), set(range(least, most + 1)), True)
            ]
        else:
            found = draw(st.lists(_items(name, kinds), min_size=1, max_size=3))
        texts.append(",".join(text for text, _, _ in found))
        values[name] = frozenset().union(*(some for _, some, _ in found))
        stars[name] = any(star for _, _, star in found)
        whole = len(values[name]) == most - least + 1
        if plain and whole and not stars[name]:
            texts[-1], stars[name] = "*", True
    between = " " if plain else draw(st.sampled_from([" ", "  ", "\t"]))
    return Drawn(between.join(texts), values, stars)


@st.composite
def moments(draw: st.DrawFn, of: Wall) -> datetime:
    """Times within what ``of`` knows, of which many are near a change of the clock."""
    edge = timedelta(days=40)
    lately = (of.end - of.start - 2 * edge) // timedelta(milliseconds=1)
    at = of.start + edge + timedelta(milliseconds=draw(st.integers(0, lately)))
    if (changes := of.changes) and draw(st.booleans()):
        near = draw(st.sampled_from(changes)) + timedelta(
            seconds=draw(st.integers(-200000, 200000))
        )
        at = min(max(near, of.start + edge), of.end - edge)
    return at

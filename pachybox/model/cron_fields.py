"""The five fields of a cron schedule, read as Go's robfig/cron v1 reads them, and when they are
due. Pure.

Fields: minute, hour, day of month, month, day of week. Each is a list of ``*`` (or ``?``), values
and ranges, with a step where wished; ``5/15`` is ``5-59/15``. Months and days have names; Sunday is
0 or 7. Where both days are restricted, either of them is enough; a field with ``*``, be it ``*/2``,
is not restricted, and then both have to match.

Where clocks are put forward or back, schedules are of two kinds, as with Vixie's cron. One whose
minute or hour is ``*`` (also ``*/n``, or a list of all) is due whenever the clock shows what it
names: twice in an hour that the clock shows twice, never in one that it leaves out. Any other is
due once for each time that it names: the first time, and where the clock leaves it out, as soon as
it has done so. A calendar day that a zone leaves out altogether has no times.
"""

from __future__ import annotations

from bisect import bisect_right
from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache

_DAY = 24 * 3600
_EPOCH = date(1970, 1, 1).toordinal()
_FAR = 12 * 366  # days within which any fields are due that ever are: from leap year to leap year
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, {name: n for n, name in enumerate(_MONTHS, 1)}),
    ("day of week", 0, 7, {name: n for n, name in enumerate(_DAYS)}),
)


@dataclass(frozen=True, slots=True, eq=False)  # perf: those of a spec are made once
class Fields:
    """Five fields. ``seconds``: those of a day at which they are due, in order. ``weekdays``: 0 is
    Sunday. ``either``: a day of month or one of week is enough. ``always``: see the module, due
    whenever the clock shows it."""

    seconds: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool
    always: bool

    def after(self, second: int, zone: tzinfo) -> int | None:
        """The first time after ``second`` (since 1970) at which they are due in ``zone``."""
        for day in self._matching(_local(second, zone).toordinal() - 1, 1):
            start, times = self._times(day, zone)
            found = bisect_right(times, second - start)
            if found == len(times):
                continue
            due = start + times[found]
            if start == 0 and self._matches(day + 1):  # the clock is changed: days may overlap
                start, times = self._times(day + 1, zone)
                found = bisect_right(times, second - start)
                due = min([due, *(start + time for time in times[found : found + 1])])
            return due
        return None

    def last(self, second: int, zone: tzinfo) -> int | None:
        """The last time up to ``second`` at which they were due in ``zone``."""
        for day in self._matching(_local(second, zone).toordinal() + 1, -1):
            start, times = self._times(day, zone)
            found = bisect_right(times, second - start)
            if found == 0:
                continue
            due = start + times[found - 1]
            if start == 0 and self._matches(day - 1):
                start, times = self._times(day - 1, zone)
                found = bisect_right(times, second - start)
                due = max([due, *(start + time for time in times[:found][-1:])])
            return due
        return None

    def _matching(self, day: int, step: int) -> Iterator[int]:
        return (one for one in range(day, day + step * _FAR, step) if self._matches(one))

    def _matches(self, day: int) -> bool:
        """Whether a day, by its ordinal, is one of theirs."""
        found = date.fromordinal(day)
        if found.month not in self.months:
            return False
        by_month, by_week = found.day in self.days, day % 7 in self.weekdays
        return (by_month or by_week) if self.either else (by_month and by_week)

    def _times(self, day: int, zone: tzinfo) -> tuple[int, Sequence[int]]:
        """When they are due on a day in ``zone``: a start and the seconds after it, in order. The
        start is 0 (1970) on and beside days on which the clock is changed, and on no other."""
        midnight = (day - _EPOCH) * _DAY  # as clocks of UTC show it
        offset = _offset(midnight - _DAY, zone)
        if offset == _offset(midnight + 2 * _DAY, zone) and midnight != offset:
            return midnight - offset, self.seconds
        return 0, _changed(self, day, zone)


@lru_cache(maxsize=64)
def _changed(fields: Fields, day: int, zone: tzinfo) -> tuple[int, ...]:
    """The times of a day on or beside which the clock is changed, in seconds since 1970."""
    midnight = datetime.combine(date.fromordinal(day), datetime.min.time(), zone)
    due = set()
    for second in fields.seconds:
        shown = midnight + timedelta(seconds=second)
        first, other = _stamp(shown), _stamp(shown.replace(fold=1))
        if first <= other:
            due.add(first)
            if fields.always:
                due.add(other)
        elif not fields.always and first - other < _DAY:
            due.add(_change(other, first, zone))
    return tuple(sorted(due))


def _change(before: int, after: int, zone: tzinfo) -> int:
    """The second at which the clock is changed; it is not before ``before``."""
    low, high, old = before - 1, after, _offset(before - 1, zone)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(middle, zone) == old else (low, middle)
    return high


def _stamp(shown: datetime) -> int:
    return (shown.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)


def _local(second: int, zone: tzinfo) -> date:
    return datetime.fromtimestamp(second, zone).date()


def _offset(second: int, zone: tzinfo) -> int:
    offset = datetime.fromtimestamp(second, zone).utcoffset()
    assert offset is not None
    return offset // timedelta(seconds=1)


# ---- reading


def parse_fields(text: str) -> Fields:
    """Five fields from text. Raises ValueError, which says what is wrong.

    croniter expands them. What it takes beyond robfig/cron (seconds, ``L``, ``#``, random fields,
    ranges that wrap), or reads in another way, does not come to it.
    """
    from croniter import croniter

    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise ValueError(f"it has {len(parts)} fields" if parts else "it is empty")
    plain = [_plain(part, *how) for part, how in zip(parts, _FIELDS, strict=True)]
    expanded, _ = croniter.expand(" ".join(plain))
    minutes, hours, days, months, week = (
        set(range(least, most + 1)) if "*" in found else {int(value) for value in found}
        for found, (_, least, most, _) in zip(expanded, _FIELDS, strict=True)
    )
    any_minute, any_hour, any_day, _, any_weekday = ("*" in part or "?" in part for part in parts)
    if any_weekday and max(days) > 28 and not any(_has(month, days) for month in months):
        days = set()  # such as the 30th of February
    return Fields(
        tuple(3600 * hour + 60 * minute for hour in sorted(hours) for minute in sorted(minutes)),
        frozenset(days),
        frozenset(months),
        frozenset(day % 7 for day in week),
        either=not any_day and not any_weekday,
        always=any_minute or any_hour or len(minutes) == 60 or len(hours) == 24,
    )


def _has(month: int, days: set[int]) -> bool:
    return min(days) <= monthrange(2000, month)[1]


def _plain(text: str, name: str, least: int, most: int, names: dict[str, int]) -> str:
    """One field, checked, in words that croniter and robfig/cron read alike."""
    items = []
    for item in text.split(","):
        values, slash, step = item.partition("/")
        low, dash, high = values.partition("-")
        try:
            width = _value(step, {}) if slash else 1
            first = least if values in ("*", "?") else _value(low, names)
            last = _value(high, names) if dash else first
        except ValueError:
            raise ValueError(f"{item!r} is no {name}") from None
        if not least <= min(first, last) <= max(first, last) <= most:
            raise ValueError(f"{name} {item!r} is not within {least}-{most}")
        if first > last or width == 0 or (slash and not dash and first > most - (most == 7)):
            raise ValueError(f"{name} {item!r} does not count up")
        if values in ("*", "?"):
            items.append(f"*/{width}")
        elif dash and first < last:
            items.append(f"{first}-{last}/{width}")
        else:  # 0-0 is everything to croniter
            items.append(f"{first}/{width}" if slash and not dash else str(first))
    return ",".join(items)


def _value(text: str, names: dict[str, int]) -> int:
    if (named := names.get(text.lower())) is not None:
        return named
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        raise ValueError(text)
    return int(text)

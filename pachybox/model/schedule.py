"""Schedules: when a cron input or a trigger is due. Pure: neither clock nor zone are asked here.

A schedule is five fields (minute, hour, day of month, month, day of week; names allowed),
``@yearly``, ``@monthly``, ``@weekly``, ``@daily``, ``@hourly`` and their like, ``@every`` with
a duration, or ``@never``.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

from pachybox.errors import InvalidArgument
from pachybox.model.units import parse_duration

_LONGEST = 200  # characters; nobody writes more, and reading takes time that grows with them
_ALIASES = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_FIELD = r"(?:[0-9*?/,-]|[A-Za-z]{3})+"  # names have three letters; croniter knows more
_FIELDS = re.compile(rf"{_FIELD}(?: +{_FIELD}){{4}}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def check_schedule(spec: str) -> None:
    """Raise InvalidArgument unless ``spec`` is a schedule."""
    text = spec.strip()
    if text == "@never" or text in _ALIASES or _every(text) is not None:
        return
    from croniter import croniter

    fits = len(text) <= _LONGEST and _FIELDS.fullmatch(text) is not None
    if not fits or not croniter.is_valid(text):
        shown = spec if len(spec) <= _LONGEST else spec[:_LONGEST] + "..."
        raise InvalidArgument(
            f"cron spec {shown!r} is not valid",
            'write five fields, such as "0 * * * *", or @hourly, "@every 90s", @never',
        )


def next_tick(spec: str, after: datetime, zone: tzinfo = UTC) -> datetime | None:
    """The first tick after ``after``, in UTC and whole seconds; None when there is none.

    Fields are read in ``zone``. ``@every`` counts from ``after``, by whole seconds.
    """
    text = spec.strip()
    if text == "@never":
        return None
    try:
        if (every := _every(text)) is not None:
            return after.replace(microsecond=0).astimezone(UTC) + every
        return _fields_tick(text, after.astimezone(UTC), zone)
    except OverflowError:
        return None  # beyond the year 9999


def last_tick(spec: str, first: datetime, now: datetime, zone: tzinfo = UTC) -> datetime:
    """The last tick up to ``now`` of a schedule that has one at ``first``, up to ``now`` too."""
    text = spec.strip()
    if (every := _every(text)) is not None:
        return first + (now - first) // every * every
    if text == "@never":
        return first
    from croniter import croniter

    after_now = now.astimezone(zone).replace(microsecond=0) + timedelta(seconds=1)
    tick: datetime = croniter(text, after_now).get_prev(datetime)
    return max(first, tick.astimezone(UTC))


def _every(text: str) -> timedelta | None:
    if not text.startswith("@every "):
        return None
    try:
        seconds = parse_duration(text.removeprefix("@every "))
        return timedelta(seconds=max(1, int(seconds))) if seconds > 0 else None
    except InvalidArgument:
        return None


def _fields_tick(text: str, after: datetime, zone: tzinfo) -> datetime | None:
    from croniter import CroniterBadDateError, croniter

    ticks = croniter(text, after.astimezone(zone))
    try:
        tick: datetime = ticks.get_next(datetime)
        while tick <= after:  # an hour that clocks show twice
            tick = ticks.get_next(datetime)
    except CroniterBadDateError:
        return None  # the 30th of February
    return tick.astimezone(UTC)


def ticked(spec: str, since: datetime, now: datetime, zone: tzinfo = UTC) -> bool:
    """Whether a schedule had a tick after ``since``, up to ``now``. Here ``@every`` counts from
    the beginning of 1970, so that it does not matter how often one asks."""
    if (every := _every(spec.strip())) is not None:
        return (since - _EPOCH) // every != (now - _EPOCH) // every
    tick = next_tick(spec, since, zone)
    return tick is not None and tick <= now

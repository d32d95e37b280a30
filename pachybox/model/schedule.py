"""Schedules: when a cron input or a trigger is due. Pure: neither clock nor the machine's zone are
asked here.

A schedule is five fields (cron_fields.py), ``@yearly``, ``@monthly``, ``@weekly``, ``@daily``,
``@hourly`` and their like, ``@every`` with a duration, or ``@never``. ``TZ=Europe/Berlin`` or
``CRON_TZ=...`` in front says in which zone it is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from pachybox.errors import InvalidArgument
from pachybox.model.cron_fields import Fields, parse_fields
from pachybox.model.units import parse_duration

_LONGEST = 100  # characters; nobody writes more
_ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_PREFIXES = ("TZ=", "CRON_TZ=")


@dataclass(frozen=True, slots=True, eq=False)  # perf: those of a spec are made once
class Schedule:
    """When something is due: by fields in a zone, every so many seconds, or (both None) never."""

    fields: Fields | None = None
    zone: tzinfo = UTC
    every: int | None = None

    def after(self, t: datetime) -> datetime | None:
        """The first time after ``t`` at which it is due, in UTC and whole seconds; None when there
        is none. ``@every`` counts from ``t``, by whole seconds."""
        second = (t - _EPOCH) // _SECOND
        try:
            if self.every is not None:
                return _EPOCH + timedelta(seconds=second + self.every)
            due = None if self.fields is None else self.fields.after(second, self.zone)
            return None if due is None else _EPOCH + timedelta(seconds=due)
        except (OverflowError, ValueError):
            return None  # beyond the year 9999

    def last(self, first: datetime, now: datetime) -> datetime:
        """The last time up to ``now`` of a schedule that is due at ``first``, up to ``now`` too."""
        second = (now - _EPOCH) // _SECOND
        if self.every is not None:
            start = (first - _EPOCH) // _SECOND
            return first + timedelta(seconds=(second - start) // self.every * self.every)
        due = None if self.fields is None else self.fields.last(second, self.zone)
        return first if due is None else max(first, _EPOCH + timedelta(seconds=due))


def check_schedule(spec: str, timezone: str = "") -> None:
    """Raise InvalidArgument unless ``spec`` is a schedule, and ``timezone`` a zone or empty."""
    parse_schedule(spec, timezone)


@lru_cache(maxsize=4096)
def parse_schedule(spec: str, timezone: str = "", local: tzinfo = UTC) -> Schedule:
    """A schedule from text. It is read in ``timezone``, else in the zone that is in front of it,
    else in ``local``.

    Raises InvalidArgument for what is none, a zone that this machine does not know, and two zones.
    """
    text = spec.strip()
    if text.startswith(_PREFIXES):
        prefix, _, text = text.partition(" ")
        if timezone:
            raise InvalidArgument(
                f"cron spec {_shown(spec)} says its time zone, and so does timezone",
                f"remove {prefix} from the spec",
            )
        timezone, text = prefix.partition("=")[2] or "?", text.strip()
    zone = local if timezone in ("", "Local") else find_zone(timezone)  # so Go calls it
    if text == "@never":
        return Schedule(zone=zone)
    try:
        if len(text) > _LONGEST:
            raise ValueError("it is too long")
        if text.startswith("@every "):
            return Schedule(zone=zone, every=_every(text.removeprefix("@every ")))
        return Schedule(parse_fields(_ALIASES.get(text, text)), zone)
    except ValueError as e:
        raise InvalidArgument(
            f"cron spec {_shown(spec)} is not valid: {e}",
            'write five fields, such as "0 * * * *", or @hourly, "@every 90s", @never',
        ) from None


def _shown(spec: str) -> str:
    return repr(spec if len(spec) <= _LONGEST else spec[:_LONGEST] + "...")


def find_zone(name: str) -> tzinfo:
    """A time zone by its name; InvalidArgument for one that is not known."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise InvalidArgument(
            f"time zone {name[:_LONGEST]!r} is not known",
            'name one of the IANA time zone database, like "Europe/Berlin" or "UTC"',
        ) from None


def _every(text: str) -> int:
    try:
        seconds = parse_duration(text)
    except InvalidArgument as e:
        raise ValueError(e.message) from None
    if seconds <= 0:
        raise ValueError("the duration is not more than zero")
    return max(1, int(seconds))


def ticked(spec: str, since: datetime, now: datetime, local: tzinfo = UTC) -> bool:
    """Whether a schedule had a tick after ``since``, up to ``now``. Here ``@every`` counts from
    the beginning of 1970, so that it does not matter how often one asks."""
    schedule = parse_schedule(spec, "", local)
    if schedule.every is not None:
        every = timedelta(seconds=schedule.every)
        return (since - _EPOCH) // every != (now - _EPOCH) // every
    tick = schedule.after(since)
    return tick is not None and tick <= now

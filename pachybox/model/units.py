"""Sizes, quantities, durations and times: text to numbers and back. Pure.

Sizes are bytes, durations seconds, times aware UTC datetimes. The clock is not read
here: ``now`` is an argument.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction

from pachybox.errors import InvalidArgument

_LONGEST = 100  # characters of a number; Python refuses to convert thousands of digits
_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"
_POWER = {c: i for i, c in enumerate("kmgtpe", start=1)}

_SIZE = re.compile(_NUMBER + r"\s*(?:([kmgtpe])(i?))?b?", re.ASCII | re.IGNORECASE)
_QUANTITY = re.compile(
    r"([+-]?)" + _NUMBER + r"(?:[eE]([+-]?\d{1,3})|([kKMGTPE])(i?)|([num]))?", re.ASCII
)
_SMALL = {"n": -9, "u": -6, "m": -3}

_DURATION = re.compile(rf"([+-]?)((?:{_NUMBER}(?:ns|us|µs|μs|ms|s|m|h))+)", re.ASCII)
_SPAN = re.compile(rf"{_NUMBER}(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_MAX_NANOSECONDS = 2**63 - 1  # what Go's int64 holds: about 292 years

_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:([Zz])|([+-])(\d\d):(\d\d))",
    re.ASCII,
)


# sizes


def parse_decimal_size(text: str) -> int:
    """Bytes of a human size: ``1MB`` and ``1M`` are 10^6, ``1MiB`` and ``1Mi`` 2^20.

    Case does not matter, a fraction is cut off. Raises InvalidArgument otherwise.
    """
    found = _SIZE.fullmatch(text.strip())
    if not found or len(text) > _LONGEST:
        raise InvalidArgument(
            f"{text[:_LONGEST]!r} is not a size", "write it like 500KB, 1MB or 1.5GiB"
        )
    base = 1024 if found[3] else 1000
    return int(Fraction(found[1]) * base ** _POWER.get((found[2] or "").lower(), 0))


def parse_quantity(text: str) -> Fraction:
    """A Kubernetes quantity, exactly: ``64M``, ``1.5Gi``, ``500m``, ``2e3``, ``0.5``.

    ``K`` is taken for ``k``. Raises InvalidArgument otherwise.
    """
    found = _QUANTITY.fullmatch(text.strip())
    if not found or (found[5] and found[4] == "k"):
        raise InvalidArgument(f"{text!r} is not a quantity", "write it like 500m, 2, 64M or 1.5Gi")
    sign, number, exponent, suffix, binary, small = found.groups()
    value = Fraction(number) * (-1 if sign == "-" else 1)
    if exponent:
        return value * _ten(int(exponent))
    if suffix:
        return value * Fraction((1024 if binary else 1000) ** _POWER[suffix.lower()])
    return value * _ten(_SMALL[small]) if small else value


def _ten(exponent: int) -> Fraction:
    return Fraction(10**exponent) if exponent >= 0 else Fraction(1, 10**-exponent)


def parse_bytes(text: str) -> int:
    """A quantity of memory or disk in bytes, rounded up; not negative."""
    value = parse_quantity(text)
    if value < 0:
        raise InvalidArgument(f"{text!r} is negative", "write it like 64M or 1.5Gi")
    return math.ceil(value)


def format_size(size: int) -> str:
    """Bytes for people, in binary units with four significant digits: ``1.5KiB``."""
    value, units = float(size), ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    unit = 0
    while abs(value) >= 1024 and unit < len(units) - 1:
        value /= 1024
        unit += 1
    return f"{value:.4g}{units[unit]}"


# durations


def parse_duration(text: str) -> float:
    """Seconds of a Go duration: ``1h2m3.5s``, ``300s``, ``100ms``, ``-1.5h``, ``0``.

    Raises InvalidArgument otherwise, also beyond Go's range of about 292 years.
    """
    text = text.strip()
    if text in ("0", "+0", "-0"):
        return 0.0
    found = _DURATION.fullmatch(text) if len(text) <= _LONGEST else None
    total = Fraction(0)
    if found:
        total = sum((Fraction(n) * _NANOSECONDS[u] for n, u in _SPAN.findall(found[2])), total)
    if not found or total > _MAX_NANOSECONDS:
        raise InvalidArgument(
            f"{text[:_LONGEST]!r} is not a duration", "write it like 300s, 1h30m or 100ms"
        )
    return float(total / 10**9) * (-1 if found[1] == "-" else 1)


def format_duration(seconds: float) -> str:
    """Seconds as Go prints them, to the nanosecond: ``1h2m3.5s``, ``100ms``, ``0s``."""
    left = round(abs(seconds) * 10**9)
    sign = "-" if seconds < 0 and left else ""
    if left == 0:
        return "0s"
    for unit in ("ns", "µs", "ms"):
        if left < _NANOSECONDS[unit] * 1000:
            return f"{sign}{_decimal(left, _NANOSECONDS[unit])}{unit}"
    minutes, left = divmod(left, _NANOSECONDS["m"])
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(left, 10**9)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else sign + text


def _decimal(value: int, scale: int) -> str:
    """``value / scale`` (a power of ten) without rounding and without trailing zeros."""
    whole, part = divmod(value, scale)
    digits = str(part).zfill(len(str(scale)) - 1).rstrip("0") if part else ""
    return f"{whole}.{digits}" if digits else str(whole)


def format_span(seconds: float) -> str:
    """A length of time for people, as pachctl words it: ``About an hour``, ``3 days``."""
    if seconds < 1:
        return "Less than a second"
    if seconds < 60:
        return "1 second" if int(seconds) == 1 else f"{int(seconds)} seconds"
    minutes = int(seconds / 60)
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    hours = int(seconds / 3600 + 0.5)
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    days = hours // 24
    for limit, size, unit in ((14, 1, "days"), (60, 7, "weeks"), (730, 30, "months")):
        if days < limit:
            return f"{days // size} {unit}"
    return f"{days // 365} years"


def format_age(then: datetime, now: datetime) -> str:
    """How long ago ``then`` was: ``3 minutes ago``. Both are aware."""
    return f"{format_span((now - then).total_seconds())} ago"


# times


def parse_time(text: str) -> datetime:
    """An RFC 3339 time as aware UTC; digits beyond microseconds are cut off.

    Raises InvalidArgument on anything else, also on a time without an offset.
    """
    found = _TIME.fullmatch(text.strip())
    try:
        if found is None:
            raise ValueError
        year, month, day, hour, minute, second = (int(found[i]) for i in range(1, 7))
        zone: timezone = UTC
        if found[9]:
            if int(found[10]) > 23 or int(found[11]) > 59:
                raise ValueError
            offset = timedelta(hours=int(found[10]), minutes=int(found[11]))
            zone = timezone(offset if found[9] == "+" else -offset)
        micros = int((found[7] or "0").ljust(6, "0")[:6])
        return datetime(year, month, day, hour, minute, second, micros, zone).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidArgument(
            f"{text!r} is not a time", "write it like 2026-01-31T18:30:00Z or with +01:00"
        ) from None


def format_time(time: datetime) -> str:
    """An aware time in RFC 3339, in UTC, without needless zeros: ``2026-01-31T18:30:00.5Z``."""
    time = time.astimezone(UTC)
    text = time.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")  # %Y does not pad everywhere
    part = f".{time.microsecond:06d}".rstrip("0") if time.microsecond else ""
    return f"{text}{part}Z"

"""Values as the terminal writes them: sizes, ages, lengths of time, rates, bars, sparklines.

Sizes and ages in full are worded by ``pachybox.model.units``, as in the command line; beside
those stand short forms for columns. Pure: the clock is an argument, and nothing is coloured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from unicodedata import combining, east_asian_width

from pachybox.model.units import format_age, format_size

NONE = "-"
"""What stands where there is no value."""

_SPARKS = "▁▂▃▄▅▆▇█"
_ASCII_SPARKS = "_.-=+*#@"
_PLAIN = str.maketrans(
    {
        **dict.fromkeys("─━═", "-"),
        **dict.fromkeys("│┃║", "|"),
        **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯", "+"),
        **dict.fromkeys("→▶►", ">"),
        **dict.fromkeys("←◀◄", "<"),
        **dict.fromkeys("▾▼↓", "v"),
        **dict.fromkeys("▲↑", "^"),
        "▇": "#",
        "░": ".",
        "▒": ":",
        "…": "~",
        "»": ">",
        "✓": "+",
        "✗": "x",
        "·": ".",
    }
)


# sizes and numbers


def size(n: float) -> str:
    """Bytes in binary units, as the command line writes them: ``1.5KiB``."""
    return format_size(int(n))


def count(n: int) -> str:
    """A number with its thousands apart: ``41,022``."""
    return f"{n:,}"


def share(part: float) -> str:
    """A part of one as per cent: ``31%``. 99.6 % is not yet all: ``99%``."""
    return f"{math.floor(part * 100 + 1e-9):d}%" if part < 1 else f"{round(part * 100):d}%"


def used(part: float, whole: float) -> str:
    """So much of so much, in the unit of the whole: ``412/931GiB``."""
    unit = format_size(int(whole)).lstrip("0123456789.e+-")
    power = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB").index(unit)
    return f"{part / 1024**power:.3g}/{whole / 1024**power:.3g}{unit}"


def rate(per_second: float, unit: str = "") -> str:
    """How often: ``412/s``, ``0.2/s``, ``12 msg/s``."""
    if per_second <= 0:
        number = "0"
    elif per_second < 10:
        number = f"{per_second:.1f}"
    else:
        number = count(round(per_second))
    return f"{number} {unit}/s" if unit else f"{number}/s"


def byte_rate(per_second: float) -> str:
    """Bytes a second: ``1.5MiB/s``."""
    return f"{size(per_second)}/s"


def growth(bytes_per_day: float) -> str:
    """What a day adds or takes: ``+1.2GiB a day``."""
    sign = "-" if bytes_per_day < 0 else "+"
    return f"{sign}{size(abs(bytes_per_day))} a day"


# times


def ago(then: datetime | None, now: datetime) -> str:
    """How long ago, in the words of the command line: ``3 minutes ago``."""
    return NONE if then is None else format_age(then, now)


def age(then: datetime | None, now: datetime) -> str:
    """How long ago in one unit: ``41s``, ``2m``, ``9h``, ``3d``, ``2y``."""
    if then is None:
        return NONE
    seconds = max(0.0, (now - then).total_seconds())
    for limit, unit, word in ((60, 1, "s"), (3600, 60, "m"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{int(seconds // unit)}{word}"
    days = int(seconds // 86_400)
    return f"{days}d" if days < 730 else f"{days // 365}y"


def span(seconds: float | None) -> str:
    """A length of time in at most two units: ``0.08s``, ``1.2s``, ``41s``, ``1m12s``, ``9h56m``."""
    if seconds is None:
        return NONE
    seconds = max(0.0, seconds)
    if seconds < 0.995:
        if seconds < 0.01:
            return "<0.01s" if seconds else "0s"
        return f"{seconds:.2f}".rstrip("0") + "s"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    minutes = whole // 60
    if minutes < 48 * 60:
        return f"{minutes // 60}h{minutes % 60:02d}m"
    hours = minutes // 60
    return f"{hours // 24}d{hours % 24:02d}h"


def left(seconds: float | None) -> str:
    """An estimate of what is still to come, in one unit: ``~2m``."""
    if seconds is None:
        return NONE
    for limit, unit, word in ((90, 1, "s"), (5400, 60, "m"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"~{max(1, round(seconds / unit))}{word}"
    return f"~{round(seconds / 86_400)}d"


def clock(time: datetime | None) -> str:
    """The time of day where the terminal is: ``14:03:22``."""
    return NONE if time is None else time.astimezone().strftime("%H:%M:%S")


def stamp(time: datetime | None) -> str:
    """Day and time of day where the terminal is: ``2024-07-02 14:03:22``."""
    return NONE if time is None else time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


# pictures of numbers


def bar(part: float, width: int, *, ascii: bool = False) -> str:
    """A part of one as ``▇▇▇░░``; full only when all is done, not empty once begun."""
    full = math.floor(max(0.0, min(1.0, part)) * width + 1e-9)
    if part > 0 and full == 0 and width > 1:
        full = 1
    on, off = "#." if ascii else "▇░"
    return on * full + off * (width - full)


def spark(values: Sequence[float], width: int, *, ascii: bool = False, most: float = 0.0) -> str:
    """The last values as bars, the newest at the right: ``▂▃▅▅▇``. More values than columns are
    grouped by their means; ``most``, or else the highest, fills the line."""
    if width <= 0 or not values:
        return ""
    groups = min(width, len(values))
    means = []
    for i in range(groups):
        part = values[i * len(values) // groups : (i + 1) * len(values) // groups]
        means.append(sum(part) / len(part))
    top = most or max(means)
    steps = _ASCII_SPARKS if ascii else _SPARKS
    if top <= 0:
        return steps[0] * groups
    return "".join(
        steps[min(7, math.ceil(max(0.0, v) / top * 8) - 1)] if v > 0 else steps[0] for v in means
    )


def datums(
    total: int,
    processed: int,
    skipped: int = 0,
    failed: int = 0,
    recovered: int = 0,
    *,
    ascii: bool = False,
) -> str:
    """How far a job is: ``38/120``, and when all are through what became of them:
    ``117+3✗`` (failed), ``20+100»`` (skipped), ``19+1~`` (recovered)."""
    done = processed + skipped + failed + recovered
    if done < total:
        return f"{done}/{total}"
    parts = [str(processed)] if processed or not done else []
    parts += [
        f"{n}{plain(sign) if ascii else sign}"
        for n, sign in ((skipped, "»"), (recovered, "~"), (failed, "✗"))
        if n
    ]
    return "+".join(parts)


# text


def columns(text: str) -> int:
    """How many columns of a terminal ``text`` takes."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(c) else 1 + (east_asian_width(c) in ("W", "F")) for c in text)


def cut(text: str, width: int, *, ascii: bool = False) -> str:
    """``text`` in at most ``width`` columns; ends in ``…`` when something was left out."""
    if columns(text) <= width:
        return text
    if width <= 0:
        return ""
    room, kept = width - 1, []
    for c in text:
        room -= columns(c)
        if room < 0:
            break
        kept.append(c)
    return "".join(kept) + ("~" if ascii else "…")


def pad(text: str, width: int, *, right: bool = False, ascii: bool = False) -> str:
    """``text`` in exactly ``width`` columns; ``right``: against the right edge."""
    text = cut(text, width, ascii=ascii)
    space = " " * (width - columns(text))
    return space + text if right else text + space


def visible(text: str) -> str:
    """``text`` with its control characters written out: a name must not steer the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def plain(text: str) -> str:
    """``text`` with lines, bars and glyphs of this program in ASCII; all else stays."""
    return text.translate(_PLAIN)

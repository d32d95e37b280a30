"""Which backups are kept: ``last 7, daily 30``. Pure; days are UTC's."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from pachybox.errors import InvalidArgument
from pachybox.model.units import parse_duration

_PERIODS = {"hourly": "%Y%m%d%H", "daily": "%Y%m%d", "weekly": "%G%V", "monthly": "%Y%m",
            "yearly": "%Y"}  # fmt: skip
_RULE = re.compile(r"([a-z]+) +([0-9a-z]+)")
_DAYS = re.compile(r"([0-9]{1,6})d")
_HINT = "write rules like: last 7, daily 30, weekly 8, monthly 12, yearly 5, within 10d"


@dataclass(frozen=True, slots=True)
class Keep:
    """Rules; a backup that one of them wants is kept. ``periods``: how many of each kind, the
    newest of every period that has one. Ids sort in the order in which backups were made."""

    last: int = 0
    within_s: float = 0.0
    periods: tuple[tuple[str, int], ...] = ()

    def kept(self, backups: Sequence[tuple[str, float]], now: float) -> set[str]:
        """Of backups (id, when) those that are kept. What lies in the future is."""
        newest = sorted(backups, reverse=True)
        found = {id for id, _ in newest[: self.last]}
        found |= {id for id, when in newest if when > now - self.within_s}
        for kind, count in self.periods:
            seen: dict[str, str] = {}
            for id, when in newest:
                seen.setdefault(time.strftime(_PERIODS[kind], time.gmtime(when)), id)
            found.update(list(seen.values())[:count])
        return found


def parse_keep(text: str) -> Keep:
    """The rules in ``text``. Raises InvalidArgument where it has none."""
    last, within, periods = 0, 0.0, dict[str, int]()
    for part in text.split(","):
        found = _RULE.fullmatch(" ".join(part.split()))
        if found is None:
            raise InvalidArgument(f"{part.strip()!r} says not what to keep", _HINT)
        kind, much = found.groups()
        if kind == "within":
            days = _DAYS.fullmatch(much)
            within = max(within, int(days[1]) * 86400.0 if days else parse_duration(much))
        elif kind in (*_PERIODS, "last") and much.isdecimal() and 0 < int(much) < 1_000_000:
            last = max(last, int(much)) if kind == "last" else last
            if kind != "last":
                periods[kind] = max(periods.get(kind, 0), int(much))
        else:
            raise InvalidArgument(f"{part.strip()!r} says not what to keep", _HINT)
    return Keep(last, within, tuple(sorted(periods.items())))

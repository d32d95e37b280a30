"""Retention: what of a branch's history is kept. Text to rules and back. Pure.

The rules of a branch are words in its metadata: ``last 100``, ``for 30d``, ``under 50GB``, several
of them with commas between, or ``all``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from pachybox.errors import InvalidArgument
from pachybox.model.units import parse_decimal_size, parse_duration

RETENTION = "retention"
"""The key in a branch's metadata."""

FORMS = 'write it like "last 100", "for 30d", "under 50GB", several with commas, or "all"'

_DAYS = re.compile(r"(?:(\d+(?:\.\d+)?)w)?(?:(\d+(?:\.\d+)?)d)?(.*)", re.ASCII)
_GAP = re.compile(r"(?<=\d) (?=[a-z])|(?<=[a-z]) (?=\d)")  # two numbers stay two
_DAY_S = 86_400
_LONGEST = 200  # characters


@dataclass(frozen=True, slots=True)
class Rules:
    """What is kept. A commit is kept when it is among the ``last`` ones or finished within the
    last ``for_s`` seconds: either will do, and with neither rule every commit is kept. But of
    what is kept so only as much stays as is ``under`` so many bytes together, from the newest on.
    ``text``: the rules as they are written. No rule at all: everything is kept.
    """

    text: str
    last: int | None = None
    for_s: float | None = None
    under: int | None = None

    @property
    def everything(self) -> bool:
        """Whether no commit ever goes."""
        return self.last is None and self.for_s is None and self.under is None


def parse_rules(text: str) -> Rules:
    """Rules from words; a leading ``keep`` may be there. Raises InvalidArgument."""
    words = " ".join(text.lower().split())
    words = words.removeprefix("keep ")
    if words == "all":
        return Rules("all")
    found: dict[str, str] = {}
    for part in words.split(","):
        kind, _, value = part.strip().partition(" ")
        if kind not in ("last", "for", "under") or not value or len(text) > _LONGEST:
            raise InvalidArgument(f"{text[:_LONGEST]!r} is no retention", FORMS)
        if kind in found:
            raise InvalidArgument(f"{text!r} says {kind!r} twice", FORMS)
        found[kind] = value
    return Rules(
        ", ".join(f"{kind} {_shown(kind, value)}" for kind, value in found.items()),
        _count(found["last"]) if "last" in found else None,
        _seconds(found["for"]) if "for" in found else None,
        _bytes(found["under"]) if "under" in found else None,
    )


def _shown(kind: str, value: str) -> str:
    value = _GAP.sub("", value)
    return value.upper().replace("I", "i") if kind == "under" else value


def _count(text: str) -> int:
    if not re.fullmatch(r"\d{1,12}", text, re.ASCII) or int(text) < 1:
        raise InvalidArgument(f"'last {text}' is no number of commits", FORMS)
    return int(text)


def _seconds(text: str) -> float:
    found = _DAYS.fullmatch(_GAP.sub("", text))
    assert found is not None  # it matches whatever there is
    weeks, days, rest = found.groups()
    seconds = float(Fraction(weeks or 0) * 7 * _DAY_S + Fraction(days or 0) * _DAY_S)
    try:
        seconds += parse_duration(rest) if rest else 0.0
    except InvalidArgument:
        seconds = 0.0
    if not 0 < seconds < 1000 * 366 * _DAY_S:
        raise InvalidArgument(f"'for {text}' is no length of time", FORMS)
    return seconds


def _bytes(text: str) -> int:
    try:
        size = parse_decimal_size(_GAP.sub("", text))
    except InvalidArgument:
        size = 0
    if size < 1:
        raise InvalidArgument(f"'under {text}' is no size", FORMS)
    return size

"""Everything doctor looks at, by code: what it is, what trouble there means, what helps.

A code is one thing that is looked at, whatever comes out; it never changes its meaning and is
never given again. ``pachybox doctor CODE`` and docs/troubleshooting.md say what stands here.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pachybox.doctor import texts_place, texts_work
from pachybox.errors import NotFound
from pachybox.pps.runners.base import Finding

SUBJECTS = {
    "PB1": "The machine",
    "PB2": "The data directory",
    "PB3": "Settings and secrets",
    "PB4": "Doors",
    "PB5": "Running code",
    "PB6": "Containers",
    "PB7": "Pipelines and ingest",
    "PB8": "Care",
    "PB9": "The service",
}
"""Headings, by the beginning of the codes below them."""


@dataclass(frozen=True, slots=True)
class Code:
    """One thing that is looked at. ``check`` is its name; one of many ends in a space, and the
    name of the thing follows."""

    code: str
    check: str
    looks_at: str
    means: str
    remedy: str

    @property
    def subject(self) -> str:
        """The heading it stands under."""
        return SUBJECTS[self.code[:3]]


CODES: dict[str, Code] = {
    code: Code(code, check, *(" ".join(text.split()) for text in texts))
    for code, check, *texts in (*texts_place.ALL, *texts_work.ALL)
}
_BY_CHECK = {one.check: one for one in CODES.values()}
Level = Literal["ok", "warn", "fail"]


def code(text: str) -> Code:
    """The code that ``text`` writes. Raises NotFound with the nearest."""
    found = CODES.get(text.upper())
    if found is None:
        near = difflib.get_close_matches(text.upper(), CODES, 1)
        hint = f"did you mean {near[0]}" if near else "see: pachybox doctor"
        raise NotFound(f"doctor has no code {text!r}", hint)
    return found


def found(code: str, level: Level, detail: str, remedy: str = "", *, thing: str = "") -> Finding:
    """A finding; ``thing`` is which of many."""
    return Finding(CODES[code].check + thing, level, detail, remedy, code)


def numbered(findings: Sequence[Finding]) -> list[Finding]:
    """``findings``, those of runners too, each with its code, in the order of the codes."""
    made = [one if one.code else _with_code(one) for one in findings]
    return sorted(made, key=lambda one: one.code)


def _with_code(one: Finding) -> Finding:
    known = _BY_CHECK.get(one.check)
    if known is None:
        known = next(
            c for c in _BY_CHECK.values() if c.check[-1] == " " and one.check.startswith(c.check)
        )
    return Finding(one.check, one.level, one.detail, one.remedy, known.code)

"""What a line of a log says of itself. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from typing import NamedTuple

LONGEST = 64 << 10
_HEAD = 400  # characters in which a line says how bad it is

_SAID = {
    "error": "error err fatal critical crit panic severe alert emerg emergency exception",
    "warn": "warn warning",
    "info": "info notice information",
    "debug": "debug trace verbose",
}
_LEVELS = {word: level for level, words in _SAID.items() for word in words.split()}
_WORDS = "|".join(sorted(_LEVELS, key=len, reverse=True))
_FORMS = re.compile(
    # "level":"warn", level=error
    rf"""["']?\b(?:log_?)?(?:level|lvl|severity|levelname)["']?\s*[:=]\s*["']?({_WORDS})\b"""
    # [warn], <error>, (info), |ERROR|
    rf"|[\[<(|]\s*({_WORDS})\s*[\]>)|:]"
    # error: at the beginning, also behind a time or the name of a program
    rf"|^[\W\d_TZ]*(?:[\w./-]+:\s+)?({_WORDS})\s?[:\]]",
    re.IGNORECASE,
)
_LOUD = re.compile(rf"\b({_WORDS.upper()})\b")
_RAISED = re.compile(
    r"^(?:Traceback \(most recent call last\)|(?:\w+\.)*\w*(?:Error|Exception)\b:)"
)


class Line(NamedTuple):
    """One line of a log; ``at`` is its place in it. ``user``: by the user's program."""

    time: datetime
    text: str
    level: str
    datum: str
    worker: str
    at: int
    attempt: int
    user: bool
    job: str


def level_of(text: str) -> str:
    """``error``, ``warn``, ``info`` or ``debug`` where a line says so in one of the usual forms,
    else nothing."""
    head = text[:_HEAD]
    if found := _FORMS.search(head):
        return _LEVELS[(found[1] or found[2] or found[3]).lower()]
    if found := _LOUD.search(head):
        return _LEVELS[found[1].lower()]
    return "error" if _RAISED.match(head) else ""


def shortened(text: str) -> str:
    """``text``, of a long one the beginning and how much there is beside it."""
    if len(text) <= LONGEST + 100:  # the mark of a line that was cut when it was written stays
        return text
    more = len(text[LONGEST:].encode("utf-8", "replace"))
    return f"{text[:LONGEST]} ... {more} bytes more"

"""States as they are shown: a glyph, its ASCII form, a word and a style; never a colour alone.

Words are those of the API without its prefix (``JOB_RUNNING`` is ``running``), so that what is
read here can be typed into a filter or a command. Pure: it knows no widget.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Mark(NamedTuple):
    """How a state is shown. ``style`` is one of ``STYLES``."""

    glyph: str
    ascii: str
    word: str
    style: str

    def sign(self, ascii: bool = False) -> str:
        """The glyph, one column wide."""
        return self.ascii if ascii else self.glyph

    def text(self, ascii: bool = False) -> str:
        """Glyph and word: ``✓ success``."""
        return f"{self.sign(ascii)} {self.word}"


STYLES: Mapping[str, str] = {
    "ok": "$text-success",
    "busy": "$text-primary",
    "wait": "$text-secondary",
    "warn": "$text-warning",
    "bad": "$text-error",
    "quiet": "$text-muted",
    "plain": "",
}
"""Style -> the theme's variable, for ``Content.styled`` and ``widgets.paint``."""


_JOB = {
    "created": Mark("○", "o", "created", "wait"),
    "starting": Mark("○", "o", "starting", "wait"),
    "running": Mark("●", "*", "running", "busy"),
    "egressing": Mark("●", "*", "egressing", "busy"),
    "finishing": Mark("●", "*", "finishing", "busy"),
    "success": Mark("✓", "+", "success", "ok"),
    "failure": Mark("✗", "x", "failure", "bad"),
    "killed": Mark("■", "#", "killed", "bad"),
    "unrunnable": Mark("⊘", "0", "unrunnable", "bad"),
}
_PIPELINE = {
    "starting": Mark("○", "o", "starting", "wait"),
    "running": Mark("●", "*", "running", "busy"),
    "restarting": Mark("○", "o", "restarting", "warn"),
    "failure": Mark("✗", "x", "failure", "bad"),
    "paused": Mark("‖", '"', "paused", "warn"),
    "standby": Mark("·", ".", "standby", "quiet"),
    "crashing": Mark("!", "!", "crashing", "bad"),
}
_DATUM = {
    "unknown": Mark("○", "o", "waiting", "wait"),
    "waiting": Mark("○", "o", "waiting", "wait"),
    "starting": Mark("○", "o", "starting", "wait"),
    "running": Mark("●", "*", "running", "busy"),
    "success": Mark("✓", "+", "success", "ok"),
    "failed": Mark("✗", "x", "failed", "bad"),
    "skipped": Mark("»", ">", "skipped", "quiet"),
    "recovered": Mark("~", "~", "recovered", "warn"),
}
_INGEST = {
    "starting": Mark("○", "o", "starting", "wait"),
    "running": Mark("⇣", "v", "running", "ok"),
    "paused": Mark("‖", '"', "paused", "warn"),
    "held": Mark("!", "!", "held", "warn"),
    "late": Mark("!", "!", "late", "bad"),
    "crashing": Mark("!", "!", "crashing", "bad"),
    "stopped": Mark("■", "#", "stopped", "quiet"),
}
_COMMIT = {
    "started": Mark("○", "o", "open", "wait"),
    "ready": Mark("○", "o", "ready", "wait"),
    "finishing": Mark("●", "*", "finishing", "busy"),
    "finished": Mark("✓", "+", "finished", "ok"),
    "error": Mark("✗", "x", "error", "bad"),
}
_CHANGE = {
    "added": Mark("+", "+", "added", "ok"),
    "removed": Mark("-", "-", "removed", "bad"),
    "changed": Mark("~", "~", "changed", "warn"),
}
_LEVEL = {
    "error": Mark("✗", "x", "error", "bad"),
    "warn": Mark("!", "!", "warning", "warn"),
    "info": Mark("·", ".", "note", "quiet"),
}

REPO = Mark("▤", "=", "repo", "plain")
CRON = Mark("◷", "@", "cron", "ok")
LIVE = Mark("●", "*", "live", "ok")
LOST = Mark("○", "o", "lost", "bad")


def job(state: str) -> Mark:
    """Of a job's state, of the API (``JOB_SUCCESS``) or in its short form."""
    return _mark(_JOB, state)


def pipeline(state: str, *, stopped: bool = False) -> Mark:
    """Of a pipeline's state; ``stopped``: a user paused it, whatever else it is."""
    return _PIPELINE["paused"] if stopped else _mark(_PIPELINE, state)


def datum(state: str) -> Mark:
    """Of a datum's state."""
    return _mark(_DATUM, state)


def ingest(state: str, kind: str = "") -> Mark:
    """Of a source; one of ``kind`` cron that is well shows a clock. ``late`` is a state here."""
    mark = _mark(_INGEST, state)
    if kind.lower() == "cron" and mark.word == "running":
        return mark._replace(glyph=CRON.glyph, ascii=CRON.ascii)
    return mark


def commit(state: str, *, error: str = "") -> Mark:
    """Of a commit's state; ``error`` is why a finished one holds nothing."""
    return _COMMIT["error"] if error else _mark(_COMMIT, state)


def change(kind: str) -> Mark:
    """Of a file in a difference: ``added``, ``removed`` or ``changed``."""
    return _mark(_CHANGE, kind)


def level(name: str) -> Mark:
    """Of a problem, a warning, something that needs attention."""
    return _mark(_LEVEL, name)


def wants_ascii(encoding: str, environment: Mapping[str, str]) -> bool:
    """Whether a terminal with this encoding and environment can only be trusted with ASCII.

    Python itself makes UTF-8 of the plain locale C, and says so in LC_CTYPE: who asked for C by
    LANG or LC_ALL has asked for ASCII.
    """
    if environment.get("TERM") == "linux" or not _is_utf8(encoding):
        return True
    language = environment.get("LANG", "")
    kind = environment.get("LC_CTYPE", "")
    if language in ("C", "POSIX") and kind in ("C.UTF-8", "C.utf8", "UTF-8"):
        kind = language
    said = environment.get("LC_ALL") or kind or language
    return bool(said) and not _is_utf8(said)


def _is_utf8(text: str) -> bool:
    return text.lower().replace("-", "").partition("@")[0].endswith("utf8")


def _mark(marks: Mapping[str, Mark], state: str) -> Mark:
    word = state.lower()
    for prefix in ("pipeline_", "job_"):
        word = word.removeprefix(prefix)
    return marks.get(word) or Mark("?", "?", word or "unknown", "quiet")

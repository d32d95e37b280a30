"""A line of a log as it is drawn: cut, free of codes, coloured by its level."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from rich.ansi import AnsiDecoder
from rich.cells import cell_len, chop_cells
from rich.text import Text

from tui.widgets.cells import UNSAFE
from tui.widgets.log_source import LogLine

LONGEST = 4096
"""Characters of a line on the screen; the rest is only counted."""
CODES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-ln-~]"  # CSI but SGR
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"  # OSC, DCS and their like with what they hold
    r"|\x1b(?![\[\]PX^_]).?"  # other escapes
    r"|\x1b\[[0-?]*[ -/]*$"  # an escape that was cut off
)
SGR = re.compile(r"\x1b\[[0-9;:]*m")
LEVELS = {
    "fatal": "bad",
    "critical": "bad",
    "error": "bad",
    "err": "bad",
    "warning": "warn",
    "warn": "warn",
    "debug": "quiet",
    "trace": "quiet",
}
_WORD = re.compile(r"\b(FATAL|CRITICAL|ERROR|WARNING|WARN|DEBUG|TRACE)\b|^Traceback \(most")


class Look(NamedTuple):
    """How all lines are shown now."""

    width: int
    wrap: bool = False
    times: bool = False
    pretty: bool = False
    sources: bool = False


def shade(line: LogLine) -> str:
    """The style of a line's level: of what the source says, else of the word in its text."""
    if line.level:
        return LEVELS.get(line.level.lower(), "")
    found = _WORD.search(line.text[:120])
    return LEVELS[(found[1] or "error").lower()] if found else ""


def prefix(line: LogLine, look: Look) -> str:
    """What stands before the text: time, source and level, as far as they are asked for."""
    parts = []
    if look.times:
        time = line.time.astimezone().strftime("%H:%M:%S.%f")[:12] if line.time else ""
        parts.append(time.ljust(12))
    if look.sources and line.source:
        parts.append(UNSAFE.sub("?", line.source)[:8].ljust(8))
    level = line.level.upper()
    if level and level not in line.text[:120].upper():
        parts.append(level[:5].ljust(5))
    return " ".join(parts) + " " if parts else ""


def clean(text: str) -> Text:
    """The text with its colours (SGR) as styles and no other code; cut where it is too long."""
    raw = text[: LONGEST * 2]
    if "\r" in raw:  # what was written over, as by a progress bar
        raw = raw.rstrip("\r").rpartition("\r")[2]
    raw = raw.expandtabs(8)
    if "\x1b" in raw:
        raw = CODES.sub("", raw)
    shown = AnsiDecoder().decode_line(raw) if "\x1b" in raw else Text(raw)
    if UNSAFE.search(shown.plain):
        shown.plain = UNSAFE.sub("?", shown.plain)
    if len(shown) > LONGEST or len(text) > LONGEST * 2:
        left = len(text) - LONGEST
        shown.right_crop(max(0, len(shown) - LONGEST))
        shown.append(f" … {left:,} more", "dim")
    return shown


def plain(text: str) -> str:
    """``clean`` without its styles; what is found and filtered by."""
    if text.isascii() and text.isprintable() and len(text) <= LONGEST:
        return text
    return clean(text).plain


def height(line: LogLine, look: Look) -> int:
    """The rows that ``rows`` gives, without making them where that can be."""
    if look.pretty and line.text.lstrip()[:1] in ("{", "["):
        return len(rows(line, look))
    if not look.wrap:
        return 1
    text = line.text
    if text.isascii() and text.isprintable() and len(text) <= LONGEST:
        cells = len(text) + len(prefix(line, look))
        return max(1, -(-cells // max(1, look.width)))
    return len(rows(line, look))


def rows(line: LogLine, look: Look) -> list[Text]:
    """The line in rows of the screen: one, or several where it is wrapped or pretty JSON."""
    before = prefix(line, look)
    whole = [clean(line.text)]
    if look.pretty and (parts := _pretty(line.text)):
        whole = [Text(part) for part in parts]
    made = []
    for number, part in enumerate(whole):
        row = Text(before if number == 0 else " " * cell_len(before)).append_text(part)
        made += _wrapped(row, look.width) if look.wrap else [row]
    return made


def _wrapped(row: Text, width: int) -> list[Text]:
    if cell_len(row.plain) <= width:
        return [row]
    cuts, at = [], 0
    for part in chop_cells(row.plain, max(1, width)):
        at += len(part)
        cuts.append(at)
    return list(row.divide(cuts[:-1]))


def _pretty(text: str) -> list[str]:
    """The JSON that the line is, in lines; empty where it is none."""
    if text.lstrip()[:1] not in ("{", "[") or len(text) > LONGEST * 16:
        return []
    try:
        laid = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return []
    return [UNSAFE.sub("?", part)[:LONGEST] for part in laid.split("\n")[:500]]

"""Bytes to lines a terminal can be given: decoded, no control codes, cut where they are endless."""

from __future__ import annotations

import codecs
import re

LINE = 4096  # cells of one line that are shown
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # codes a terminal obeys
    "\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\ufeff"  # that turn text around
    "\ud800-\udfff]"  # that cannot be written
)
_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


def decode(data: bytes, whole: bool) -> tuple[str, str]:
    """The text of ``data``, and a note when it is in another encoding than UTF-8.

    Where ``data`` is not the ``whole`` file, a character cut at its end is left out.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            text = codecs.getincrementaldecoder(name)("replace").decode(data[len(mark) :], whole)
            return text, "" if name == "utf-8" else f"encoded in {name}"
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(data, whole), ""
    except UnicodeDecodeError:
        return data.decode("latin-1"), "not UTF-8: shown as Latin-1"


def clean(text: str) -> str:
    """``text`` with each control code as a sign that does nothing."""
    return _CONTROL.sub(_sign, text)


def _sign(found: re.Match[str]) -> str:
    code = ord(found[0])
    return chr(0x2400 + code) if code < 0x20 else "\u2421" if code == 0x7F else "\ufffd"


def lines(text: str, tab: int = 8) -> list[str]:
    """``text`` as lines to show: tabs expanded, each cut at ``LINE``."""
    found = text.replace("\r\n", "\n").split("\n")
    if found and not found[-1]:
        found.pop()
    return [cut(clean(line[: LINE + 1].expandtabs(tab))) for line in found]


def cut(line: str, most: int = LINE) -> str:
    """``line``, its end left out when it is longer than ``most``."""
    return line if len(line) <= most else line[: most - 1] + "\u2026"


def cell(value: object, most: int = 400) -> str:
    """A value as one line."""
    text = value if isinstance(value, str) else str(value)
    return clean(cut(text, most).replace("\n", "\u23ce").replace("\t", " "))

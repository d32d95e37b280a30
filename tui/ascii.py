"""ASCII all through: what a terminal without UTF-8 is given, whatever drew it."""

from __future__ import annotations

from functools import lru_cache

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from tui.shown import plain

_BRAILLE, _AFTER_BRAILLE = 0x2800, 0x2900


class AsciiFilter(LineFilter):
    """Lines, blocks, glyphs in ASCII of the same width; the letters of users' texts stay."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same segments with other characters."""
        return [
            segment
            if segment.control or segment.text.isascii()
            else Segment(_ascii(segment.text), segment.style)
            for segment in segments
        ]


@lru_cache(4096)
def _ascii(text: str) -> str:
    return "".join(c if c.isascii() else _one(c) for c in plain(text))


def _one(c: str) -> str:
    code = ord(c)
    if 0x2500 <= code < 0x2580:  # lines
        return "|" if c in "╎╏┆┇┊┋╷╵╹╻" else "-" if c in "╌╍┄┅┈┉╴╶╸╺" else "+"
    if 0x2580 <= code < 0x25A0:  # blocks
        return "|" if c in "▏▎▍▌▐▕" else "_" if c in "▁▂" else "-" if c in "▔▀▄" else "#"
    if 0x25A0 <= code < 0x2600 or 0x2190 <= code < 0x2300:  # shapes, arrows
        return "*"
    if _BRAILLE <= code < _AFTER_BRAILLE:
        return ":" if code > _BRAILLE else " "
    return {"⏎": ">", "“": '"', "”": '"', "‘": "'", "’": "'", "–": "-", "—": "-", "•": "*"}.get(
        c, c
    )

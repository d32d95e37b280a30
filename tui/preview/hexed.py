"""Any bytes as hex and what they may be: what is left when nothing else fits."""

from __future__ import annotations

import asyncio

from tui.preview.kinds import magic
from tui.preview.source import Source
from tui.preview.values import Preview, Text

FIRST = 16 << 10  # 1,024 lines
_SHOWN = bytes(b if 32 <= b < 127 else ord(".") for b in range(256))


def hex_lines(data: bytes, offset: int = 0) -> list[str]:
    """Lines of sixteen bytes each: offset, hex, characters."""
    lines = []
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        left, right = row[:8].hex(" "), row[8:].hex(" ")
        shown = row.translate(_SHOWN).decode("ascii")
        lines.append(f"{offset + at:08x}  {left:<23}  {right:<23}  {shown}")
    return lines


async def show_hex(source: Source) -> Preview:
    """The first bytes of a file, sixteen a line."""
    grown = max(source.limits.rows // 500, 1)  # 16 kB, and ten times that with each "show more"
    data = await source.head(min(FIRST * grown, source.limits.bytes))
    found = magic(data)
    lines = await asyncio.to_thread(hex_lines, data)
    more = source.bytes_left_out
    facts: tuple[str, ...] = (found,) if found else ()
    if more:
        facts += (f"first {len(data):,} of {source.size:,} bytes",)
    return Preview("binary", Text(lines), facts, more=more)

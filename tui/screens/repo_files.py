"""Files of a box for the repo view: read in pieces, compared as text, moved to and from disk."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.content import Content

from tui.preview import Line, Text
from tui.preview.kinds import binary
from tui.preview.plain import decode, lines

if TYPE_CHECKING:
    from pachybox.client import AsyncClient

COMPARED = 1 << 20
"""Bytes of each side that are compared as text."""
_COMPARED_LINES = 5_000
_STYLES = {"+": "$text-success", "-": "$text-error", "@": "$text-primary"}


class BoxFile:
    """A file at the box, for ``tui.preview``. Read by commit id, so that it stays the same."""

    def __init__(self, box: Callable[[], AsyncClient], place: str, path: str, size: int) -> None:
        self.path, self.size = path, size
        self._box, self._name = box, f"{place}:{path}"

    async def read(self, offset: int, size: int) -> bytes:
        """See ``tui.preview.Reader``."""
        return await self._box().get_file(self._name, offset=offset, limit=size)


async def compared(
    box: AsyncClient, new: str | None, old: str | None
) -> tuple[Text, tuple[str, ...]]:
    """Two files (``repo@ref:/path``; None: not there) as a unified diff, and notes on it."""
    after = await box.get_file(new, limit=COMPARED + 1) if new else b""
    before = await box.get_file(old, limit=COMPARED + 1) if old else b""
    return await asyncio.to_thread(_compare, before, after, old or "nothing", new or "nothing")


def _compare(
    before: bytes, after: bytes, old_name: str, new_name: str
) -> tuple[Text, tuple[str, ...]]:
    if before == after and len(before) <= COMPARED:
        return Text(("no difference",)), ()
    if binary(before[:8192]) or binary(after[:8192]):
        said = f"binary files differ: {len(before):,} and {len(after):,} bytes"
        return Text((said,)), ()
    notes: tuple[str, ...] = ()
    if max(len(before), len(after)) > COMPARED:
        notes = (f"only the first {COMPARED >> 20} MiB of each are compared",)
    old, new = (lines(decode(side[:COMPARED], False)[0]) for side in (before, after))
    if max(len(old), len(new)) > _COMPARED_LINES:
        notes = (f"only the first {_COMPARED_LINES:,} lines of each are compared",)
    found = difflib.unified_diff(
        old[:_COMPARED_LINES], new[:_COMPARED_LINES], old_name, new_name, lineterm=""
    )
    shown: list[Line] = [_styled(line) for line in found]
    return Text(shown or ("no difference in what was compared",)), notes


def _styled(line: str) -> Line:
    if line.startswith(("---", "+++")):
        return Content.styled(line, "bold")
    style = _STYLES.get(line[:1])
    return Content.styled(line, style) if style else line

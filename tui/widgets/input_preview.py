"""What an input would be now: how many datums, how large, the first of them; tried globs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich.text import Text
from textual.widgets import Static

from tui.shown import count, cut, size, span

if TYPE_CHECKING:
    from pachybox.client.spec_values import InputPreview

_ROWS = 8
_PLACE = re.compile(r"^the (text|input)(:\d+)*: ")


class PreviewPane(Static):
    """Drawn from an answer of ``preview_input``."""

    DEFAULT_CSS = """
    PreviewPane {
        height: auto; border-top: solid $panel-lighten-2; border-title-color: $text-muted;
    }
    """

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id, markup=False)
        self.border_title = "Datums"
        self.globs: tuple[tuple[str, int], ...] = ()
        self.total: int | None = None

    def clear(self, why: str) -> None:
        """Nothing is known: say why."""
        self.total = None
        self.border_title = "Datums"
        self.update(Text(why, "dim"))

    def show(self, found: InputPreview) -> None:
        """Draw an answer."""
        self.total = None if found.problem else found.total
        more = "+" if found.at_least else ""
        on = f" on {', '.join(found.commits)}" if found.commits else ""
        self.border_title = (
            f"Datums {count(found.total)}{more} (dry run{_short(on)}, {span(found.took_s)})"
        )
        lines = Text(no_wrap=True, overflow="ellipsis")
        if found.globs:
            self.globs = found.globs
            self._globs(lines, found)
        if found.problem:
            lines.append(_PLACE.sub("", found.problem), "yellow")
            self.update(lines)
            return
        datums = "datum" if found.total == 1 and not more else "datums"
        lines.append(f"{count(found.total)}{more} {datums}", "bold")
        about = "~" if found.sampled else ""
        lines.append(
            f"  {about}{size(found.bytes)}  largest {size(found.largest)}"
            f"  median {size(found.median)}\n"
        )
        for warning in found.warnings:
            lines.append(f"! {warning}\n", "yellow")
        room = max(20, (self.size.width or 60) - 16)
        for at, row in enumerate(found.rows[:_ROWS], 1):
            lines.append(f"{at:>3} {cut(row.input, room).ljust(room)} ", "dim")
            lines.append(f"{size(row.download_bytes):>9}\n", "dim")
        if found.total > len(found.rows[:_ROWS]):
            lines.append("    ...", "dim")
        self.update(lines)

    @staticmethod
    def _globs(lines: Text, found: InputPreview) -> None:
        for glob, datums in found.globs:
            more = "+" if glob in found.globs_at_least else ""
            lines.append(f"{glob} ", "bold")
            lines.append(f"{count(datums)}{more}   ", "cyan")
        lines.append("\n")


def _short(text: str) -> str:
    """Ids of commits in their first digits."""
    parts = text.split("@")
    return "@".join([parts[0], *(p[:8] + p[32:] if len(p) > 31 else p for p in parts[1:])])

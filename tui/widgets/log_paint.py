"""How a row of a log, its footer and its message are drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.strip import Strip

from tui import shown
from tui.widgets import cells, log_text, paint

if TYPE_CHECKING:
    from tui.widgets.log_pane import LogPane


def _style(pane: LogPane, name: str) -> Style:
    return pane.get_component_rich_style(f"log-view--{name}", partial=True)


def row(pane: LogPane, number: int, part: int, at: int, base: Style) -> Strip:
    """Row ``part`` of line ``number``, which is row ``at`` of the log."""
    assert pane.feed is not None
    line = pane.feed.ring.line(number)
    rows = log_text.rows(line, pane.look)
    if part < len(rows):
        text, style = rows[part], base
        if shade := log_text.shade(line):
            style += paint.state(pane, shade)
        if pane.found:
            found = _style(pane, "found")
            if number == pane.found.current:
                found += _style(pane, "current")
            for hit in pane.found.pattern.finditer(text.plain):
                text.stylize(found, *hit.span())
    else:
        text, style = Text(pane.marks.get(number, "")), base + _style(pane, "mark")
    text.style, text.end = style, ""
    selection = pane.text_selection
    if selection and (span := selection.get_span(at)):
        end = len(text) if span[1] == -1 else span[1]
        text.stylize(pane.screen.get_component_rich_style("screen--selection"), span[0], end)
    return Strip(text.render(pane.app.console))


def message(pane: LogPane, width: int, base: Style) -> Strip:
    """What there is to say where there are no lines."""
    if pane.feed is None:
        text = pane.empty
    elif pane.feed.problem and not len(pane.feed.ring):
        text = pane.feed.problem
    elif pane.feed.state == "loading":
        text = "loading ..."
    elif pane.only and len(pane.feed.ring):
        text = f"no match of {pane.only.text} in {_looked_at(pane)}"
        if not pane.feed.whole:
            text += "; / looks through the whole log"
    else:
        text = "" if len(pane.feed.ring) else pane.empty
    style = base + paint.state(pane, "quiet")
    return Strip([Segment(cells.fit(cells.safe(f"  {text}"), width), style)], width)


def footer(pane: LogPane, width: int, base: Style) -> Strip:
    """The last row: what is typed, or what is known of the log."""
    if pane.prompt:
        style = base + _style(pane, "prompt")
        return Strip([Segment(cells.fit(cells.safe(pane.prompt + "_"), width), style)], width)
    style = base + _style(pane, "footer")
    left, right = "  ".join(_counts(pane)), " ".join(_modes(pane))
    room = width - len(right) - 2
    if room < len(left) + 1 and room < width // 2:
        return Strip([Segment(cells.fit(cells.safe(left), width), style)], width)
    text = f" {cells.fit(cells.safe(left), max(room, 0))} {right}"
    return Strip([Segment(cells.fit(text, width), style)], width)


def _counts(pane: LogPane) -> list[str]:
    feed = pane.feed
    if feed is None:
        return []
    parts = []
    if pane.note:
        parts.append(pane.note)
    if feed.state not in ("live", "ended", "loading"):
        parts.append(f"{feed.state}, trying again" if feed.state == "lost" else feed.state)
    if not pane.follow and feed.new:
        parts.append(f"{feed.new:,} new (G)")
    if pane.found:
        parts.append(f"/{pane.found.text} {pane.found.count(feed.whole)}")
    if pane.only:
        parts.append(f"&{pane.only.text} {pane.shown_lines:,} of {_looked_at(pane)}")
    else:
        parts.append(f"{len(feed.ring):,}{'' if feed.whole else '+'} lines")
    gone = feed.source.dropped
    parts.append(f"{shown.size(gone) if gone else 0} dropped")
    parts.append(f"saved {shown.size(feed.size - feed.begin)}")
    return parts


def _looked_at(pane: LogPane) -> str:
    """The lines that ``&`` chooses from: all there are, or those in memory."""
    feed = pane.feed
    assert feed is not None
    count = f"{len(feed.ring):,}"
    if feed.whole:
        return f"{count} lines"
    return f"the last {count} lines" if feed.attached else f"{count} lines around"


def _modes(pane: LogPane) -> list[str]:
    following = "follow" if pane.feed and pane.feed.state == "live" else "end"
    names = [
        ("wrap", pane.wrap),
        ("ts", pane.times),
        ("json", pane.pretty),
        (pane.window, pane.window != "tail"),
        (following if pane.follow else "paused", True),
    ]
    return [name for name, on in names if on]

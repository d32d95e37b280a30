"""Text as it is, code in colour, Markdown laid out."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Iterator

from textual.content import Content, Span

from tui.preview.plain import LINE, clean, decode, lines
from tui.preview.source import Deadline, Source
from tui.preview.values import Line, Preview, Text

BYTES = 256 << 10
PIECE = 8 << 10  # Markdown is laid out in pieces, so that the time can be kept


async def show_text(source: Source, tabs: tuple[str, ...], coloured: bool = True) -> Preview:
    """The first lines of a file, in the colours of its language where its name tells one."""
    limits = source.limits
    data = await source.head(min(BYTES * max(limits.rows // 500, 1), limits.bytes))
    whole = not source.bytes_left_out
    text, note = await asyncio.to_thread(decode, data, whole)
    shown: list[Line] = list(await asyncio.to_thread(lines, text))
    plain_from = len(shown)
    if coloured and len(data) <= BYTES:
        shown, plain_from = await asyncio.to_thread(colour, shown, source.path, limits.seconds)
    notes: tuple[str, ...] = (note,) if note else ()
    if plain_from < len(shown):
        notes += (f"in colour up to line {plain_from:,}",)
    size = f"{len(shown):,} lines" if whole else f"first {len(shown):,} lines"
    body = Text(shown, numbered=True)
    return Preview("text", body, (size,), notes, not whole or plain_from < len(shown), tabs)


def colour(shown: list[Line], path: str, seconds: float) -> tuple[list[Line], int]:
    """``shown`` with the colours of its language, and the line from which on time was short."""
    from pygments.lexers import get_lexer_for_filename
    from pygments.util import ClassNotFound

    text = "\n".join(str(line) for line in shown)
    name = path.rpartition("/")[2]
    try:
        lexer = get_lexer_for_filename(name, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return shown, len(shown)
    if lexer.name == "Text only":
        return shown, len(shown)
    deadline = Deadline(seconds)  # importing the lexer, once a language, is not counted
    found: list[Line] = []
    at, spans = 0, list[Span]()
    for count, (style, part) in enumerate(_styled(lexer.get_tokens(text))):
        pieces = part.split("\n")
        for n, piece in enumerate(pieces):
            if n:
                _close(found, shown, spans)
                at, spans = 0, []
                if len(found) == len(shown):
                    return found, len(shown)
            if style and piece:
                spans.append(Span(at, at + len(piece), style))
            at += len(piece)
        if count % 256 == 0 and deadline.over:
            done = len(found)
            return found + shown[done:], done
    _close(found, shown, spans)
    return found + shown[len(found) :], len(shown)


def _close(found: list[Line], shown: list[Line], spans: list[Span]) -> None:
    if len(found) < len(shown):
        line = str(shown[len(found)])
        found.append(Content(line, spans) if spans else line)


def _styled(tokens: Iterator[tuple[object, str]]) -> Iterator[tuple[str, str]]:
    from pygments.token import _TokenType
    from textual.highlight import HighlightTheme

    styles = HighlightTheme.STYLES
    known: dict[object, str] = {}
    for token, part in tokens:
        if token not in known:
            at: _TokenType | None = token if isinstance(token, _TokenType) else None
            while at is not None and at not in styles:
                at = at.parent
            known[token] = styles.get(at, "") if at is not None else ""
        yield known[token], part


async def show_markdown(source: Source, width: int) -> Preview:
    """Markdown laid out for ``width`` cells."""
    limits = source.limits
    data = await source.head(min(BYTES * max(limits.rows // 500, 1), limits.bytes))
    whole = not source.bytes_left_out
    return await asyncio.to_thread(_markdown, data, whole, width, limits.seconds)


def _markdown(data: bytes, whole: bool, width: int, seconds: float) -> Preview:
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.style import Style
    from rich.text import Text as RichText

    text, note = decode(data, whole)
    pieces = list(_pieces("\n".join(clean(line) for line in text.split("\n"))))
    console = Console(file=io.StringIO(), width=max(min(width, LINE), 20), color_system=None)
    deadline = Deadline(seconds)
    found: list[Line] = []
    done = 0
    for piece in pieces:
        if done and deadline.over:
            break
        for row in console.render_lines(Markdown(piece, hyperlinks=False), pad=False):
            line = RichText()
            for segment in row:
                line.append(segment.text, segment.style or Style.null())
            if not any(segment.style and segment.style.bgcolor for segment in row):
                line.rstrip()
            found.append(Content.from_rich_text(line))
        found.append("")
        done += 1
    notes = [note] if note else []
    more = not whole or done < len(pieces)
    if more:
        notes.append("cut: only the beginning is shown")
    tabs = ("preview", "raw", "hex")
    return Preview("markdown", Text(found[:-1]), (), tuple(notes), more, tabs)


def _pieces(text: str) -> Iterator[str]:
    """``text`` cut at empty lines outside code fences into pieces of about ``PIECE``."""
    piece: list[str] = []
    size, fenced = 0, False
    for line in text.split("\n"):
        if re.match(r" {0,3}(```|~~~)", line):
            fenced = not fenced
        # a line is cut too: laying one out takes time in the square of what is open in it
        for part in [line[at : at + PIECE] for at in range(0, len(line), PIECE)] or [""]:
            piece.append(part)
            size += len(part) + 1
            if (size > PIECE and not fenced and not part.strip()) or size > 2 * PIECE:
                yield "\n".join(piece)
                piece, size = [], 0
    if piece:
        yield "\n".join(piece)

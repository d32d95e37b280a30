"""The text of a spec: highlighted while it is short, with its problems marked where they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, NamedTuple

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.document._document_navigator import DocumentNavigator
from textual.document._wrapped_document import WrappedDocument
from textual.geometry import Offset
from textual.message import Message
from textual.strip import Strip
from textual.widgets import TextArea
from textual.widgets.text_area import Selection

from tui.spec_fields import Spot, spot
from tui.widgets.completions import COMPLETE_KEYS, Completions

HIGHLIGHT_LINES = 2000
"""Longer texts are shown plain: highlighting takes its time at every key."""


class Mark(NamedTuple):
    """A problem in the text, counted from 0; ``level`` is error, warn or info."""

    row: int
    column: int
    level: str


class _Wrapped(WrappedDocument):
    """Knows its height: the one it is of adds up all lines whenever it is asked."""

    @property
    def height(self) -> int:
        """Rows in all."""
        return len(self._offset_to_line_info)


Complete = Callable[[Spot, Sequence[str]], Iterable[tuple[str, str]]]


class SpecEditor(TextArea):
    """A text of YAML. ``complete`` is asked for what may stand at a spot."""

    DEFAULT_CSS = """
    SpecEditor { border: none; padding: 0; height: 1fr; }
    SpecEditor:focus { border: none; }
    SpecEditor > .spec-editor--error { color: $text-error; text-style: underline; }
    SpecEditor > .spec-editor--warn { color: $text-warning; text-style: underline; }
    SpecEditor > .spec-editor--info { text-style: underline; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"spec-editor--{level}" for level in ("error", "warn", "info")
    }

    class Moved(Message):
        """The cursor is at another spot, or the text there is another."""

        def __init__(self, editor: SpecEditor) -> None:
            super().__init__()
            self.editor = editor

    class Left(Message):
        """Esc: out of the text."""

    def __init__(self, text: str = "", *, read_only: bool = False, id: str | None = None) -> None:
        super().__init__(
            text,
            soft_wrap=False,
            tab_behavior="indent",
            show_line_numbers=True,
            read_only=read_only,
            id=id,
        )
        self.indent_width = 2
        self.cursor_blink = False
        self.complete: Complete | None = None
        self.completions: Completions | None = None
        self._marks: dict[int, list[Mark]] = {}
        self._whole: str | None = None

    def on_mount(self) -> None:
        """Highlight from now on: the parser is loaded here, not before."""
        self._fit_language()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """F6 and F7 are the form's here, not those of a TextArea."""
        return action not in ("select_line", "select_all")

    # ---- text

    @property
    def text(self) -> str:
        """The whole text, put together once after each change."""
        if self._whole is None:
            self._whole = self.document.text
        return self._whole

    @text.setter
    def text(self, value: str) -> None:
        self.load_text(value)

    def _set_document(self, text: str, language: str | None) -> None:
        super()._set_document(text, language)
        self.wrapped_document = _Wrapped(self.document, tab_width=self.indent_width)
        self.navigator = DocumentNavigator(self.wrapped_document)
        self._rewrap_and_refresh_virtual_size()

    def _build_highlight_map(self) -> None:
        self._whole = None  # called after each change of the document
        super()._build_highlight_map()

    def load_text(self, text: str) -> None:
        """Another text; what was done to the one before cannot be undone."""
        self._whole = None
        super().load_text(text)
        self._fit_language()

    def become(self, text: str) -> None:
        """The same with a part changed: cursor and undo stay. Tells of it as of typing."""
        old = self.text
        if old == text:
            return
        start = 0
        most = min(len(old), len(text))
        while start < most and old[start] == text[start]:
            start += 1
        end = 0
        while end < most - start and old[len(old) - 1 - end] == text[len(text) - 1 - end]:
            end += 1
        first, last = _place(old, start), _place(old, len(old) - end)
        self.replace(text[start : len(text) - end], first, last, maintain_selection_offset=True)

    def _fit_language(self) -> None:
        wanted = "yaml" if self.document.line_count <= HIGHLIGHT_LINES else None
        if self.is_mounted and self.language != wanted:
            selection, scroll = self.selection, self.scroll_offset
            self.language = wanted
            self.selection = selection
            self.scroll_to(scroll.x, scroll.y, animate=False)

    def on_text_area_changed(self) -> None:
        """A text that has grown too long is shown plain."""
        self._fit_language()
        self.post_message(self.Moved(self))
        if self.has_focus and self.completions is not None and self.completions.is_open:
            self.open_completions()

    def on_text_area_selection_changed(self) -> None:
        """The cursor moved."""
        self.post_message(self.Moved(self))

    # ---- problems

    def set_marks(self, marks: Iterable[Mark]) -> None:
        """Mark problems: underlined, and their lines' numbers coloured."""
        found: dict[int, list[Mark]] = {}
        for mark in marks:
            found.setdefault(mark.row, []).append(mark)
        if found != self._marks:
            self._marks = found
            self._line_cache.clear()
            self.refresh()

    @property
    def marked_rows(self) -> list[int]:
        """The lines with problems."""
        return sorted(self._marks)

    def go(self, row: int, column: int) -> None:
        """Put the cursor at a place, in sight."""
        row = max(0, min(row, self.document.line_count - 1))
        column = max(0, min(column, len(self.document.get_line(row))))
        self.focus()
        self.selection = Selection.cursor((row, column))
        self.scroll_cursor_visible(center=True)

    def get_line(self, line_index: int) -> Text:
        """A line, underlined from where a problem begins to the end of its word."""
        line = super().get_line(line_index)
        for mark in self._marks.get(line_index, ()):
            style = self.get_component_rich_style(f"spec-editor--{mark.level}", partial=True)
            line.stylize(style, *_word(line.plain, mark.column))
        return line

    def _render_line(self, y: int) -> Strip:
        strip = super()._render_line(y)
        row = y + self.scroll_offset.y
        marks = self._marks.get(row)
        if not marks or not self.show_line_numbers:
            return strip
        level = min((m.level for m in marks), key=("error", "warn", "info").index)
        style = self.get_component_rich_style(f"spec-editor--{level}", partial=True)
        style += Style(bold=True, underline=False)
        width = self.gutter_width
        sign = {"error": "x", "warn": "!", "info": "."}[level]
        number = str(row + self.line_number_start)
        gutter = Segment(f"{number:>{width - 2}}{sign} ", style)
        return Strip.join([Strip([gutter], width), strip.crop(width)])

    # ---- what stands here

    @property
    def spot(self) -> Spot:
        """Which field the cursor is on."""
        row, column = self.cursor_location
        return spot(self.document.lines, row, column)

    def open_completions(self) -> None:
        """Offer what may stand here."""
        if self.completions is None or self.complete is None or self.read_only:
            return
        here = self.spot
        items = list(self.complete(here, self.document.lines))
        row, _ = self.cursor_location
        at = self.cursor_screen_offset

        def accept(text: str) -> None:
            end = self.cursor_location
            self.replace(text, (row, here.start), end, maintain_selection_offset=False)
            self.move_cursor((row, here.start + len(text)))

        self.completions.open(items, Offset(*at), accept)

    async def _on_key(self, event: events.Key) -> None:
        if self.completions is not None and self.completions.take_key(event.key):
            _mine(event)
        elif event.key in COMPLETE_KEYS:
            _mine(event)
            self.open_completions()
        elif event.key == "escape" and not self.read_only:
            _mine(event)
            self.post_message(self.Left())
        elif event.key == "enter" and not self.read_only:
            _mine(event)
            self._new_line()
        else:
            await super()._on_key(event)

    def _new_line(self) -> None:
        """A line that is indented as the one before, or deeper below a key without a value."""
        row, column = self.cursor_location
        before = self.document.get_line(row)[:column]
        indent = len(before) - len(before.lstrip(" "))
        if before.rstrip().endswith(":"):
            body = before.lstrip(" ")
            indent += 2 + (len(body) - len(body.lstrip("- ")))
        start, end = self.selection
        self._replace_via_keyboard("\n" + " " * indent, start, end)

    def on_blur(self) -> None:
        """What was offered is of no use in another field."""
        if self.completions is not None:
            self.completions.close()


def _mine(event: events.Key) -> None:
    event.stop()
    event.prevent_default()


def _place(text: str, offset: int) -> tuple[int, int]:
    """Row and column of an offset."""
    row = text.count("\n", 0, offset)
    return row, offset - (text.rfind("\n", 0, offset) + 1)


def _word(line: str, column: int) -> tuple[int, int]:
    """From a column to the end of its word; a place behind the line marks its last character."""
    if column >= len(line):
        return max(0, len(line) - 1), len(line)
    end = column
    while end < len(line) and line[end] not in " ,:{}[]#":
        end += 1
    return column, max(end, column + 1)

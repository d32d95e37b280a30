"""Text that is read, not changed: YAML, a difference, what a program printed; with less's keys."""

from __future__ import annotations

import re
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.binding import BindingType
from textual.widgets.text_area import Selection

from tui.bindings import bindings
from tui.held import work_beside
from tui.keymap import TEXT
from tui.widgets.spec_editor import SpecEditor

READING = (
    *("scroll_down", "scroll_up", "scroll_home", "scroll_end", "half_down", "half_up"),
    *("page_down", "page_up", "scroll_left", "scroll_right"),
    *("find", "find_next", "find_previous", "wrap"),
)
"""The keys of texts that are there whole: nothing comes, and no line has a time."""
YAML, DIFF, PLAIN = "yaml", "diff", "plain"
_SIGNS = {"+": Style(color="green"), "-": Style(color="red"), "@": Style(dim=True)}


class TextPane(SpecEditor):
    """A text of one ``kind``: yaml, diff or plain."""

    pane_kind: ClassVar[str] = "text"
    BINDINGS: ClassVar[list[BindingType]] = bindings(TEXT, READING, "pane_{}")
    DEFAULT_CSS = "TextPane { scrollbar-size-vertical: 1; scrollbar-size-horizontal: 1; }"

    def __init__(
        self, text: str = "", kind: str = YAML, *, numbers: bool = False, id: str | None = None
    ) -> None:
        super().__init__(text, read_only=True, id=id)
        self.kind = kind
        self.show_line_numbers = numbers
        self.show_cursor = False
        self.highlight_cursor_line = False
        self._pattern = ""

    def show(self, text: str, kind: str | None = None) -> None:
        """Another text; where one reads stays when it is of the same kind."""
        if text == self.text and kind in (None, self.kind):
            return
        same, scroll = kind in (None, self.kind), self.scroll_offset
        self.kind = kind or self.kind
        self.load_text(text)
        if same:
            self.scroll_to(scroll.x, scroll.y, animate=False)

    def _fit_language(self) -> None:
        if self.kind == YAML:
            super()._fit_language()
        elif self.is_mounted and self.language is not None:
            self.language = None

    def get_line(self, line_index: int) -> Text:
        """A line; in a difference with the colour of its sign."""
        line = super().get_line(line_index)
        if self.kind == DIFF and (style := _SIGNS.get(line.plain.lstrip()[:1])):
            line.stylize(style)
        if self._pattern:
            for found in re.finditer(self._pattern, line.plain, re.IGNORECASE):
                line.stylize(Style(reverse=True), *found.span())
        return line

    # ---- keys

    def action_pane_scroll_down(self) -> None:
        """A line down."""
        self.scroll_relative(y=1, animate=False)

    def action_pane_scroll_up(self) -> None:
        """A line up."""
        self.scroll_relative(y=-1, animate=False)

    def action_pane_scroll_home(self) -> None:
        """To the begin."""
        self.scroll_home(animate=False)

    def action_pane_scroll_end(self) -> None:
        """To the end."""
        self.scroll_end(animate=False)

    def action_pane_half_down(self) -> None:
        """Half a page down."""
        self.scroll_relative(y=max(1, self.size.height // 2), animate=False)

    def action_pane_half_up(self) -> None:
        """Half a page up."""
        self.scroll_relative(y=-max(1, self.size.height // 2), animate=False)

    def action_pane_page_down(self) -> None:
        """A page down."""
        self.scroll_page_down(animate=False)

    def action_pane_page_up(self) -> None:
        """A page up."""
        self.scroll_page_up(animate=False)

    def action_pane_scroll_left(self) -> None:
        """To the left."""
        self.scroll_relative(x=-8, animate=False)

    def action_pane_scroll_right(self) -> None:
        """To the right."""
        self.scroll_relative(x=8, animate=False)

    def action_pane_wrap(self) -> None:
        """Wrap long lines, or cut them."""
        self.soft_wrap = not self.soft_wrap

    def action_pane_find(self) -> None:
        """Ask for what to find."""
        work_beside(self, self._find(), group="find", exclusive=True)

    async def _find(self) -> None:
        from tui.widgets.confirm import Ask, Question

        text = await self.app.push_screen_wait(Question(Ask("Find?", line=self._pattern)))
        if text is None:
            return
        try:
            re.compile(text)
        except re.error:
            text = re.escape(text)
        self._pattern = text
        self._line_cache.clear()
        self.refresh()
        self._go_found(1, here=True)

    def action_pane_find_next(self) -> None:
        """To the next line that has it."""
        self._go_found(1)

    def action_pane_find_previous(self) -> None:
        """To the one before."""
        self._go_found(-1)

    def _go_found(self, step: int, here: bool = False) -> None:
        if not self._pattern:
            return
        lines = self.document.lines
        first = self.cursor_location[0] + (0 if here else step)
        for n in range(len(lines)):
            row = (first + n * step) % len(lines)
            if found := re.search(self._pattern, lines[row], re.IGNORECASE):
                self.selection = Selection.cursor((row, found.start()))
                self.scroll_cursor_visible(center=True)
                return
        self.app.notify(f"{self._pattern} is not here", markup=False)

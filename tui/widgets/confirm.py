"""Questions: a confirm box that is hard to say yes to, a choice, a line of text."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.events import Key
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from tui.widgets.dialog import Dialog

_GUARD_S = 0.3  # keys that come sooner after each other, or the opening, may be a key's repeat


@dataclass(frozen=True, slots=True)
class Ask:
    """A question. ``title`` ends in a question mark; ``text`` says what will happen.

    With ``typed`` the answer is given by typing that word; with ``choices`` (key, words) by
    picking one, its key comes back; with ``line`` by a line of text that begins with that.
    Otherwise ``yes`` is the one key that confirms, and what comes back.
    """

    title: str
    text: str = ""
    typed: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    line: str | None = None
    yes: str = "y"
    command: str = ""
    hint: str = ""


class Question(Dialog[str | None]):
    """Shows an ``Ask``. Esc, Enter on an empty answer, and a click outside keep all as it is."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "keep", "keep", show=False)]
    DEFAULT_CSS = """
    Question { align: center middle; background: $background 60%; }
    Question > Vertical { width: 72; max-width: 95%; height: auto; max-height: 90%; padding: 0 1;
        border: round $warning; background: $surface; }
    Question OptionList { height: auto; max-height: 12; border: none; background: $surface;
        text-wrap: nowrap; text-overflow: ellipsis; }
    Question OptionList:focus { border: none; }
    Question .hint { color: $text-muted; }
    """

    def __init__(self, ask: Ask) -> None:
        super().__init__()
        self._ask = ask
        self.open_since = self.quiet_since = time.monotonic()

    def on_mount(self) -> None:
        """Counted from when it can be read."""
        self.open_since = self.quiet_since = time.monotonic()

    def compose(self) -> ComposeResult:
        ask = self._ask
        with Vertical() as box:
            box.border_title = Content(ask.title)
            if ask.text:
                yield Static(ask.text, markup=False)
            if ask.command:
                yield Static(f"$ pachybox {ask.command}", markup=False, classes="hint")
            if ask.choices:
                yield OptionList(*(Option(Content(words), id=key) for key, words in ask.choices))
            elif ask.typed or ask.line is not None:
                yield Input(ask.line or "", placeholder=ask.typed or ask.hint)
            yield Static(self._hint(), markup=False, classes="hint")

    def _hint(self) -> str:
        ask = self._ask
        if ask.typed:
            return f"Type {ask.typed} to do it, Esc to keep"
        if ask.choices:
            return "Enter chooses, Esc leaves"
        if ask.line is not None:
            return ask.hint or "Enter accepts, Esc leaves"
        return f"{ask.yes} does it, Esc keeps all as it is"

    def on_key(self, event: Key) -> None:
        """The one key that confirms, when it is pressed anew: a key that is held down, this one
        or the one that opened the box, never comes to rest."""
        ask = self._ask
        quiet_s = time.monotonic() - self.quiet_since
        self.quiet_since += quiet_s if quiet_s > 0 else 0.0
        if ask.typed or ask.choices or ask.line is not None or event.character != ask.yes:
            return
        event.stop()
        if quiet_s >= _GUARD_S:
            self.dismiss(ask.yes)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in the field: the word itself, or a line."""
        event.stop()
        if time.monotonic() - self.open_since < _GUARD_S:
            return
        if self._ask.typed and event.value != self._ask.typed:
            self.query_one(".hint:last-of-type", Static).update(
                f"{event.value!r} is not {self._ask.typed}; Esc to keep"
            )
            return
        self.dismiss(event.value)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter on a choice."""
        event.stop()
        if time.monotonic() - self.open_since >= _GUARD_S:
            self.dismiss(event.option_id)

    def action_keep(self) -> None:
        """Leave everything as it is."""
        self.dismiss(None)

"""What may stand where the cursor is: a list over the view; the field keeps the focus."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.text import Text
from textual.geometry import Offset
from textual.widgets import OptionList
from textual.widgets.option_list import Option

COMPLETE_KEYS = ("ctrl+at", "ctrl+@", "ctrl+space")
_MOST = 100
_LABEL = 24
_WIDTH = 66


class Completions(OptionList, can_focus=False):
    """Hidden until opened. The field keeps the focus and hands over its keys by ``take_key``."""

    DEFAULT_CSS = """
    Completions {
        overlay: screen; constrain: inside inside; display: none;
        width: 66; max-width: 100%; height: auto; max-height: 10; padding: 0;
        border: round $accent; background: $surface;
    }
    Completions.-open { display: block; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._texts: list[str] = []
        self._accept: Callable[[str], None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is on the screen."""
        return self.has_class("-open")

    def open(
        self,
        items: Sequence[tuple[str, str]],
        at: Offset,
        accept: Callable[[str], None],
        *,
        pick: bool = True,
    ) -> bool:
        """Show texts, each with what it is for, below a place on the screen; False without any.
        Unless ``pick``, Enter takes none before one was gone to."""
        if not items:
            self.close()
            return False
        self._texts = [text for text, _ in items[:_MOST]]
        self._accept = accept
        self.clear_options()
        self.add_options(Option(_line(text, why)) for text, why in items[:_MOST])
        self.highlighted = 0 if pick else None
        self.absolute_offset = at + Offset(0, 1)
        self.add_class("-open")
        return True

    def close(self) -> None:
        """Away with it."""
        self.remove_class("-open")
        self._accept = None

    def take_key(self, key: str) -> bool:
        """Whether the key was for the list: it moves in it, takes from it, or closes it."""
        if not self.is_open:
            return False
        if key == "down":
            self.action_cursor_down()
        elif key == "up":
            self.action_cursor_up()
        elif key in ("enter", "tab"):
            if self.highlighted is None:
                self.close()
                return False
            self._take()
        elif key == "escape":
            self.close()
        else:
            return False
        return True

    def _take(self) -> None:
        at, accept = self.highlighted, self._accept
        self.close()
        if at is not None and accept is not None:
            accept(self._texts[at])

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click on one."""
        event.stop()
        self._take()


def _line(text: str, why: str) -> Text:
    line = Text(text.rstrip(": "), no_wrap=True, overflow="ellipsis")
    if why:
        line.pad_right(max(1, _LABEL - len(line)))
        line.append(why, "dim")
    line.truncate(_WIDTH - 4, overflow="ellipsis")
    return line

"""One of a few words, in one line: arrows choose."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual import events
from textual.message import Message
from textual.widget import Widget


class Picks(Widget, can_focus=True):
    """Words of which one is chosen. ``keys``: extra keys that are told of with the choice."""

    DEFAULT_CSS = """
    Picks { height: 1; }
    Picks:focus { background: $boost; }
    """

    class Picked(Message):
        """Another word is chosen, or a key was pressed on it (``enter``, ``delete``)."""

        def __init__(self, picks: Picks, at: int, key: str = "") -> None:
            super().__init__()
            self.picks, self.at, self.key = picks, at, key

        @property
        def control(self) -> Picks:
            """Where."""
            return self.picks

    class Left(Message):
        """Esc."""

    def __init__(
        self,
        words: Sequence[str] = (),
        *,
        label: str = "",
        between: str = "  ",
        keys: Sequence[str] = (),
        radio: bool = False,
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self.words, self.at = list(words), 0
        self._label, self._between, self._keys, self._radio = label, between, keys, radio

    def show(self, words: Sequence[str], at: int) -> None:
        """Other words, or another choice, without telling of it."""
        at = max(0, min(at, len(words) - 1))
        if (list(words), at) != (self.words, self.at):
            self.words, self.at = list(words), at
            self.refresh()

    def render(self) -> Text:
        """Words beside each other, the chosen one marked."""
        line = Text(self._label.ljust(14) if self._label else "", "dim", no_wrap=True)
        for at, word in enumerate(self.words):
            if at:
                line.append(self._between, "dim")
            begun = len(line)
            sign = ("(o) " if at == self.at else "( ) ") if self._radio else ""
            line.append(sign + word, "bold reverse" if at == self.at and not sign else
                        "bold" if at == self.at else "dim")  # fmt: skip
            line.apply_meta({"pick": at}, begun, len(line))
        return line

    def on_key(self, event: events.Key) -> None:
        """Arrows choose; Esc leaves."""
        if event.key in ("left", "right"):
            self._pick(self.at + (1 if event.key == "right" else -1))
        elif event.key in self._keys:
            self.post_message(self.Picked(self, self.at, event.key))
        elif event.key == "escape":
            self.post_message(self.Left())
        elif event.key == "down" or (event.key == "enter" and "enter" not in self._keys):
            self.screen.focus_next()
        elif event.key == "up":
            self.screen.focus_previous()
        else:
            return
        event.stop()

    def on_click(self, event: events.Click) -> None:
        """A click on a word."""
        at = event.style.meta.get("pick")
        if isinstance(at, int):
            if at == self.at and self._keys:
                self.post_message(self.Picked(self, at, self._keys[0]))
            self._pick(at)

    def _pick(self, at: int) -> None:
        if 0 <= at < len(self.words) and at != self.at:
            self.at = at
            self.refresh()
            self.post_message(self.Picked(self, at))

"""``?``: the keys of this view; Enter does what the key does."""

from __future__ import annotations

from collections.abc import Sequence

from tui.keymap import Key
from tui.keys_file import Line
from tui.widgets.key_panel import HEADINGS
from tui.widgets.picker import Hit, Picker


class Help(Picker):
    """``keys`` are those that act now, each with why it does not; ``lines`` the user's own."""

    title_text = "Keys"
    hint = "find a key; Enter does it"

    def __init__(self, keys: Sequence[tuple[Key, str]], lines: Sequence[Line]) -> None:
        super().__init__()
        wide = max((len(key.all_shown) for key, _ in keys), default=0)
        self._all = [
            Hit(f"key {k.name}", f"{k.all_shown:<{wide}}  {HEADINGS[k.at].lower()}", k.help, why)
            for k, why in keys
        ]
        self._all += [
            Hit(f"line {number}", f"{line.key:<{wide}}  of your own", line.help)
            for number, line in enumerate(lines)
        ]

    def hits(self) -> Sequence[Hit]:
        """All of them."""
        return self._all

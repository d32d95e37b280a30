"""The table's keys as Textual wants them."""

from __future__ import annotations

from collections.abc import Callable

from textual.binding import Binding, BindingType

from tui.keymap import OF, Key


def bindings(at: str, action: Callable[[Key], str] = lambda key: key.id) -> list[BindingType]:
    """The table's keys of one place; ``keys.toml`` changes them by name."""
    return [
        Binding(key.keys, action(key), key.help, show=False, id=key.name) for key in OF[at].values()
    ]

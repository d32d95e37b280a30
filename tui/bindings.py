"""The table's keys as Textual wants them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from textual.binding import Binding, BindingType

from tui.keymap import OF


def bindings(at: str, ids: Iterable[str] = (), action: str = "{}") -> list[BindingType]:
    """The table's keys of one place, all or those of ``ids``; ``keys.toml`` changes them by name.

    ``ids`` may give each verb its action; else that is ``action`` with the verb's id in it.
    """
    named = ids if isinstance(ids, Mapping) else {}
    keys = [OF[at][id] for id in ids or OF[at]]
    return [
        Binding(key.keys, named.get(key.id) or action.format(key.id), show=False, id=key.name)
        for key in keys
    ]

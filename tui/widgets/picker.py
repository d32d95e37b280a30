"""A box with a line to type in and what is found below it: palette, keys, notices."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from tui.held import work_beside
from tui.widgets.dialog import Dialog

MOST = 200


class Hit(NamedTuple):
    """Something to pick: what comes back, what is shown, what is beside it, and why it cannot be
    picked now ("" when it can)."""

    id: str
    text: str
    beside: str = ""
    why: str = ""


def score(query: str, text: str, *, fuzzy: bool = True) -> float:
    """How well ``text`` fits: 0 not at all; words that begin so before parts, parts before
    letters that merely come in this order."""
    if not query:
        return 1.0
    low, query = text.lower(), query.lower()
    at = low.find(query)
    if at == 0:
        return 4.0 + len(query) / (len(low) + 1)
    if at > 0:
        return (3.0 if not low[at - 1].isalnum() else 2.0) + len(query) / (len(low) + 1)
    return 0.5 if fuzzy and re.search(".*?".join(map(re.escape, query)), low) else 0.0


def best(query: str, hits: Sequence[Hit]) -> list[Hit]:
    """The hits that fit all words of ``query``, the best first, as they came among equals."""
    words = query.split()
    if not words:
        return list(hits[:MOST])
    found: list[tuple[float, int, Hit]] = []
    for number, hit in enumerate(hits):
        each = [max(score(w, hit.text), 0.8 * score(w, hit.beside, fuzzy=False)) for w in words]
        if all(each):
            found.append((-sum(each), number, hit))
    return [hit for _, _, hit in sorted(found, key=lambda one: one[:2])[:MOST]]


class Picker(Dialog[str | None]):
    """Comes back with the id of what was picked, None when it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", show=False),
        Binding("down,ctrl+n,ctrl+j", "move(1)", show=False),
        Binding("up,ctrl+p,ctrl+k", "move(-1)", show=False),
        Binding("pagedown", "move(10)", show=False),
        Binding("pageup", "move(-10)", show=False),
    ]
    DEFAULT_CSS = """
    Picker { align: center top; background: $background 60%; }
    Picker > Vertical { width: 90; max-width: 96%; height: auto; max-height: 85%; margin-top: 2;
        border: round $primary; background: $surface; }
    Picker Input { border: none; height: 1; padding: 0 1; background: $panel; }
    Picker Input:focus { border: none; }
    Picker OptionList { height: auto; max-height: 24; border: none; background: $surface;
        scrollbar-size-vertical: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    Picker .none { padding: 0 1; color: $text-muted; }
    """

    title_text: ClassVar[str] = ""
    hint: ClassVar[str] = ""

    def hits(self) -> Sequence[Hit]:
        """All that can be picked without asking anybody."""
        return ()

    async def more(self, query: str) -> Sequence[Hit]:
        """What the box adds for ``query``; called beside the interface."""
        return ()

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = Content(self.title_text)
            yield Input(placeholder=self.hint, compact=True)
            yield OptionList()
            yield Static("nothing is found", classes="none", markup=False)

    def on_mount(self) -> None:
        """All of it to begin with."""
        self._hits: list[Hit] = []
        self._show(best("", self.hits()))

    def _show(self, hits: Sequence[Hit]) -> None:
        self._hits = list(hits)
        options = self.query_one(OptionList)
        options.clear_options()
        wide = min(40, max((len(hit.text) for hit in hits), default=0))
        options.add_options([Option(_line(hit, wide)) for hit in hits])
        options.highlighted = 0 if hits else None
        options.display = bool(hits)
        self.query_one(".none").display = not hits

    def on_input_changed(self, event: Input.Changed) -> None:
        """What fits, at once; what the box knows, as soon as it says so."""
        event.stop()
        self._show(best(event.value, self.hits()))
        work_beside(self, self._add(event.value), group="more", exclusive=True)

    async def _add(self, query: str) -> None:
        more = await self.more(query)
        known = {hit.id for hit in self._hits}
        new = [hit for hit in more if hit.id not in known]
        if new and query == self.query_one(Input).value:
            at = self.query_one(OptionList).highlighted
            self._show([*self._hits, *new][:MOST])
            self.query_one(OptionList).highlighted = at or 0

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter picks."""
        event.stop()
        self._pick(self.query_one(OptionList).highlighted)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """So does a click."""
        event.stop()
        self._pick(event.option_index)

    def _pick(self, number: int | None) -> None:
        if number is None or number >= len(self._hits):
            return
        hit = self._hits[number]
        if hit.why:
            self.app.notify(f"{hit.text}: {hit.why}", markup=False)
            return
        self.dismiss(hit.id)

    def action_move(self, by: int) -> None:
        """The cursor of the list, from the line."""
        options = self.query_one(OptionList)
        if options.option_count:
            at = (options.highlighted or 0) + by
            options.highlighted = max(0, min(options.option_count - 1, at))

    def action_leave(self) -> None:
        """Esc"""
        self.dismiss(None)


def _line(hit: Hit, wide: int) -> Content:
    style = "$text-muted" if hit.why else ""
    beside = f"{hit.beside} ({hit.why})" if hit.why else hit.beside
    return Content.assemble((f"{hit.text:<{wide}}", style), ("  " + beside, "$text-muted"))

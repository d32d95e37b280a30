"""The text of a spec being written: what is wrong with it below, help for the field, a draft."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from pachybox.errors import Unreachable
from tui import glyphs
from tui.bindings import bindings
from tui.drafts import Draft, Drafts
from tui.external import edited
from tui.keymap import FORM
from tui.screens.view import View
from tui.spec_fields import Fields, Names, Spot
from tui.widgets.completions import Completions
from tui.widgets.spec_editor import Mark, SpecEditor

if TYPE_CHECKING:
    from pachybox.client.spec_values import Problem

DEBOUNCE_S = 0.08
"""How long one stops typing before the box is asked."""


class SpecView(View):
    """What the two kinds of specs share. ``kind`` is what the box checks the text as."""

    kind: ClassVar[str] = "pipeline"
    is_form: ClassVar[bool] = True
    BINDINGS: ClassVar[list[BindingType]] = bindings(FORM)
    DEFAULT_CSS = """
    SpecView #text-pane { height: 1fr; }
    SpecView #problems-pane { height: auto; max-height: 8; min-height: 3; }
    SpecView #problems { height: auto; max-height: 6; border: none; padding: 0; }
    SpecView #help { height: 1; padding: 0 1; color: $text-muted; }
    SpecView #help.-more { height: auto; max-height: 14; color: $foreground; background: $boost; }
    """

    def __init__(self, draft: Draft, drafts: Drafts) -> None:
        super().__init__()
        self.draft, self.drafts = draft, drafts
        self.completions = Completions()
        self.editor = SpecEditor(draft.text, id="spec")
        self.fields = Fields()
        self.problems: tuple[Problem, ...] = ()
        self.changed_at = self.checked_at = 0.0
        self.kept = True  # nothing was typed since the draft was kept, or the text was sent

    @property
    def source(self) -> str:
        """What messages call the text."""
        return self.draft.pipeline or "draft"

    def text_side(self) -> ComposeResult:
        """The text, and what is wrong with it."""
        with Vertical(classes="pane", id="text-pane") as text:
            text.border_title = "Spec (yaml)"
            self.editor.completions, self.editor.complete = self.completions, self.offered
            yield self.editor
        with Vertical(classes="pane", id="problems-pane") as problems:
            problems.border_title = "Problems"
            yield OptionList(id="problems", compact=True)

    def below(self) -> ComposeResult:
        """Help, and what may stand at the cursor."""
        yield Static(id="help", markup=False)
        yield self.completions

    def on_unmount(self) -> None:
        """However one leaves: nothing typed is lost."""
        self.save_now()

    # What is wrong

    async def check(self) -> None:
        """Ask the box, when one has stopped typing."""
        await asyncio.sleep(DEBOUNCE_S if self.changed_at else 0)
        text = self.editor.text
        try:
            box = self.frame.feed.box
            found = await box.check_spec(text, source=self.source, kind=self.kind)
        except Unreachable:
            self.query_one("#problems-pane").border_title = "Problems: not checked, the box is away"
            return
        if text == self.editor.text and self.query("#problems"):
            self.show_problems(found.problems)

    def show_problems(self, found: tuple[Problem, ...]) -> None:
        """Mark them in the text, and list them."""
        self.problems, self.checked_at = found, time.monotonic()
        title = f"Problems {len(found)}" if found else "No problems"
        self.query_one("#problems-pane").border_title = title
        self.editor.set_marks(Mark(p.line - 1, p.column - 1, _level(p.level)) for p in found)
        listed = self.query_one("#problems", OptionList)
        listed.clear_options()
        listed.add_options(Option(self._line(problem)) for problem in found[:200])
        listed.can_focus = bool(found)

    def _line(self, problem: Problem) -> Text:
        mark = glyphs.level(_level(problem.level))
        style = {"bad": "red", "warn": "yellow"}.get(mark.style, "")
        line = Text(f"{mark.sign(self.frame.ascii_only)} ", style)
        line.append(f"{problem.line}:{problem.column} ", "bold")
        line.append(problem.message + (f"; {problem.hint}" if problem.hint else ""))
        return line

    @on(OptionList.OptionSelected, "#problems")
    def _problem_opened(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.open_problem(self.problems[event.option_index])

    def open_problem(self, problem: Problem) -> None:
        """Enter on a problem: to its place."""
        self.go_problem(problem)

    def go_problem(self, problem: Problem) -> None:
        """Put the cursor where it is."""
        self.editor.go(problem.line - 1, problem.column - 1)

    def action_next_problem(self) -> None:
        """F8: to the next problem in the text."""
        if not self.problems:
            self.frame.notice("no problems")
            return
        row, column = self.editor.cursor_location
        later = [p for p in self.problems if (p.line, p.column) > (row + 1, column + 1)]
        self.go_problem((later or list(self.problems))[0])

    # What becomes of it

    async def checked(self) -> bool:
        """Whether the box takes the text; shows what is wrong, and goes to it, otherwise."""
        box = self.frame.feed.box
        found = await box.check_spec(self.editor.text, source=self.source, kind=self.kind)
        if not found.errors:
            return True
        self.show_problems(found.problems)
        self.frame.notice(f"{len(found.errors)} to correct: {found.errors[0]}", error=True)
        self.go_problem(found.errors[0])
        return False

    @abstractmethod
    async def submit(self) -> None:
        """Show what will change, ask, do it."""

    def action_submit(self) -> None:
        """ctrl+s"""
        if why := self.frame.read_only:
            self.frame.notice(f"ctrl+s: {why}")
            return
        self.load(self.submit(), group="submit")

    def action_external(self) -> None:
        """F4: the user's own editor; its text comes back here."""
        self.load(self._external(), group="external")

    async def _external(self) -> None:
        self.editor.become(await edited(self.app, self.editor.text, ".yaml"))

    # What may stand there

    @property
    def field(self) -> Names:
        """The field that help is about."""
        return self.editor.spot.path

    async def load_fields(self) -> None:
        """Learn what a spec can say."""
        self.fields = Fields(await self.frame.feed.box.describe_spec(self.kind))
        self.show_help()

    def offered(self, place: Spot, lines: Sequence[str]) -> Iterable[tuple[str, str]]:
        """What may stand at a spot of the text."""
        return list(self.fields.keys(place) if place.at_key else self.fields.values(place))

    def on_spec_editor_moved(self) -> None:
        """The cursor of the text is elsewhere."""
        self.show_help()

    def action_field_help(self) -> None:
        """F1: all about the field, and back to a line."""
        self.query_one("#help").toggle_class("-more")
        self.show_help()

    def show_help(self) -> None:
        """A line about the field, or all."""
        if not self.query("#help"):
            return
        panel = self.query_one("#help", Static)
        whole = panel.has_class("-more")
        text = self.fields.more(self.field) if whole else self.fields.line(self.field)
        panel.update(Text(text or "F1 tells of the field", no_wrap=not whole, overflow="ellipsis"))

    # Drafts

    def typed(self) -> Draft:
        """The draft as it is now."""
        d = self.draft
        return Draft(d.box, d.pipeline, d.version, d.base, self.editor.text)

    def save_now(self) -> None:
        """Keep what was typed since it was last kept."""
        draft = self.typed()
        if not self.kept and draft.text != draft.base and draft.text.strip():
            try:
                self.drafts.put(draft)
                self.kept = True
            except OSError as e:
                self.frame.notice(f"the draft could not be kept: {e}", error=True)

    def go_back(self, again: str) -> None:
        """Leave; ``again`` is the key that goes on with the draft, where there is one."""
        self.save_now()
        if self.editor.text != self.draft.base and self.editor.text.strip():
            self.frame.notice(f"draft kept: {again} goes on with it")
        self.leave()


def _level(name: str) -> str:
    return name if name in ("error", "warn", "info") else "error"

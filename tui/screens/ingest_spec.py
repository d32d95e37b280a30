"""The spec of a source being written: what is wrong with it stands below, at line and column."""

from __future__ import annotations

import asyncio
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
from tui.keymap import FORM, OF, VIEW, Key
from tui.places import INGEST, Place
from tui.screens.view import View
from tui.spec_fields import Fields, Spot
from tui.spec_merge import unified
from tui.widgets.completions import Completions
from tui.widgets.confirm import Ask
from tui.widgets.spec_editor import Mark, SpecEditor

if TYPE_CHECKING:
    from pachybox.client.spec_values import Problem

_DEBOUNCE_S = 0.08
_MOST = 14  # lines of a difference in the question
_KEYS = ("submit", "external", "next_problem", "field_help", "leave")

TEMPLATES: tuple[tuple[str, str, str], ...] = (
    (
        "watch",
        "a folder whose files come in when they are whole",
        """\
name: drops
to: raw@master
watch:
  path: /srv/incoming
  pattern: "*"
  settle: 2s
""",
    ),
    (
        "push",
        "HTTP: records posted to /ingest/NAME",
        """\
name: posts
to: raw@master
push:
  group: {time: 5s}
""",
    ),
    (
        "command",
        "a command whose output is cut into records",
        """\
name: lines
to: raw@master
command:
  cmd: [journalctl, -f, -o, json]
  group: {time: 5s}
""",
    ),
    ("cron", "a schedule that starts a pipeline (opens the wizard)", ""),
)


def draft_name(name: str) -> str:
    """What a source's draft is kept under: no pipeline can be called that."""
    return f"ingest:{name}"


class SourceScreen(View):
    """The text of one spec. ``name`` is that of the source that is changed, "" for a new one."""

    mode: ClassVar[str] = INGEST
    is_form: ClassVar[bool] = True
    BINDINGS: ClassVar[list[BindingType]] = bindings(FORM)
    DEFAULT_CSS = """
    SourceScreen #text-pane { height: 1fr; }
    SourceScreen #problems-pane { height: auto; max-height: 8; min-height: 3; }
    SourceScreen #problems { height: auto; max-height: 6; border: none; padding: 0; }
    SourceScreen #help { height: 1; padding: 0 1; color: $text-muted; }
    SourceScreen #help.-more { height: auto; max-height: 14; color: $foreground;
        background: $boost; }
    """

    def __init__(self, draft: Draft, drafts: Drafts, name: str) -> None:
        super().__init__()
        self.draft, self.drafts, self.source_name = draft, drafts, name
        self.completions = Completions()
        self.editor = SpecEditor(draft.text, id="spec")
        self.fields = Fields()
        self.problems: tuple[Problem, ...] = ()
        self._done = False

    def body(self) -> ComposeResult:
        with Vertical(classes="body"):
            with Vertical(classes="pane", id="text-pane") as text:
                text.border_title = "Spec (yaml)"
                self.editor.completions, self.editor.complete = self.completions, self._complete
                yield self.editor
            with Vertical(classes="pane", id="problems-pane") as problems:
                problems.border_title = "Problems"
                yield OptionList(id="problems", compact=True)
        yield Static(id="help", markup=False)
        yield self.completions

    def crumbs(self) -> Sequence[str]:
        """Ingest > drops > edit."""
        return ["Ingest", *([self.source_name, "edit"] if self.source_name else ["new"])]

    def place(self) -> Place:
        """The source."""
        return Place(INGEST, self.source_name)

    def on_mount(self) -> None:
        """Check what one begins with; learn the fields."""
        self.editor.focus()
        self.load(self._load_fields(), group="fields")
        self.load(self._check(), group="check")

    def on_unmount(self) -> None:
        """However one leaves: nothing typed is lost."""
        self._keep()

    def has(self, key: Key) -> bool:
        """A form has the keys of forms alone, and this one not all of them."""
        return key.id in _KEYS if key.at == FORM else key.at != VIEW

    def _footer(self) -> list[tuple[Key, str]]:
        why = self.frame.read_only
        return [(OF[FORM][id], why if OF[FORM][id].changes else "") for id in _KEYS]

    # What is wrong

    @on(SpecEditor.Changed, "#spec")
    def _text_changed(self) -> None:
        self.load(self._check(), group="check")

    def reload(self) -> None:
        """ctrl+r: check again."""
        self.load(self._check(), group="check")

    async def _check(self) -> None:
        await asyncio.sleep(_DEBOUNCE_S)
        text = self.editor.text
        try:
            found = await self.frame.feed.box.check_spec(text, source=self._source, kind="ingest")
        except Unreachable:
            self.query_one("#problems-pane").border_title = "Problems: not checked, the box is away"
            return
        if text == self.editor.text and self.query("#problems"):
            self._show_problems(found.problems)

    def _show_problems(self, found: tuple[Problem, ...]) -> None:
        self.problems = found
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
        self._go(self.problems[event.option_index])

    def _go(self, problem: Problem) -> None:
        self.editor.go(problem.line - 1, problem.column - 1)

    def action_next_problem(self) -> None:
        """F8: to the next problem in the text."""
        if not self.problems:
            self.frame.notice("no problems")
            return
        row, column = self.editor.cursor_location
        later = [p for p in self.problems if (p.line, p.column) > (row + 1, column + 1)]
        self._go((later or list(self.problems))[0])

    # What may stand there

    async def _load_fields(self) -> None:
        self.fields = Fields(await self.frame.feed.box.describe_spec("ingest"))
        self._show_help()

    def _complete(self, place: Spot, lines: Sequence[str]) -> Iterable[tuple[str, str]]:
        return list(self.fields.keys(place) if place.at_key else self.fields.values(place))

    def on_spec_editor_moved(self) -> None:
        """The cursor is elsewhere."""
        self._show_help()

    def action_field_help(self) -> None:
        """F1: all about the field, and back to a line."""
        self.query_one("#help").toggle_class("-more")
        self._show_help()

    def _show_help(self) -> None:
        if not self.query("#help"):
            return
        panel = self.query_one("#help", Static)
        whole, path = panel.has_class("-more"), self.editor.spot.path
        text = self.fields.more(path) if whole else self.fields.line(path)
        panel.update(Text(text or "F1 tells of the field", no_wrap=not whole, overflow="ellipsis"))

    # What becomes of it

    @property
    def _source(self) -> str:
        return self.source_name or "draft"

    def action_submit(self) -> None:
        """ctrl+s: make it, or change it after showing what that changes."""
        if why := self.frame.read_only:
            self.frame.notice(f"ctrl+s: {why}")
            return
        self.load(self._submit(), group="submit")

    async def _submit(self) -> None:
        text, box, name = self.editor.text, self.frame.feed.box, self.source_name
        found = await box.check_spec(text, source=self._source, kind="ingest")
        if found.errors:
            self._show_problems(found.problems)
            self.frame.notice(f"{len(found.errors)} to correct: {found.errors[0]}", error=True)
            self._go(found.errors[0])
            return
        file = await asyncio.to_thread(self.drafts.sent, self.draft.box, self.draft.pipeline, text)
        command = f"{'update' if name else 'create'} ingest -f {file}"
        if name and not await self._sure(command):
            return
        made = await box.create_ingest(text, source=self._source, update=bool(name))
        self._done = True
        self.drafts.drop(self.draft.box, self.draft.pipeline)
        for warning in (warning for one in made for warning in one.warnings):
            self.frame.notice(warning)
        self.frame.notice(f"{'updated' if name else 'made'} {', '.join(map(str, made))}")
        self.leave()
        self.frame.told(command)
        self.frame.feed.hurry()

    async def _sure(self, command: str) -> bool:
        """Whether the change is wanted, also when somebody else was faster."""
        from tui.screens.ingest_facts import spec_text

        now = await self.frame.feed.box.inspect_ingest(self.source_name)
        name, had, text = self.source_name, self.draft.version, self.editor.text
        theirs = spec_text(now)
        if now.version != had:
            lines = unified(theirs, text, (f"v{now.version}", "yours"))
            question = Ask(
                f"{name} was changed meanwhile: it is at v{now.version}, yours is of v{had}?",
                lines or "both are the same",
                choices=(
                    ("", "leave both: go on editing"),
                    ("theirs", f"take v{now.version}, and drop yours"),
                    ("mine", f"save yours over v{now.version}"),
                ),
            )
            asked = await self.ask(question)
            if asked == "theirs":
                d = self.draft
                self.draft = Draft(d.box, d.pipeline, now.version, theirs, theirs)
                self.editor.become(theirs)
            return asked == "mine"
        lines = unified(theirs, text, (f"v{had}", "yours"))
        if not lines:
            self.frame.notice("unchanged")
            return False
        first = lines.split("\n")
        more = [f"... {len(first) - _MOST} more lines"] if len(first) > _MOST else []
        said = "\n".join([*first[:_MOST], *more])
        return await self.ask(Ask(f"Update {name}?", said, command=command)) == "y"

    def action_external(self) -> None:
        """F4: the user's own editor; its text comes back here."""
        self.load(self._external(), group="external")

    async def _external(self) -> None:
        from tui.external import edited

        self.editor.become(await edited(self.app, self.editor.text, ".yaml"))

    @on(SpecEditor.Left)
    def action_leave(self) -> None:
        """Esc: back; what was typed is kept as a draft."""
        if self._keep():
            again = f"e on {self.source_name}" if self.source_name else "n"
            self.frame.notice(f"draft kept: {again} goes on with it")
        self.leave()

    def _keep(self) -> bool:
        d, text = self.draft, self.editor.text
        if self._done or text == d.base or not text.strip():
            return False
        try:
            self.drafts.put(Draft(d.box, d.pipeline, d.version, d.base, text))
        except OSError as e:
            self.frame.notice(f"the draft could not be kept: {e}", error=True)
            return False
        return True


def _level(name: str) -> str:
    return name if name in ("error", "warn", "info") else "error"

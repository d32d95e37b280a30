"""A spec being written: form to the left, text to the right, what is wrong with it below."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from pachybox.errors import PachyboxError, Unreachable
from tui import glyphs
from tui.bindings import bindings
from tui.drafts import Draft, Drafts
from tui.keymap import FORM, OF, VIEW, Key
from tui.places import PIPELINE, Place
from tui.screens.pipeline_submit import Submitting
from tui.screens.view import View
from tui.shown import span
from tui.spec_fields import Fields, Names, Spot, known
from tui.spec_form import STEPS, Item
from tui.spec_text import NotUnderstood, Spec
from tui.widgets.completions import Completions
from tui.widgets.form import SpecForm
from tui.widgets.form_fields import Row
from tui.widgets.input_preview import PreviewPane
from tui.widgets.picks import Picks
from tui.widgets.spec_editor import Mark, SpecEditor

if TYPE_CHECKING:
    from pachybox.client.spec_values import Problem, SpecCheck

_DEBOUNCE_S = 0.08
_SAVE_S = 0.5
_LONG_LINES = 400  # beyond, a text is read beside the interface


class SpecScreen(Submitting, View):
    """The wizard and the editor. ``draft`` is what is begun with."""

    mode: ClassVar[str] = PIPELINE
    is_form: ClassVar[bool] = True
    AUTO_FOCUS: ClassVar[str | None] = ""
    BINDINGS: ClassVar[list[BindingType]] = bindings(FORM)
    DEFAULT_CSS = """
    SpecScreen .left { width: 1fr; }
    SpecScreen .right { width: 1fr; }
    SpecScreen.-one .right { display: none; }
    SpecScreen.-one.-text .right { display: block; }
    SpecScreen.-one.-text .left { display: none; }
    SpecScreen.-three .right { width: 1.2fr; }
    SpecScreen #text-pane { height: 1fr; }
    SpecScreen #problems-pane { height: auto; max-height: 8; min-height: 3; }
    SpecScreen #problems { height: auto; max-height: 6; border: none; padding: 0; }
    SpecScreen #help { height: 1; padding: 0 1; color: $text-muted; }
    SpecScreen #help.-more { height: auto; max-height: 14; color: $foreground; background: $boost; }
    """

    def __init__(self, draft: Draft, drafts: Drafts) -> None:
        super().__init__()
        self.draft, self.drafts = draft, drafts
        self.completions = Completions()
        self.preview = PreviewPane(id="preview")
        self.form = SpecForm(self._offer, self.completions, self.preview)
        self.editor = SpecEditor(draft.text, id="spec")
        self.fields = Fields()
        self.spec: Spec | None = None
        self.problems: tuple[Problem, ...] = ()
        self.images: tuple[str, ...] = ()
        self.changed_at = self.checked_at = 0.0
        self.kept = True
        self._previewed = ""
        self._field: Names = ("input",)

    def body(self) -> ComposeResult:
        """The two sides."""
        with Horizontal(classes="body"):
            with Vertical(classes="left pane") as left:
                left.border_title = "Form"
                yield self.form
            with Vertical(classes="right"):
                with Vertical(classes="pane", id="text-pane") as text:
                    text.border_title = "Spec"
                    self.editor.completions, self.editor.complete = self.completions, self._keys
                    yield self.editor
                with Vertical(classes="pane", id="problems-pane") as problems:
                    problems.border_title = "Problems"
                    yield OptionList(id="problems", compact=True)
        yield Static(id="help", markup=False)
        yield self.completions

    def crumbs(self) -> Sequence[str]:
        """Pipelines > new."""
        name = self.draft.pipeline
        return ["Pipelines", *([name, "edit"] if name else ["new"])]

    def place(self) -> Place:
        """To come back to what is kept as a draft."""
        return Place(PIPELINE, self.draft.pipeline, pane="edit" if self.draft.pipeline else "new")

    def on_mount(self) -> None:
        """Load what completes fields, and check what one begins with."""
        self._title()
        self._understand()
        self.load(self._load_fields(), group="fields")
        self._watch()
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        if self.draft.pipeline:
            self.form.focus_first()
        else:
            self.form.query_one("#row-name", Row).field.focus()

    def on_unmount(self) -> None:
        """However one leaves: nothing typed is lost."""
        self._save_now()

    # ---- footer and keys

    def has(self, key: Key) -> bool:
        """A form has the keys of forms alone."""
        return key.at != VIEW

    def _footer(self) -> list[tuple[Key, str]]:
        why = self.frame.read_only
        ids = ("submit", "other_side", "next_step", "attempt", "compare", "external", "leave")
        return [(OF[FORM][id], why if OF[FORM][id].changes else "") for id in ids]

    def action_leave(self) -> None:
        """Esc: out of the field, then out of the form."""
        steps = self.query_one("#steps", Picks)
        if self.focused is not None and self.focused is not steps:
            self.remove_class("-text")
            steps.focus()
            return
        self._save_now()
        if self.editor.text != self.draft.base:
            again = f"e on {self.draft.pipeline}" if self.draft.pipeline else "n"
            self.frame.notice(f"draft kept: {again} goes on with it")
        self.leave()

    @on(Row.Left)
    @on(SpecEditor.Left)
    @on(Picks.Left)
    def _left(self) -> None:
        self.action_leave()

    def action_other_side(self) -> None:
        """F6: from the form to the text, and back."""
        shown = self.has_class("-one") and self.has_class("-text")
        if shown or self.editor.has_focus:
            self.remove_class("-text")
            self.form.focus_first()
        else:
            self.add_class("-text")
            self.editor.focus()

    def action_next_step(self) -> None:
        """F3"""
        self.remove_class("-text")
        self.form.go_step(1)

    def action_previous_step(self) -> None:
        """F2"""
        self.remove_class("-text")
        self.form.go_step(-1)

    def action_field_help(self) -> None:
        """F1: all about the field, and back to a line."""
        self.query_one("#help").toggle_class("-more")
        self._show_help()

    def action_next_problem(self) -> None:
        """F8: to the next problem in the text."""
        if not self.problems:
            self.frame.notice("no problems")
            return
        row, column = self.editor.cursor_location
        here = (row + 1, column + 1)
        later = [p for p in self.problems if (p.line, p.column) > here]
        self._go_problem((later or list(self.problems))[0])

    # ---- text and form

    @on(SpecEditor.Changed, "#spec")
    def _text_changed(self) -> None:
        self.changed_at = time.monotonic()
        self.kept = False
        if self.spec is None or self.spec.text != self.editor.text:
            self._understand()
        self._watch()
        self._title()

    def on_spec_form_changed(self, event: SpecForm.Changed) -> None:
        """A field of the form: its change goes into the text."""
        self.spec = event.spec
        self.editor.become(event.spec.text)
        self.load(self._preview(), group="preview")

    def _understand(self) -> None:
        if self.editor.document.line_count > _LONG_LINES:
            self.load(self._understand_long(), group="understand")
        else:
            self._understood(self.editor.text, _read(self.editor.text))

    async def _understand_long(self) -> None:
        await asyncio.sleep(_DEBOUNCE_S)
        text = self.editor.text
        found = await asyncio.to_thread(_read, text)
        self._understood(text, found)

    def _understood(self, text: str, found: Spec | NotUnderstood) -> None:
        if text != self.editor.text:
            return
        if isinstance(found, NotUnderstood):
            self.spec = None
            self.form.wait(f"the text is not understood, the form waits: {found}")
        else:
            self.spec = found
            self.form.show(found)
            self.load(self._preview(), group="preview")

    def _title(self) -> None:
        what = f"v{self.draft.version}, changed" if self.draft.version else "new"
        same = self.draft.version and self.editor.text == self.draft.base
        self.query_one(
            "#text-pane"
        ).border_title = f"Spec (yaml)  {f'v{self.draft.version}' if same else f'{what}, draft'}"

    # ---- what the box says

    def _watch(self) -> None:
        self.load(self._check(), group="check")
        self.load(self._save(), group="draft")

    async def _check(self) -> None:
        await asyncio.sleep(_DEBOUNCE_S if self.changed_at else 0)
        text = self.editor.text
        try:
            found = await self.frame.feed.box.check_spec(text, source=self.source)
        except Unreachable:
            self.query_one("#problems-pane").border_title = "Problems: not checked, the box is away"
            return
        if text == self.editor.text and self.query("#problems"):
            self._show_problems(found)

    def _show_problems(self, found: SpecCheck) -> None:
        self.problems, self.checked_at = found.problems, time.monotonic()
        took = f"  {span(self.checked_at - self.changed_at)}" if self.changed_at else ""
        pane = self.query_one("#problems-pane")
        pane.border_title = f"Problems {len(found.problems)}{took}" if found.problems else (
            f"No problems{took}"
        )  # fmt: skip
        marks = (Mark(p.line - 1, p.column - 1, _level(p.level)) for p in found.problems)
        self.editor.set_marks(marks)
        listed = self.query_one("#problems", OptionList)
        listed.clear_options()
        listed.add_options(Option(self._problem_line(p)) for p in found.problems[:200])
        listed.can_focus = bool(found.problems)
        self._show_review()

    def _problem_line(self, problem: Problem) -> Text:
        mark = glyphs.level(_level(problem.level))
        style = {"bad": "red", "warn": "yellow"}.get(mark.style, "")
        line = Text(f"{mark.sign(self.frame.ascii_only)} ", style)
        line.append(f"{problem.line}:{problem.column} ", "bold")
        line.append(problem.message + (f"; {problem.hint}" if problem.hint else ""))
        return line

    @on(OptionList.OptionSelected, "#problems")
    def _problem_opened(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        problem = self.problems[event.option_index]
        self._go_problem(problem)
        if known(problem.field.split(".")) == "transform.image":
            self.load(self._about_image(problem), group="image")

    def _go_problem(self, problem: Problem) -> None:
        self.add_class("-text")
        self.editor.go(problem.line - 1, problem.column - 1)

    async def _preview(self) -> None:
        spec = self.spec
        whole = spec.get(("input",)) if spec else None
        limits = spec.get(("resource_limits",)) if spec else None
        asked = json.dumps([whole, limits])
        if asked == self._previewed or spec is None:
            return
        if not isinstance(whole, dict):
            self.preview.clear("name a repo: its datums are counted here as you type")
            return
        await asyncio.sleep(_DEBOUNCE_S)
        try:
            draft = {"input": whole} | ({"resource_limits": limits} if limits else {})
            found = await self.frame.feed.box.preview_input(draft)
        except Unreachable:
            self.preview.clear("not counted: the box is away")
            return
        except PachyboxError as e:
            self.preview.clear(str(e))
            return
        self._previewed = asked
        self.preview.show(found)
        self._show_review()

    def changed(self, topics: frozenset[str]) -> None:
        """The box is back, or its repos are others: what was not checked is now."""
        if "reset" in topics or any(t.startswith(("repo:", "pipeline:")) for t in topics):
            self._previewed = ""
            self.load(self._check(), group="check")
            self.load(self._preview(), group="preview")
            if not len(self.fields):
                self.load(self._load_fields(), group="fields")

    def reload(self) -> None:
        """ctrl+r: check and count again."""
        self.changed(frozenset(("reset",)))

    # ---- drafts

    async def _save(self) -> None:
        await asyncio.sleep(_SAVE_S)
        draft = self._now()
        if draft.text != draft.base:
            await asyncio.to_thread(self.drafts.put, draft)
            self.kept = True

    def _save_now(self) -> None:
        draft = self._now()
        if not self.kept and draft.text != draft.base and draft.text.strip():
            try:
                self.drafts.put(draft)
                self.kept = True
            except OSError as e:
                self.frame.notice(f"the draft could not be kept: {e}", error=True)

    def _now(self) -> Draft:
        d = self.draft
        return Draft(d.box, d.pipeline, d.version, d.base, self.editor.text)

    # ---- help and completion

    async def _load_fields(self) -> None:
        box = self.frame.feed.box
        self.fields = Fields(await box.describe_spec())
        self._show_help()
        found = [image.image async for image in box.list_image(all_projects=True)]
        self.images = tuple(dict.fromkeys(found))

    def on_spec_editor_moved(self) -> None:
        """The cursor of the text is elsewhere."""
        if self.editor.has_focus:
            self._field = self.editor.spot.path
            self._show_help()

    def on_spec_form_here(self, event: SpecForm.Here) -> None:
        """The cursor of the form is elsewhere."""
        self._field = tuple(str(step) for step in event.path if isinstance(step, str))
        self._show_help()

    def on_spec_form_stepped(self) -> None:
        """The review is drawn when it is looked at."""
        self._show_review()

    def _show_help(self) -> None:
        panel = self.query_one("#help", Static)
        whole = panel.has_class("-more")
        text = self.fields.more(self._field) if whole else self.fields.line(self._field)
        panel.update(Text(text or "F1 tells of the field", no_wrap=not whole, overflow="ellipsis"))

    def _show_review(self) -> None:
        if not self.query("#review") or self.form.step != STEPS[-1]:
            return
        errors = sum(p.level == "error" for p in self.problems)
        total = self.preview.total
        lines = [
            f"{self.form.inputs.kind}: {', '.join(filter(None, self.form.inputs.names)) or '-'}",
            f"datums now: {total if total is not None else '-'}",
            f"{errors} errors, {len(self.problems) - errors} warnings",
            "",
            f"$ pachybox {'update' if self.draft.version else 'create'} pipeline -f FILE",
            "",
            "ctrl+s shows what will change and asks; ctrl+t tries it on one datum first",
        ]
        self.query_one("#review", Static).update("\n".join(lines))

    def _offer(self, item: Item, text: str) -> Sequence[tuple[str, str]]:
        """What may stand in a field of the form."""
        place = Spot(tuple(str(s) for s in self.form.path_of(item)), False, text, 0)
        return [*self._names(item.names, text), *self.fields.values(place)]

    def _names(self, kind: str, text: str) -> Iterator[tuple[str, str]]:
        summary = self.frame.store.summary
        repos = summary.repos if summary else ()
        if kind == "repo":
            yield from ((r.name, r.description or ", ".join(r.branches)) for r in repos
                        if text.casefold() in r.name.casefold())  # fmt: skip
        elif kind == "branch" and self.spec is not None:
            name = self.spec.get((*self.form.at, "pfs", "repo"))
            for repo in repos:
                if repo.name == name:
                    yield from ((branch, "") for branch in repo.branches if branch.startswith(text))
        elif kind == "glob":
            yield from ((glob, f"{n} datum{'s' * (n != 1)}") for glob, n in self.preview.globs)
        elif kind == "image":
            yield from ((image, "") for image in self.images if text in image)

    def _keys(self, place: Spot, lines: Sequence[str]) -> Iterable[tuple[str, str]]:
        """What may stand at a spot of the text."""
        if place.at_key:
            return list(self.fields.keys(place))
        name = known(place.path).rpartition(".")[2]
        kind = name if name in ("repo", "branch", "glob", "image") else ""
        return [*self._names(kind, place.word), *self.fields.values(place)]


def _read(text: str) -> Spec | NotUnderstood:
    try:
        spec = Spec(text)
        _ = spec.value
        return spec
    except NotUnderstood as e:
        return e


def _level(name: str) -> str:
    return name if name in ("error", "warn", "info") else "error"

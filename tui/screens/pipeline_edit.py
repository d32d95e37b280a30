"""A spec being written: form to the left, text to the right, what is wrong with it below."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from pachybox.errors import PachyboxError, Unreachable
from tui.drafts import Draft, Drafts
from tui.keymap import FORM, OF, VIEW, Key
from tui.places import PIPELINE, Place
from tui.screens.pipeline_submit import Submitting
from tui.screens.spec_view import DEBOUNCE_S
from tui.shown import span
from tui.spec_fields import Names, Spot, known
from tui.spec_form import STEPS, Item
from tui.spec_text import NotUnderstood, Spec
from tui.widgets.form import SpecForm
from tui.widgets.form_fields import Row
from tui.widgets.input_preview import PreviewPane
from tui.widgets.picks import Picks
from tui.widgets.spec_editor import SpecEditor

if TYPE_CHECKING:
    from pachybox.client.spec_values import Problem

_SAVE_S = 0.5
_LONG_LINES = 400  # beyond, a text is read beside the interface


class SpecScreen(Submitting):
    """The wizard and the editor. ``draft`` is what is begun with."""

    mode: ClassVar[str] = PIPELINE
    AUTO_FOCUS: ClassVar[str | None] = ""
    DEFAULT_CSS = """
    SpecScreen .left { width: 1fr; }
    SpecScreen .right { width: 1fr; }
    SpecScreen.-one .right { display: none; }
    SpecScreen.-one.-text .right { display: block; }
    SpecScreen.-one.-text .left { display: none; }
    SpecScreen.-three .right { width: 1.2fr; }
    """

    def __init__(self, draft: Draft, drafts: Drafts) -> None:
        super().__init__(draft, drafts)
        self.preview = PreviewPane(id="preview")
        self.form = SpecForm(self._offer, self.completions, self.preview)
        self.spec: Spec | None = None
        self.images: tuple[str, ...] = ()
        self._previewed = ""
        self._field: Names = ("input",)

    def body(self) -> ComposeResult:
        """The two sides."""
        with Horizontal(classes="body"):
            with Vertical(classes="left pane") as left:
                left.border_title = "Form"
                yield self.form
            with Vertical(classes="right"):
                yield from self.text_side()
        yield from self.below()

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
        self.load(self.load_fields(), group="fields")
        self._watch()
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        if self.draft.pipeline:
            self.form.focus_first()
        else:
            self.form.query_one("#row-name", Row).field.focus()

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
        self.go_back(f"e on {self.draft.pipeline}" if self.draft.pipeline else "n")

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
        await asyncio.sleep(DEBOUNCE_S)
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
        self.load(self.check(), group="check")
        self.load(self._save(), group="draft")

    def show_problems(self, found: tuple[Problem, ...]) -> None:
        """With how long it took since the last key; the review counts them."""
        super().show_problems(found)
        if self.changed_at:
            pane = self.query_one("#problems-pane")
            pane.border_title = f"{pane.border_title}  {span(self.checked_at - self.changed_at)}"
        self._show_review()

    def open_problem(self, problem: Problem) -> None:
        """An image that is not there: to its place, and what can be done."""
        super().open_problem(problem)
        if known(problem.field.split(".")) == "transform.image":
            self.load(self._about_image(problem), group="image")

    def go_problem(self, problem: Problem) -> None:
        """On a narrow screen the text has to be in sight."""
        self.add_class("-text")
        super().go_problem(problem)

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
        await asyncio.sleep(DEBOUNCE_S)
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
            self.load(self.check(), group="check")
            self.load(self._preview(), group="preview")
            if not len(self.fields):
                self.load(self.load_fields(), group="fields")

    def reload(self) -> None:
        """ctrl+r: check and count again."""
        self.changed(frozenset(("reset",)))

    # ---- drafts

    async def _save(self) -> None:
        await asyncio.sleep(_SAVE_S)
        draft = self.typed()
        if draft.text != draft.base:
            await asyncio.to_thread(self.drafts.put, draft)
            self.kept = True

    # ---- help and completion

    @property
    def field(self) -> Names:
        """Of the text or of the form, where the cursor is."""
        return self._field

    async def load_fields(self) -> None:
        """And the images that are there."""
        await super().load_fields()
        found = [image.image async for image in self.frame.feed.box.list_image(all_projects=True)]
        self.images = tuple(dict.fromkeys(found))

    def on_spec_editor_moved(self) -> None:
        """The cursor of the text is elsewhere."""
        if self.editor.has_focus:
            self._field = self.editor.spot.path
            self.show_help()

    def on_spec_form_here(self, event: SpecForm.Here) -> None:
        """The cursor of the form is elsewhere."""
        self._field = tuple(str(step) for step in event.path if isinstance(step, str))
        self.show_help()

    def on_spec_form_stepped(self) -> None:
        """The review is drawn when it is looked at."""
        self._show_review()

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

    def offered(self, place: Spot, lines: Sequence[str]) -> Iterable[tuple[str, str]]:
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

"""The form beside a spec's text: five steps of fields, which change the text where it stands."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.message import Message
from textual.widget import Widget
from textual.widgets import ContentSwitcher, Static

from tui.spec_edits import drop, put, rename
from tui.spec_form import (
    ITEMS,
    KINDS,
    LISTS,
    NAME,
    STEPS,
    Inputs,
    Item,
    fits,
    input_kind,
    inputs,
    resolve,
    shown,
    typed,
)
from tui.spec_text import NotUnderstood, Path, Spec, Value
from tui.widgets.completions import Completions
from tui.widgets.form_fields import Offer, Row
from tui.widgets.picks import Picks

EMPTY: dict[str, Value] = {
    "pfs": {"repo": "", "glob": "/*"},
    "cron": {"name": "tick", "spec": "@daily"},
}
_ADD = "+ add"


class SpecForm(Vertical):
    """Shows a spec by fields. ``Changed`` has the spec with what was typed in one of them."""

    DEFAULT_CSS = """
    SpecForm { height: 1fr; }
    SpecForm #waits { height: auto; color: $warning; display: none; }
    SpecForm.-waits #waits { display: block; }
    SpecForm.-waits ContentSwitcher { opacity: 60%; }
    SpecForm ContentSwitcher { height: 1fr; }
    SpecForm VerticalScroll { height: 1fr; scrollbar-size-vertical: 1; }
    SpecForm .hidden { display: none; }
    SpecForm #preview { height: auto; margin: 1 0 0 0; }
    """

    class Changed(Message):
        """The text with a field changed."""

        def __init__(self, spec: Spec) -> None:
            super().__init__()
            self.spec = spec

    class Here(Message):
        """The cursor is in the field of this path."""

        def __init__(self, path: Path) -> None:
            super().__init__()
            self.path = path

    class Stepped(Message):
        """Another step is shown."""

        def __init__(self, step: str) -> None:
            super().__init__()
            self.step = step

    def __init__(self, offer: Offer, completions: Completions, preview: Widget) -> None:
        super().__init__(id="form")
        self.spec: Spec | None = Spec("")
        self.inputs = Inputs("pfs", (("input",),), ("",))
        self.chosen = 0
        self._offer, self._completions, self._preview = offer, completions, preview

    def compose(self) -> ComposeResult:
        words = [f"{at} {step}" for at, step in enumerate(STEPS, 1)]
        yield Picks(words, between=" > ", id="steps")
        yield Static(id="waits", markup=False)
        yield self._row(NAME)
        with ContentSwitcher(initial="step-input"):
            for step in STEPS:
                with VerticalScroll(id=f"step-{step}", can_focus=False):
                    if step == "input":
                        yield Picks(KINDS, label="kind", radio=True, id="kind")
                        yield Picks(label="inputs", keys=("enter", "delete"), id="inputs")
                    for item in ITEMS:
                        if item.step == step:
                            yield self._row(item)
                        if item.id == "pfs-glob" and step == "input":
                            yield self._preview
                    if step == "review":
                        yield Static(id="review", markup=False)

    def _row(self, item: Item) -> Row:
        return Row(item, self._offer, self._completions)

    # ---- steps

    @property
    def step(self) -> str:
        """The step that is shown."""
        return STEPS[self.query_one("#steps", Picks).at]

    def go_step(self, by: int) -> None:
        """To the next step or the one before, and into its first field."""
        bar = self.query_one("#steps", Picks)
        at = max(0, min(bar.at + by, len(STEPS) - 1))
        bar.show(bar.words, at)
        self._show_step(at)
        self.focus_first()

    def _show_step(self, at: int) -> None:
        self.query_one(ContentSwitcher).current = f"step-{STEPS[at]}"
        self.post_message(self.Stepped(STEPS[at]))

    def focus_first(self) -> None:
        """Into the first field of the step; of the review the bar of steps."""
        for row in self.query(Row):
            if row.item.step == self.step and row.display:
                row.field.focus()
                return
        self.query_one("#steps", Picks).focus()

    @on(Picks.Picked, "#steps")
    def _step_picked(self, event: Picks.Picked) -> None:
        event.stop()
        self._show_step(event.at)

    def on_row_done(self, event: Row.Done) -> None:
        """Enter: the next field, after the last one the next step."""
        event.stop()
        rows = [r for r in self.query(Row) if r.item.step == event.row.item.step and r.display]
        if event.row.item is NAME:
            self.focus_first()
        elif event.row is not rows[-1]:
            rows[rows.index(event.row) + 1].field.focus()
        else:
            self.go_step(1)

    def on_row_here(self, event: Row.Here) -> None:
        """The help that is shown is of this field."""
        event.stop()
        self.post_message(self.Here(self.path_of(event.row.item)))

    def path_of(self, item: Item) -> Path:
        """Where a field is in the text."""
        return resolve(item, self.at)

    @property
    def at(self) -> Path:
        """The input that is shown."""
        places = self.inputs.items
        return places[min(self.chosen, len(places) - 1)] if places else ("input",)

    # ---- the text, shown

    def wait(self, why: str) -> None:
        """The text is not understood: nothing can be typed here until it is."""
        self.spec = None
        self.query_one("#waits", Static).update(why)
        self.add_class("-waits")
        for row in self.query(Row):
            row.disabled = True

    def show(self, spec: Spec) -> None:
        """Fill the fields with what the text holds."""
        self.spec = spec
        self.remove_class("-waits")
        self.inputs = inputs(spec)
        self.chosen = min(self.chosen, max(0, len(self.inputs.items) - 1))
        self._show_inputs(spec)
        kind = input_kind(spec.get(self.at))
        self._preview.set_class(self.inputs.kind == "cron", "hidden")
        for row in self.query(Row):
            item = row.item
            apart = bool(item.kinds) and kind not in item.kinds
            apart = apart or item.within not in ("", self.inputs.kind)
            row.set_class(apart, "hidden")
            value = spec.get(self.path_of(item))
            fitting = fits(item, value)
            row.disabled = not fitting
            row.remove_class("-wrong")
            if fitting and self._unlike(row, value):
                row.show(shown(item, value))
            elif not fitting:
                row.show("")

    @staticmethod
    def _unlike(row: Row, value: Value) -> bool:
        """Whether a field shows another value; one that means the same stays as it was typed."""
        try:
            return bool((typed(row.item, row.text) or None) != (value or None))
        except ValueError:
            return not row.field.has_focus

    def _show_inputs(self, spec: Spec) -> None:
        self.query_one("#kind", Picks).show(KINDS, KINDS.index(self.inputs.kind))
        bar = self.query_one("#inputs", Picks)
        bar.set_class(self.inputs.kind not in LISTS, "hidden")
        words = [f"{at} {name}" for at, name in enumerate(self.inputs.names, 1)]
        bar.show([*words, _ADD], self.chosen)

    # ---- changed by the form

    def on_row_typed(self, event: Row.Typed) -> None:
        """Into the text with it."""
        event.stop()
        row, item = event.row, event.row.item
        if self.spec is None:
            return
        path = self.path_of(item)
        try:
            value = typed(item, event.text)
            if value is None and item.keep:
                value = [] if item.type == "words" else ""
            if value is not None:
                spec = put(self.spec, path, value)
            else:
                keep = len(self.at) + 1 if item.path[0] == "@" else 0
                spec = drop(self.spec, path, keep)
        except (ValueError, NotUnderstood) as e:
            row.add_class("-wrong")
            self.query_one("#waits", Static).update(str(e))
            self.add_class("-waits")
            return
        row.remove_class("-wrong")
        self._changed(spec)

    def _changed(self, spec: Spec) -> None:
        self.show(spec)
        self.post_message(self.Changed(spec))

    @on(Picks.Picked, "#kind")
    def _kind_picked(self, event: Picks.Picked) -> None:
        event.stop()
        if self.spec is None:
            return
        old, new = self.inputs.kind, KINDS[event.at]
        try:
            self._changed(_of_kind(self.spec, old, new, self.at))
        except NotUnderstood as e:
            self.wait(str(e))

    @on(Picks.Picked, "#inputs")
    def _input_picked(self, event: Picks.Picked) -> None:
        event.stop()
        last = len(event.picks.words) - 1
        if self.spec is None:
            return
        if event.key == "delete" and event.at < last and last > 1:
            self.chosen = max(0, event.at - 1)
            self._changed(drop(self.spec, self.inputs.items[event.at], keep=2))
        elif event.at == last and event.key == "enter":
            self.chosen = last
            path = ("input", self.inputs.kind, last)
            self._changed(put(self.spec, path, {"pfs": EMPTY["pfs"]}))
            self.focus_first()
        elif event.at < last:
            self.chosen = event.at
            self.show(self.spec)
            if event.key == "enter":
                self.focus_first()


def _of_kind(spec: Spec, old: str, new: str, at: Path) -> Spec:
    """The spec with an input of another kind; one input becomes the first of a list."""
    whole = spec.get(("input",))
    if not isinstance(whole, dict) or old not in whole:
        single = {new: [{"pfs": EMPTY["pfs"]}]} if new in LISTS else {new: EMPTY[new]}
        return put(spec, ("input",), single)
    if old in LISTS and new in LISTS:
        return rename(spec, ("input", old), new)
    if new in LISTS:
        return put(spec, ("input",), {new: [{old: whole[old]}, {"pfs": EMPTY["pfs"]}]})
    chosen = spec.get(at) if old in LISTS else {}
    found = chosen.get(new) if isinstance(chosen, dict) else None
    return put(spec, ("input",), {new: found or EMPTY[new]})

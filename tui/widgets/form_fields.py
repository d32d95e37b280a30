"""The rows of a form: a label and a field, which tells of what is typed by one message."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.geometry import Offset
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Checkbox, Input, Label, Select, TextArea

from tui.spec_form import CHOICE, FLAG, LINES, MAP, Item
from tui.widgets.completions import COMPLETE_KEYS, Completions

Offer = Callable[[Item, str], Sequence[tuple[str, str]]]


class Row(Horizontal):
    """One field of the form, with its value as text."""

    DEFAULT_CSS = """
    Row { height: auto; min-height: 1; }
    Row > Label { width: 14; height: 1; color: $text-muted; padding: 0 1 0 0; }
    Row.-here > Label { color: $accent; text-style: bold; }
    Row.-wrong > Label { color: $text-error; }
    Row > Input, Row > Select, Row > Checkbox { width: 1fr; }
    Row > Checkbox { border: none; padding: 0; background: transparent; }
    Row > TextArea {
        height: auto; min-height: 2; max-height: 5; width: 1fr; border: none; padding: 0;
    }
    Row > TextArea:focus { border: none; }
    """

    class Typed(Message):
        """The user gave the field another text."""

        def __init__(self, row: Row, text: str) -> None:
            super().__init__()
            self.row, self.text = row, text

    class Done(Message):
        """Enter in the field: the next one, please."""

        def __init__(self, row: Row) -> None:
            super().__init__()
            self.row = row

    class Left(Message):
        """Esc: out of the field."""

    class Here(Message):
        """The field has the focus."""

        def __init__(self, row: Row) -> None:
            super().__init__()
            self.row = row

    def __init__(self, item: Item, offer: Offer, completions: Completions) -> None:
        super().__init__(id=f"row-{item.id}")
        self.item = item
        self._offer, self._completions = offer, completions
        self._set = ""
        self.field: Widget = self._made()

    def _made(self) -> Widget:
        item = self.item
        if item.type == FLAG:
            return _Flag("", compact=True, id=f"field-{item.id}")
        if item.type == CHOICE:
            options = [(word, word) for word in item.choices]
            return _Choice(options, prompt="default", compact=True, id=f"field-{item.id}")
        if item.type in (LINES, MAP):
            return _Lines(placeholder=item.hint, id=f"field-{item.id}")
        return _Line(placeholder=item.hint, compact=True, id=f"field-{item.id}")

    def compose(self) -> ComposeResult:
        yield Label(self.item.label, markup=False)
        yield self.field

    # ---- its value

    @property
    def text(self) -> str:
        """What stands in it."""
        field = self.field
        if isinstance(field, Checkbox):
            return "x" if field.value else ""
        if isinstance(field, Select):
            return "" if field.value is Select.NULL else str(field.value)
        return field.text if isinstance(field, TextArea) else str(getattr(field, "value", ""))

    def show(self, text: str) -> None:
        """Put a text there, without telling of it."""
        if text == self.text:
            self._set = text
            return
        self._set = text
        field = self.field
        if isinstance(field, Checkbox):
            field.value = bool(text)
        elif isinstance(field, Select):
            field.value = text if text in self.item.choices else Select.NULL
        elif isinstance(field, TextArea):
            field.load_text(text)
        elif isinstance(field, Input):
            field.value = text

    def _changed(self) -> None:
        text = self.text
        if text != self._set:
            self._set = text
            self.post_message(self.Typed(self, text))
            typed = self.item.names in ("repo", "branch", "image") and self.field.has_focus
            if self._completions.is_open or typed:
                self.offer(typing=True)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Typed."""
        event.stop()
        self._changed()

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Typed."""
        event.stop()
        self._changed()

    def on_checkbox_changed(self, event: Checkbox.Changed) -> None:
        """Switched."""
        event.stop()
        self._changed()

    def on_select_changed(self, event: Select.Changed) -> None:
        """Chosen."""
        event.stop()
        self._changed()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter."""
        event.stop()
        self.post_message(self.Done(self))

    def on_descendant_focus(self) -> None:
        """The cursor is here; a field of names that is empty offers them."""
        self.add_class("-here")
        self.post_message(self.Here(self))
        if self.item.names == "repo" and not self.text:
            self.call_after_refresh(self._offer_here)

    def on_descendant_blur(self) -> None:
        """The cursor is elsewhere."""
        self.remove_class("-here")
        self._completions.close()

    # ---- what may stand in it

    def offer(self, *, typing: bool = False) -> None:
        """A list of what may stand here, if anything is known. While ``typing`` what was typed
        stays, unless it is the beginning of a name."""
        text = self.text
        found = list(self._offer(self.item, text))
        items = [one for one in found if one[0] != text]
        whole = len(items) < len(found) or self.item.names not in ("repo", "branch")
        region = self.field.region
        at = Offset(region.x, region.y)
        self._completions.open(items, at, self._accept, pick=not (typing and whole))

    def _offer_here(self) -> None:
        if self.field.has_focus:
            self.offer()

    def _accept(self, text: str) -> None:
        field = self.field
        if isinstance(field, Input):
            field.value = text
            field.cursor_position = len(text)
            self._set = text
            self.post_message(self.Typed(self, text))
            self.post_message(self.Done(self))

    def take_key(self, event: events.Key) -> bool:
        """Whether a key of the field is for the list, the form, or the field's way out."""
        if self._completions.take_key(event.key):
            pass
        elif event.key in COMPLETE_KEYS:
            self.offer()
        elif event.key == "escape":
            self.post_message(self.Left())
        else:
            return False
        event.stop()
        event.prevent_default()
        return True


class _Line(Input):
    async def _on_key(self, event: events.Key) -> None:
        row = self.parent
        if isinstance(row, Row) and row.take_key(event):
            return
        await super()._on_key(event)


class _Lines(TextArea):
    def __init__(self, *, placeholder: str, id: str) -> None:
        super().__init__(placeholder=placeholder, id=id, tab_behavior="focus", compact=True)
        self.cursor_blink = False

    async def _on_key(self, event: events.Key) -> None:
        row = self.parent
        if isinstance(row, Row) and row.take_key(event):
            return
        await super()._on_key(event)


class _Flag(Checkbox):
    def render(self) -> Content:
        """On and off by sign, not by colour alone."""
        return Content("[x]" if self.value else "[ ]")

    def on_key(self, event: events.Key) -> None:
        row = self.parent
        if isinstance(row, Row):
            row.take_key(event)


class _Choice(Select[str]):
    def on_key(self, event: events.Key) -> None:
        row = self.parent
        if isinstance(row, Row) and not self.expanded:
            row.take_key(event)

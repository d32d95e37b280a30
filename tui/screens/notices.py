"""``!``: what was said in passing, newest first; Enter copies the whole story."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import OptionList, Static

from tui.notices import Notice
from tui.widgets.picker import Hit, Picker


class Said(Picker):
    """Comes back with the text to copy."""

    title_text = "Notices"
    hint = "find; Enter copies"
    DEFAULT_CSS = """
    Said .detail { max-height: 14; overflow-y: auto; border-top: solid $panel; padding: 0 1;
        color: $text-muted; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = set()

    def __init__(self, notices: Sequence[Notice]) -> None:
        super().__init__()
        self._notices = notices

    def hits(self) -> Sequence[Hit]:
        """One a notice."""
        return [
            Hit(
                str(number),
                f"{n.time.astimezone():%H:%M:%S} {'error' if n.error else ''}",
                n.text.splitlines()[0] if n.text else "",
            )
            for number, n in enumerate(self._notices)
        ]

    def compose(self) -> ComposeResult:
        yield from super().compose()

    def on_mount(self) -> None:
        """The detail of the notice under the cursor below the list."""
        self.query_one("Vertical").mount(Static(classes="detail", markup=False))
        super().on_mount()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Another notice."""
        number = event.option_index
        if number < len(self._hits):
            notice = self._notices[int(self._hits[number].id)]
            for detail in self.query(".detail").results(Static):
                detail.update(Content(notice.whole))

    def _pick(self, number: int | None) -> None:
        if number is not None and number < len(self._hits):
            self.dismiss(self._notices[int(self._hits[number].id)].whole)

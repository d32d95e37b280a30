"""What all views share: header and footer, verbs by key, loading, failing, filtering.

A view has panes. A pane whose class says ``pane_kind = "text"`` takes text keys only; in all
others a key of the table is a verb of the view: its method ``do_<id>``, which may be a
coroutine. A view that has no such method does not have the verb.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widget import Widget
from textual.worker import Worker

from pachybox.errors import PachyboxError, Unreachable
from tui.frame import Frame
from tui.keymap import OF, VIEW, Key
from tui.places import Place
from tui.widgets.chrome import Footer, Header
from tui.widgets.confirm import Ask
from tui.widgets.filter_bar import FilterBar


def bindings(at: str, action: Callable[[Key], str] = lambda key: key.id) -> list[BindingType]:
    """The table's keys of one place, as Textual wants them; ``keys.toml`` changes them by name."""
    return [
        Binding(key.keys, action(key), key.help, show=False, id=key.name) for key in OF[at].values()
    ]


class _Begun:
    """A coroutine that may be replaced by a newer one before its first line ran, and then ends."""

    def __init__(self, coroutine: Coroutine[Any, Any, object]) -> None:
        self.coroutine = coroutine

    def __del__(self) -> None:
        self.coroutine.close()


class View(Screen[None]):
    """A screen of one mode. Subclasses compose their panes in ``body``."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(VIEW, lambda key: f"verb('{key.id}')")
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - as Screen declares it
        (0, "-one"),
        (100, "-two"),
        (160, "-three"),
    ]
    DEFAULT_CSS = """
    View { layers: base bar; }
    View > .body { height: 1fr; }
    View .pane { border: round $panel-lighten-2; }
    View .pane:focus-within, View .pane:focus { border: round $accent; }
    View.-lost .body { opacity: 60%; }
    """

    mode: ClassVar[str] = ""
    footer_ids: ClassVar[tuple[str, ...]] = ("view.logs", "view.new", "view.filter")

    # What subclasses say

    def body(self) -> ComposeResult:
        """The panes, between header and footer."""
        yield from ()

    def crumbs(self) -> Sequence[str]:
        """Where one is, from the mode on."""
        return [self.mode.capitalize()]

    def place(self) -> Place:
        """Where one is, to come back to."""
        return Place(self.mode)

    def show(self, place: Place) -> None:
        """Show ``place``, which is of this view's mode. Called on a mode's first view."""

    def why_not(self, key: Key) -> str:
        """Why a verb cannot be done on what is selected; "" when it can."""
        return ""

    def changed(self, topics: frozenset[str]) -> None:
        """The box told of changes (see ``tui.store``); at most ten times a second."""

    def reload(self) -> None:
        """Load again all that is shown."""

    def filter_of(self) -> tuple[str, Callable[[str], None]] | None:
        """The focused list's filter and how to set it; None where nothing can be filtered."""
        return None

    # What they use

    @property
    def frame(self) -> Frame:
        """The app around this view."""
        return cast(Frame, self.app)

    def load(self, work: Coroutine[Any, Any, object], group: str = "load") -> Worker[object]:
        """Run ``work`` beside the interface; a newer one of the same group replaces it.

        An error becomes a notice: a lost box is told by the header alone.
        """
        return self.run_worker(
            partial(self._guarded, _Begun(work)), group=group, exclusive=True, exit_on_error=False
        )

    async def _guarded(self, work: _Begun) -> object:
        try:
            return await work.coroutine
        except Unreachable:
            return None
        except PachyboxError as e:
            self.frame.notice(str(e), error=True, detail=str(e))
        except Exception as e:
            detail = traceback.format_exc()
            self.log.error(detail)
            self.frame.notice(f"internal error: {e!r}", error=True, detail=detail)
        return None

    async def ask(self, question: Ask) -> str | None:
        """Confirm or prompt; None when it was left."""
        return await self.frame.ask(question)

    # Verbs

    def has(self, key: Key) -> bool:
        """Whether this view has the verb at all."""
        return key.at != VIEW or hasattr(self, f"do_{key.id}")

    def refused(self, key: Key) -> str:
        """Why the verb does nothing now; "" when it acts."""
        if key.changes and (why := self.frame.read_only):
            return why
        return self.why_not(key)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A text pane keeps the verbs of lists from acting."""
        if action != "verb":
            return True
        key = OF[VIEW][str(parameters[0])]
        return self.has(key) and not (key.list_only and self.in_text)

    @property
    def in_text(self) -> bool:
        """Whether the focus is in a text pane."""
        node: Any = self.focused
        while isinstance(node, Widget):
            if getattr(node, "pane_kind", "") == "text":
                return True
            node = node.parent
        return False

    def action_verb(self, id: str) -> None:
        """Do what the key says, beside the interface, or say why not."""
        key = OF[VIEW][id]
        if why := self.refused(key):
            self.frame.notice(f"{key.shown}: {why}")
            return
        answer = getattr(self, f"do_{id}")()
        if inspect.iscoroutine(answer):
            self.load(answer, group=f"verb {id}")

    def do_filter(self) -> None:
        """Open the bar in which the focused list is filtered as one types."""
        found = self.filter_of()
        if found is None:
            self.frame.notice("nothing to filter in this pane")
            return
        self.query_one(FilterBar).open(*found)

    async def action_press(self, name: str) -> None:
        """A click on the footer: as if the key had been pressed."""
        at, _, id = name.partition(".")
        key = OF[at][id]
        self.app.simulate_key(key.keys.split(",")[0])

    # The frame around the panes

    def compose(self) -> ComposeResult:
        yield Header(self.crumbs, self.frame.store, "box")
        yield from self.body()
        yield FilterBar()
        yield Footer(self._footer)

    def _footer(self) -> list[tuple[Key, str]]:
        ids = [*self.footer_ids, "app.prompt", "app.help"]
        if self.in_text:
            ids = ["text.find", "text.follow", "text.only", "app.back", "app.help"]
        keys = [OF[name.split(".")[0]][name.split(".")[1]] for name in ids]
        return [(key, self.refused(key)) for key in keys if self.has(key)][:5]

    def renew(self, command: str | None = None) -> None:
        """Draw header and footer again."""
        if self.is_mounted:
            self.query_one(Header).renew()
            self.query_one(Footer).renew(command)

    def on_descendant_focus(self) -> None:
        """Another pane has other keys."""
        self.renew()

    def on_screen_resume(self) -> None:
        """Back in front: what changed meanwhile is not drawn yet."""
        self.renew()
        self.reload()

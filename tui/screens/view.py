"""What all views share: header and footer, verbs by key, loading, failing, filtering.

A view has panes. A pane whose class says ``pane_kind = "text"`` takes text keys only; in all
others a key of the table is a verb of the view: its method ``do_<id>``, which may be a
coroutine. A view that has no such method does not have the verb.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar, cast

from textual.app import ComposeResult, SuspendNotSupported
from textual.binding import BindingType
from textual.screen import Screen
from textual.worker import Worker

from pachybox.errors import PachyboxError, Unreachable
from tui.bindings import bindings
from tui.frame import Frame
from tui.guard import GuardedScreen, is_late
from tui.held import Held, work_beside
from tui.keymap import OF, VIEW, Key, types
from tui.places import JOB, PIPELINE, REPO, Place
from tui.store import LOST
from tui.widgets.chrome import Banner, Footer, Header
from tui.widgets.confirm import Ask
from tui.widgets.filter_bar import FilterBar
from tui.widgets.key_panel import KeyPanel
from tui.widgets.panes import is_text
from tui.widgets.table import VirtualTable

_READING = ("text.find", "text.follow", "text.only", "app.back")
"""The footer of a text pane, as far as the pane has them."""


class View(GuardedScreen, Screen[None], inherit_bindings=False):
    """A screen of one mode. Subclasses compose their panes in ``body``."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(VIEW, action="verb('{}')")
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
    View.-lost > .body { opacity: 60%; }
    View.-never > .body { display: none; }
    View.-lost > Banner { display: block; }
    View.-never > Banner { display: block; height: 1fr; padding: 2 4; background: $background;
        color: $foreground; }
    View.-flip > .body { layout: vertical; }
    """

    mode: ClassVar[str] = ""
    is_form: ClassVar[bool] = False
    """A form takes the letters itself: of the keys everywhere only ctrl and F keys act."""
    footer_ids: ClassVar[tuple[str, ...]] = ("view.logs", "view.new", "view.filter")

    def __init__(self) -> None:
        super().__init__()
        # perf: a class that comes with the first size has all styles made twice
        width = self.app.size.width
        self.add_class(max(one for one in self.HORIZONTAL_BREAKPOINTS if one[0] <= width)[1])

    # What subclasses say

    def body(self) -> ComposeResult:
        """The panes, between header and footer."""
        yield from ()

    def crumbs(self) -> Sequence[str]:
        """Where one is, from the mode on."""
        plural = "s" if self.mode in (REPO, PIPELINE, JOB) else ""
        return [self.mode.capitalize() + plural]

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
        table = self.list_in_front()
        return (table.request.filter, table.sift) if table is not None else None

    def list_in_front(self) -> VirtualTable | None:
        """The list with the focus."""
        return self.focused if isinstance(self.focused, VirtualTable) else None

    def flip(self) -> None:
        """Panes below each other instead of beside, and back; remembered for the mode."""
        flipped = not self.has_class("-flip")
        self.set_class(flipped, "-flip")
        self.frame.remember(f"flip {self.mode}", "1" if flipped else "")

    def leave(self) -> None:
        """To the view below; nothing where this one is not in front: left before, or with a box
        over it, it would take another along."""
        if self.in_front and len(self.app.screen_stack) > 1:
            self.app.pop_screen()

    def subject(self) -> dict[str, str]:
        """What a line of the user's own is about: ``repo``, ``ref``, ``path``, ``job``,
        ``pipeline``, ``ingest`` and ``name``, as far as there are."""
        place = self.place()
        named = {"name": place.name, "ref": place.ref, "path": place.path, self.mode: place.name}
        if self.mode == "job":
            named |= {
                "job": f"{place.name}@{place.ref}" if place.ref else "",
                "pipeline": place.name,
            }
        return {key: value for key, value in named.items() if value}

    def named(self) -> list[tuple[str, str]]:
        """The names of what is selected, the likeliest to be copied first: what each is, and the
        text."""
        place = self.place()
        return [("name", str(place))] if place.name else []

    def copies(self) -> list[tuple[str, str]]:
        """What ``y`` offers: the names, the row, the command line that was shown last."""
        table, said = self.list_in_front(), self.query_one(Footer).command
        row = table.cursor_row if table is not None else None
        cells = "\t".join(str(cell).strip() for cell in row.cells).strip() if row else ""
        line = f"pachybox {said}" if said else ""
        found = [*self.named(), ("row", cells), ("command line", line)]
        return [(what, text) for what, text in found if text]

    @property
    def marks(self) -> frozenset[str]:
        """What is marked in the focused list."""
        table = self.list_in_front()
        return table.marked if table is not None else frozenset()

    # What they use

    @property
    def frame(self) -> Frame:
        """The app around this view."""
        return cast(Frame, self.app)

    def load(self, work: Coroutine[Any, Any, object], group: str = "load") -> Worker[object]:
        """Run ``work`` beside the interface; a newer one of the same group replaces it.

        An error becomes a notice: a lost box is told by the header alone.
        """
        return work_beside(self, self._guarded(Held(work)), group=group, exclusive=True)

    async def _guarded(self, work: Held[object]) -> object:
        try:
            return await work
        except Unreachable:
            return None
        except PachyboxError as e:
            self.frame.notice(str(e), error=True, detail=str(e))
        except Exception as e:
            if not is_late(self, e):
                self.frame.defect(e)
        return None

    async def ask(self, question: Ask) -> str | None:
        """Confirm or prompt; None when it was left."""
        return await self.frame.ask(question)

    # Verbs

    def has(self, key: Key) -> bool:
        """Whether this view has the verb at all; that of all marked rows only lists that mark."""
        if key.at == VIEW and key.id == "bulk" and not getattr(self.focused, "can_mark", False):
            return False
        return key.at != VIEW or hasattr(self, f"do_{key.id}")

    def acting(self) -> frozenset[str]:
        """The names of the verbs whose keys do something, or say why not, where the focus is."""
        return frozenset(
            active.binding.id for active in self.active_bindings.values() if active.binding.id
        )

    def refused(self, key: Key) -> str:
        """Why the verb does nothing now; "" when it acts."""
        if key.changes and (why := self.frame.read_only):
            return why
        if key.name == "view.bulk" and not self.marks:
            return "nothing is marked: Space marks, a marks all shown"
        return self.why_not(key)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A text pane keeps the verbs of lists from acting."""
        if action != "verb":
            return True
        key = OF[VIEW][str(parameters[0])]
        if self.is_form and types(key):
            return False
        return self.has(key) and not (key.list_only and self.in_text)

    @property
    def in_text(self) -> bool:
        """Whether the focus is in a text pane."""
        return is_text(self.focused)

    def action_verb(self, id: str) -> None:
        """Do what the key says, beside the interface, or say why not."""
        if not self.is_mounted:
            return  # it has no panes yet
        key = self.frame.key(f"{VIEW}.{id}")
        if why := self.refused(key):
            self.frame.notice(f"{key.shown}: {why}")
            return
        answer = getattr(self, f"do_{id}")()
        if inspect.iscoroutine(answer):
            self.load(answer, group=f"verb {id}")

    async def do_copy(self) -> None:
        """Copy what is chosen of ``copies``; without a question where there is one."""
        found = self.copies()
        chosen: str | None = "0"
        if len(found) > 1:
            choices = tuple((str(n), f"{what}: {text}") for n, (what, text) in enumerate(found))
            chosen = await self.ask(Ask("Copy what?", choices=choices))
        if found and chosen is not None:
            what, text = found[int(chosen)]
            await self.frame.copy(text, text if len(text) < 60 else f"the {what}")

    def do_shell(self) -> None:
        """The user's shell, in which ``pachybox`` is the same box; its end leads back."""
        from tui.shell import program

        environment = self.frame.shell_environment()
        try:
            with self.app.suspend():
                program([environment.get("SHELL") or "/bin/sh"], environment)
        except SuspendNotSupported:
            self.frame.notice("there is no shell here: the terminal is not a terminal's")
        self.frame.feed.hurry()

    def do_filter(self) -> None:
        """Open the bar in which the focused list is filtered as one types."""
        found = self.filter_of()
        if found is None:
            self.frame.notice("nothing to filter in this pane")
            return
        self.query_one(FilterBar).open(*found)

    async def action_press(self, name: str) -> None:
        """A click on the footer: as if the key had been pressed."""
        self.app.simulate_key(self.frame.key(name).keys.split(",")[0])

    # The frame around the panes

    def compose(self) -> ComposeResult:
        frame = self.frame
        yield Header(self.crumbs, frame.store, self._note, ascii_only=frame.ascii_only)
        yield Banner(frame.store, lambda: frame.feed.where)
        yield from self.body()
        yield FilterBar()
        yield Footer(self._footer)

    def on_mount(self) -> None:
        """As it was left, and as the box is now."""
        self.set_class(bool(self.frame.remembered(f"flip {self.mode}")), "-flip")
        self._look()

    def _note(self) -> str:
        frame = self.frame
        notes = ("frozen" if frame.frozen else "", "read-only" if frame.read_only else "")
        return " ".join(filter(None, notes))

    def _footer(self) -> list[tuple[Key, str]]:
        ids = _READING if self.in_text else self.footer_ids[:5]
        acting = self.acting()
        keys = [self.frame.key(name) for name in (*ids, "app.prompt", "app.help")]
        return [(key, self.refused(key)) for key in keys if key.name in acting]

    def renew(self, command: str | None = None) -> None:
        """Draw header and footer again."""
        if self.is_mounted:
            self.query_one(Header).renew()
            self.query_one(Banner).renew()
            self.query_one(Footer).renew(command)

    def linked(self) -> None:
        """The way to the box is another, or the box said how it is."""
        was = self.has_class("-lost"), self.has_class("-never")
        self._look()
        if was[1] and not self.has_class("-never") and self.focused is None:
            self.focus_next()
        self.renew()

    def _look(self) -> None:
        store = self.frame.store
        lost = store.link.state == LOST
        self.set_class(lost and store.summary is not None, "-lost")
        self.set_class(bool(store.link.why) and store.summary is None, "-never")

    def toggle_keys(self, keys: Sequence[Key]) -> None:
        """Show the keys beside the panes, or no more."""
        shown = self.query(KeyPanel)
        if shown:
            shown.remove()
        else:
            self.mount(KeyPanel(keys), before=self.query_one(FilterBar))

    def on_descendant_focus(self) -> None:
        """Another pane has other keys."""
        self.renew()

    def on_screen_resume(self) -> None:
        """Back in front: what changed meanwhile is not drawn yet."""
        self._look()
        self.renew()
        self.reload()

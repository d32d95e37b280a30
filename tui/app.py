"""The terminal: six modes over one box, and what holds in all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import App
from textual.binding import BindingType
from textual.screen import Screen
from textual.timer import Timer

from tui.choices import Choices
from tui.feed import Feed
from tui.keymap import APP
from tui.places import HOME, INGEST, JOB, LINEAGE, PIPELINE, REPO, Place
from tui.screens.view import View, bindings
from tui.store import LINK, LIVE, SUMMARY, Store
from tui.widgets.confirm import Ask, Question

if TYPE_CHECKING:
    from pachybox.client import AsyncClient

_TICK_S = 0.1
_VIEWS_KEPT = 50
_CLIPBOARD = 74_000  # bytes that terminals take by OSC 52 (k9s and tmux cap there too)


def _home() -> Screen[None]:
    from tui.screens.home import Home

    return Home()


def _repo() -> Screen[None]:
    from tui.screens.repo import Repos

    return Repos()


def _pipeline() -> Screen[None]:
    from tui.screens.pipeline import Pipelines

    return Pipelines()


def _job() -> Screen[None]:
    from tui.screens.job import Jobs

    return Jobs()


def _ingest() -> Screen[None]:
    from tui.screens.ingest import Ingests

    return Ingests()


def _lineage() -> Screen[None]:
    from tui.screens.lineage import Lineage

    return Lineage()


class PachyApp(App[int]):
    """``connect`` makes the client of the box to open; ``start`` is the place shown first."""

    TITLE = "pachybox"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = bindings(APP)
    MODES = {  # noqa: RUF012 - as App declares it
        HOME: _home,
        REPO: _repo,
        PIPELINE: _pipeline,
        JOB: _job,
        INGEST: _ingest,
        LINEAGE: _lineage,
    }

    def __init__(
        self,
        connect: Callable[[], AsyncClient],
        *,
        start: Place = Place(HOME),  # noqa: B008 - frozen
        read_only: bool = False,
        ascii_only: bool = False,
        choices: Choices | None = None,
    ) -> None:
        super().__init__()
        self.store = Store()
        self.feed = Feed(self.store, connect)
        self.ascii_only = ascii_only
        self.animation_level = "none"
        self._start = start
        self._read_only = read_only
        self._choices = choices or Choices()
        self._trail: list[Place] = []
        self._frozen = False
        self._tick: Timer | None = None

    # Life

    def on_mount(self) -> None:
        """Open the first view, then connect beside it."""
        self.visit(self._start)
        self._tick = self.set_interval(_TICK_S, self._draw)
        self._follow()

    @work(exclusive=True, group="feed", exit_on_error=False)
    async def _follow(self) -> None:
        await self.feed.run()

    def _draw(self) -> None:
        """What changed since the last tenth of a second, to the view in front."""
        view = self.view
        if view is None or self._frozen:
            return
        topics = self.store.take()
        if not topics:
            return
        if topics & {LINK, SUMMARY}:
            view.set_class(self.store.link.state != LIVE, "-lost")
            view.renew()
        view.changed(topics)

    @property
    def view(self) -> View | None:
        """The view in front, also while a box is over it."""
        for screen in reversed(self.screen_stack):
            if isinstance(screen, View):
                return screen
        return None

    # What views ask (tui.frame)

    @property
    def read_only(self) -> str:
        """Why nothing may be changed; "" when it may."""
        if self._read_only:
            return "read-only: started with --read-only"
        return "read-only: the box says so" if self.store.read_only else ""

    def visit(self, place: Place) -> None:
        """Go to a place; ``-`` leads back."""
        view = self.view
        if view is not None and view.place() != place:
            self._trail = [*self._trail[-_VIEWS_KEPT:], view.place()]
        self._go(place)

    @work(exclusive=True, group="visit", exit_on_error=False)
    async def _go(self, place: Place) -> None:
        if self.current_mode != place.mode:
            await self.switch_mode(place.mode)
        while len(self.screen_stack) > 1 and place.name:
            await self.pop_screen()
        if isinstance(view := self.screen, View) and place.name:
            view.show(place)

    def told(self, command: str) -> None:
        """Show the command line that does the same."""
        if (view := self.view) is not None:
            view.renew(command)

    def notice(self, text: str, *, error: bool = False, detail: str = "") -> None:
        """Say something in passing."""
        self.notify(text, severity="error" if error else "information", timeout=8, markup=False)

    async def ask(self, question: Ask) -> str | None:
        """Confirm or prompt; None when it was left."""
        return await self.push_screen_wait(Question(question))

    async def copy(self, text: str, what: str = "") -> None:
        """To the clipboard by the terminal's own way, or to a file when that is too small."""
        if len(text.encode()) <= _CLIPBOARD:
            self.copy_to_clipboard(text)
            self.notice(f"copied {what or text}"[:200])
            return
        path = await asyncio.to_thread(_to_file, text)
        self.notice(f"too long for the clipboard: it is in {path}")

    def remembered(self, key: str, default: str = "") -> str:
        """What the user chose before."""
        return self._choices.get(key, default)

    def remember(self, key: str, value: str) -> None:
        """Keep a choice."""
        self._choices.put(key, value)

    # Keys that hold everywhere

    def action_mode_home(self) -> None:
        """1"""
        self.visit(Place(HOME))

    def action_mode_repo(self) -> None:
        """2"""
        self.visit(Place(REPO))

    def action_mode_pipeline(self) -> None:
        """3"""
        self.visit(Place(PIPELINE))

    def action_mode_job(self) -> None:
        """4"""
        self.visit(Place(JOB))

    def action_mode_ingest(self) -> None:
        """5"""
        self.visit(Place(INGEST))

    def action_mode_lineage(self) -> None:
        """6"""
        self.visit(Place(LINEAGE))

    def action_next_pane(self) -> None:
        """Tab"""
        self.screen.focus_next()

    def action_previous_pane(self) -> None:
        """S-Tab"""
        self.screen.focus_previous()

    def action_reload(self) -> None:
        """ctrl+r"""
        self.feed.hurry()
        if (view := self.view) is not None:
            view.reload()

    def action_last_view(self) -> None:
        """-"""
        if self._trail:
            place = self._trail.pop()
            here = self.view.place() if self.view else None
            self._go(place)
            if here is not None:
                self._trail.append(here)

    async def action_back(self) -> None:
        """Esc: a step up, never out."""
        if len(self.screen_stack) > 1:
            await self.pop_screen()

    async def action_quit_or_back(self) -> None:
        """q: a step up, and out at the first view of a mode."""
        if len(self.screen_stack) > 1:
            await self.pop_screen()
        else:
            self.exit(0)

    def action_freeze(self) -> None:
        """F: hold the picture still."""
        self._frozen = not self._frozen
        self.notice("frozen: F thaws" if self._frozen else "live")


def _to_file(text: str) -> Path:
    import tempfile

    with tempfile.NamedTemporaryFile(
        "w", prefix="pachybox-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        file.write(text)
    return Path(file.name)

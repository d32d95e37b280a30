"""What holds in all modes, without keys: the box, places, notices, choices. See ``tui.frame``."""

from __future__ import annotations

import asyncio
import json
import os
import time
import traceback
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from textual import work
from textual.dom import DOMNode
from textual.events import DescendantFocus
from textual.worker import Worker

from pachybox.errors import PachyboxError, Unreachable
from tui import clipboard
from tui.ascii import AsciiFilter
from tui.choices import Choices, folder
from tui.commands import Names, names_of
from tui.feed import Feed
from tui.guard import Guarded
from tui.held import Held, work_beside
from tui.keymap import Key
from tui.keys_file import read as read_keys
from tui.notices import Notice, Notices
from tui.places import HOME, MODES, Place
from tui.screens.view import View
from tui.store import Store
from tui.theme import THEMES, begin
from tui.whole import Whole
from tui.widgets.confirm import Ask, Question

if TYPE_CHECKING:
    from pachybox.client import AsyncClient

_VIEWS_KEPT = 50
_ARRIVES_S = 0.5  # so long at most do keys wait for a view that is gone to
_ERRORS, _WITHIN_S = 8, 2.0  # so many errors so soon after each other: the screen is not drawn


class Core(Guarded, Whole):
    """``connect`` makes the client of the box to open; ``start`` is the place shown first, None
    the one that was shown last. ``environment`` is what a ``pachybox`` of a shell needs to talk
    to the same box."""

    TITLE = "pachybox"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    .-ascii .pane { border: ascii $panel-lighten-2; }
    .-ascii .pane:focus-within, .-ascii .pane:focus { border: ascii $accent; }
    Toast { max-width: 80%; }
    """

    def __init__(
        self,
        connect: Callable[[], AsyncClient],
        *,
        start: Place | None = Place(HOME),  # noqa: B008 - frozen
        read_only: bool = False,
        ascii_only: bool = False,
        choices: Choices | None = None,
        box_name: str = "",
        environment: Mapping[str, str] | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        super().__init__()
        self.store = Store(clock) if clock else Store()
        self.feed = Feed(self.store, connect)
        self.ascii_only = ascii_only
        self.animation_level = "none"
        self.notices = Notices()
        self.box_name = box_name
        self.environment = dict(environment or {})
        self.frozen = False
        self.crash = ""
        self._read_only = read_only
        self._choices = choices or Choices()
        self._start = start or self._last_place()
        self._trail: list[Place] = []
        self._under_way: tuple[Worker[object] | None, float] = (None, 0.0)
        self._errors: list[float] = []
        self.user_keys = read_keys(folder() / "keys.toml")
        self.set_keymap(dict(self.user_keys.changed))
        if ascii_only:
            self._filters.append(AsciiFilter())
            self.add_class("-ascii")
        for theme in THEMES.values():
            self.register_theme(theme)
        first = begin(self._colours())
        chosen = self.remembered("theme")
        self.theme = chosen if chosen in THEMES else first

    def _colours(self) -> int | None:
        system = self.console.color_system
        return {"standard": 8, "256": 256}.get(system or "")

    def _last_place(self) -> Place:
        try:
            mode, *rest = json.loads(self.remembered("view", "[]"))
        except ValueError:
            return Place(HOME)
        name, ref, path, *_ = [str(part) for part in rest] + ["", "", ""]
        return Place(mode, name, ref, path) if mode in MODES else Place(HOME)

    @property
    def view(self) -> View | None:
        """The view in front, also while a box is over it; one that is still being made is not."""
        for screen in reversed(self.screen_stack):
            if isinstance(screen, View) and screen.is_mounted:
                return screen
        return None

    @property
    def read_only(self) -> str:
        """Why nothing may be changed; "" when it may."""
        if self._read_only:
            return "read-only: started with --read-only"
        return "read-only: the box says so" if self.store.read_only else ""

    def key(self, name: str) -> Key:
        """A verb by its name, with the keys that the user gave it."""
        return self.user_keys.keys[name]

    def names(self) -> Names:
        """What there is to go to, as far as it is known here."""
        summary = self.store.summary
        known = names_of(summary) if summary else Names()
        return replace(known, boxes=self.boxes(), themes=tuple(THEMES))

    def boxes(self) -> tuple[str, ...]:
        """The boxes of the settings; none where those cannot be read."""
        from tui.boxes import targets

        try:
            return tuple(target.name for target in targets())
        except PachyboxError:
            return ()

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """Nothing blinks: a cursor that stands still is seen as well, and costs nothing."""
        if getattr(event.widget, "cursor_blink", False):
            event.widget.cursor_blink = False  # type: ignore[attr-defined]

    # Places

    def visit(self, place: Place) -> None:
        """Go to a place; ``-`` leads back."""
        view = self.view
        if view is not None and view.place() != place:
            self._trail = [*self._trail[-_VIEWS_KEPT:], view.place()]
        self.go(place)

    def go(self, place: Place) -> None:
        """Go there, and leave no trail. Keys that are typed meanwhile act on what is there."""
        if self.leaving:
            return
        self._under_way = self.beside(self._go(place), "visit"), time.monotonic() + _ARRIVES_S

    async def _check_bindings(self, key: str, priority: bool = False) -> bool:
        if not priority:
            await self._heard()
        await self._arrived()
        return await super()._check_bindings(key, priority)

    async def _heard(self) -> None:
        """Until what the key before had the focused widget say, as that a row was opened, has come
        to the view."""
        until = time.monotonic() + _ARRIVES_S
        for node in (self.focused or self.screen).ancestors_with_self:
            if node is self:
                break
            if node.message_queue_size or node._pending_message:
                await _handled(node, until)

    async def _arrived(self) -> None:
        """Until what was gone to is there, if that is soon."""
        visit, until = self._under_way
        if visit is not None and visit._task is not None and not visit.is_finished:
            await asyncio.wait([visit._task], timeout=max(0.0, until - time.monotonic()))
        if not self.screen.is_mounted:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.screen._mounted_event.wait(), _ARRIVES_S)

    async def _go(self, place: Place) -> None:
        there = bool(place.name or place.pane)
        same = self.current_mode == place.mode
        if not same:
            await self.switch_mode(place.mode)
        while len(self.screen_stack) > 1 and (there or same):
            self.pop_screen()
        # until the screen has handled that it is in front, and something has the focus
        await _handled(self.screen, time.monotonic() + _ARRIVES_S)
        if isinstance(view := self.screen, View) and there:
            view.show(place)
        self.remember("view", json.dumps([place.mode, place.name, place.ref, place.path]))

    def told(self, *commands: str) -> None:
        """Show the command line that does the same, or the lines."""
        if (view := self.view) is not None and commands:
            view.renew("; pachybox ".join(commands))

    # Words to the user

    def notice(self, text: str, *, error: bool = False, detail: str = "") -> None:
        """Say something in passing; an error's detail stays to be read and copied."""
        fresh = self.notices.add(Notice(datetime.now(UTC), text, error, detail))
        if not fresh:
            return
        more = "" if not detail or detail == text else f"  ({self.key('app.notices').shown} more)"
        self.notify(
            text[:400] + more,
            severity="error" if error else "information",
            timeout=8,
            markup=False,
        )

    def beside(self, work: Coroutine[Any, Any, object], group: str) -> Worker[object]:
        """Run ``work`` beside the interface; its errors become notices."""
        return work_beside(self, self._guarded(Held(work)), group=group, exclusive=True)

    async def _guarded(self, work: Held[object]) -> object:
        try:
            return await work
        except (Unreachable, PachyboxError) as e:
            self.notice(str(e), error=True)
        except Exception as e:
            self.defect(e)
        return None

    def defect(self, error: Exception) -> None:
        """An error of ours is a notice. Only one that comes again at once, again and again, as
        when a screen cannot be drawn, ends the terminal."""
        now = time.monotonic()
        self._errors = [*(then for then in self._errors if now - then < _WITHIN_S), now]
        if len(self._errors) < _ERRORS and self.view is not None:
            detail = "".join(traceback.format_exception(error))
            self.notice(f"internal error: {error!r}", error=True, detail=detail)
        else:
            self._handle_exception(error)

    def _handle_exception(self, error: Exception) -> None:
        """What cannot be gone on from: Textual would print its story over the screen; ``tui.run``
        says in short where it is."""
        self.crash = self.crash or "".join(traceback.format_exception(error))
        self._exception_event.set()  # who waits for the screen in a test waits no longer
        self.exit(1, return_code=1)
        self._close_messages_no_wait()

    async def ask(self, question: Ask) -> str | None:
        """Confirm or prompt; None when it was left."""
        answer: str | None = await self.push_screen_wait(Question(question))
        return answer

    async def copy(self, text: str, what: str = "") -> None:
        """To the clipboard by the terminal's own way, or to a file when that is too small."""
        if clipboard.fits(text):
            self.copy_to_clipboard(text)
            self.notice(f"copied {what or text}"[:200])
            return
        path = await asyncio.to_thread(clipboard.to_file, text)
        self.notice(f"too long for the clipboard: it is in {path}")

    # Choices

    def remembered(self, key: str, default: str = "") -> str:
        """What the user chose before."""
        return self._choices.get(key, default)

    def remember(self, key: str, value: str) -> None:
        """Keep a choice."""
        self._choices.put(key, value)

    def colours(self, name: str) -> None:
        """Take a theme, and keep to it."""
        self.theme = name
        self.remember("theme", name)

    # The box

    @work(exclusive=True, group="feed", exit_on_error=False)
    async def follow(self) -> None:
        """Follow the box, until another is gone to."""
        await self.feed.run()

    async def move(self, name: str) -> None:
        """Go to another box: nothing of this one stays."""
        from tui.boxes import named

        target = await asyncio.to_thread(named, name)
        self.workers.cancel_group(self, "feed")
        await self.feed.move(target.connect)
        self.box_name, self.environment = name, target.environment()
        self._trail = []
        await self._fresh()
        self.follow()

    async def _fresh(self) -> None:
        """All modes as at the beginning."""
        factories = dict(self._modes)
        blank = "blank"
        self.add_mode(blank, _blank)
        await self.switch_mode(blank)
        for mode in MODES:
            await self.remove_mode(mode)
            self.add_mode(mode, factories[mode])
        await self.switch_mode(HOME)
        await self.remove_mode(blank)

    def shell_environment(self) -> dict[str, str]:
        """The environment of what is run from here."""
        return {**os.environ, **self.environment}


async def _handled(node: DOMNode, until: float) -> None:
    """Until ``node`` has handled what it was told so far, if that is by ``until``."""
    handled = asyncio.Event()
    if node.call_later(handled.set):
        with suppress(TimeoutError):
            await asyncio.wait_for(handled.wait(), max(0.0, until - time.monotonic()))


def _blank() -> Any:
    from textual.screen import Screen

    return Screen()

"""The keys that hold everywhere, and what is ordered by ``:`` and the palette."""

from __future__ import annotations

import asyncio
import shlex
import sys

from textual import events
from textual.app import SuspendNotSupported

from tui.commands import Act, Colours, Go, Order, Run, ToBox, Unclear, read
from tui.core import Core
from tui.keymap import APP, FORM, LIST, OF, TEXT, VIEW, Key, types
from tui.keys_file import Line
from tui.places import HOME, INGEST, JOB, LINEAGE, PIPELINE, REPO, Place
from tui.screens.view import View
from tui.widgets.confirm import Ask
from tui.widgets.dialog import Dialog
from tui.widgets.panes import pane_of


class Actions(Core):
    """``action_<id>`` for every key of the table that is the app's."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """In a form only keys with ctrl, F keys, Tab and Esc are the app's."""
        key = OF[APP].get(action)
        if key is None or not isinstance(self.screen, View) or not self.screen.is_form:
            return True
        return not types(self.key(key.name))

    def on_key(self, event: events.Key) -> None:
        """The user's own lines of shell, on keys that nobody took. What was typed at once with a
        key that opens a box went to what is below: it is the box's."""
        if isinstance(self.screen, Dialog) and self.screen.passing is not event:
            event.prevent_default()
            self.screen.take(events.Key(event.key, event.character))
            return
        for line in self.user_keys.lines:
            if line.key == event.key and isinstance(self.screen, View):
                self.beside(self._line(line), "line")

    # Modes and panes

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

    def action_zoom(self) -> None:
        """z: the pane alone on the screen, and back."""
        screen = self.screen
        if screen.maximized is not None:
            screen.minimize()
        elif (pane := pane_of(screen.focused)) is not None:
            screen.maximized = pane
        else:
            self.notice("no pane has the focus: Tab goes to one")

    def action_flip(self) -> None:
        """|"""
        if (view := self.view) is not None:
            view.flip()

    def action_freeze(self) -> None:
        """F: hold the picture still."""
        self.frozen = not self.frozen
        self.store.wake()
        if (view := self.view) is not None:
            view.renew()
        self.notice("frozen: F thaws" if self.frozen else "live")

    def action_reload(self) -> None:
        """ctrl+r"""
        self.feed.hurry()
        if (view := self.view) is not None:
            view.reload()

    # Back and out

    def action_last_view(self) -> None:
        """-"""
        if self._trail:
            place = self._trail.pop()
            here = self.view.place() if self.view else None
            self.go(place)
            if here is not None:
                self._trail.append(here)

    async def action_back(self) -> None:
        """Esc: a step up, never out."""
        if self.screen.maximized is not None:
            self.screen.minimize()
        elif len(self.screen_stack) > 1:
            self.pop_screen()  # not awaited: a widget of that screen may be who runs this

    async def action_quit_or_back(self) -> None:
        """q: a step up, and out at the first view of a mode."""
        if len(self.screen_stack) > 1:
            self.pop_screen()
        else:
            self.exit(0)

    async def action_quit(self) -> None:
        """ctrl+q"""
        self.exit(0)

    def action_suspend(self) -> None:
        """ctrl+z"""
        self.action_suspend_process()

    async def action_crumb(self, number: int) -> None:
        """A click on a part of the path at the top."""
        while len(self.screen_stack) > number + 1:
            self.pop_screen()

    async def action_copy_selection(self) -> None:
        """ctrl+c: never out of a running view."""
        text = self.screen.get_selected_text()
        if text:
            await self.copy(text, "the selection")
        else:
            self.notice(
                f"{self.key('app.quit_or_back').shown} goes back and out; "
                f"{self.key('app.quit').shown} quits"
            )

    # Boxes over the view

    def action_prompt(self) -> None:
        """:"""
        from tui.screens.prompt import Prompt

        self.push_screen(Prompt(self.names, self.feed, self._choices), self._said)

    def action_palette(self) -> None:
        """ctrl+p"""
        from tui.screens.palette import Palette

        if (view := self.view) is not None:
            entries = [(key, view.refused(key)) for key in self.keys_here(view) if key.at != LIST]
            self.push_screen(Palette(entries, self.names, self.feed), self._picked)

    def action_help(self) -> None:
        """?"""
        from tui.screens.help import Help

        if (view := self.view) is not None:
            entries = [(key, view.refused(key)) for key in self.keys_here(view)]
            self.push_screen(Help(entries, self.user_keys.lines), self._picked)

    def action_help_panel(self) -> None:
        """F1: the keys beside the view, and away again."""
        if (view := self.view) is not None:
            view.toggle_keys(self.keys_here(view))

    def action_notices(self) -> None:
        """!"""
        from tui.screens.notices import Said

        self.push_screen(Said(self.notices.all), self._copied)

    def action_jump(self) -> None:
        """ctrl+g"""
        from tui.screens.jump import Jump, panes

        found = panes(self.screen)
        if found:
            self.push_screen(Jump(found), lambda pane: pane.focus() if pane else None)
        else:
            self.notice("there is one pane only")

    def keys_here(self, view: View) -> list[Key]:
        """All keys that act in a view now, by who acts: the view, the pane, the app."""
        acting = view.acting()
        at = (FORM, VIEW, LIST, TEXT, APP)
        return [self.key(k.name) for one in at for k in OF[one].values() if k.name in acting]

    # Orders

    def _said(self, line: str | None) -> None:
        if line:
            try:
                self.order(read(line, self.names()))
            except Unclear as e:
                self.notice(str(e), error=True)

    def _copied(self, text: str | None) -> None:
        if text:
            self.beside(self.copy(text, "the notice"), "copy")

    def _picked(self, picked: str | None) -> None:
        """From the palette or the keys: a verb's name, a user's line, or what ``:`` takes."""
        kind, _, what = (picked or "").partition(" ")
        if kind == "key":
            self.press_key(self.key(what))
        elif kind == "line":
            self.beside(self._line(self.user_keys.lines[int(what)]), "line")
        elif kind == "say":
            self._said(what)

    def press_key(self, key: Key) -> None:
        """Do what a key does, as if it was pressed."""
        self.simulate_key(key.keys.split(",")[0])

    def order(self, order: Order) -> None:
        """Carry out what was ordered."""
        match order:
            case Go(place):
                self.visit(place)
            case Act(name):
                self.press_key(self.key(name))
            case ToBox(""):
                self.beside(self._choose_box(), "order")
            case ToBox(name):
                self.beside(self.move(name), "order")
            case Colours(""):
                self.beside(self._choose_theme(), "order")
            case Colours(name):
                self.colours(name)
            case Run():
                self.beside(self._run(order), "order")

    async def _choose_box(self) -> None:
        choices = tuple(
            (name, f"{name}  (here)" if name == self.box_name else name) for name in self.boxes()
        )
        name = await self.ask(
            Ask("Which box?", "those of: pachybox config list context", choices=choices)
        )
        if name:
            await self.move(name)

    async def _choose_theme(self) -> None:
        names = self.names().themes
        if name := await self.ask(Ask("Which theme?", choices=tuple((n, n) for n in names))):
            self.colours(name)

    async def _run(self, run: Run) -> None:
        """A command line that no view shows: run it, and show what it said."""
        line = shlex.join(run.words)
        if run.changes and (why := self.read_only):
            self.notice(f"{line}: {why}", error=True)
            return
        if run.changes and not await self.ask(Ask(f"Run {run.words[0]}?", command=line)):
            return
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pachybox.cli", *run.words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self.shell_environment(),
        )  # fmt: skip
        try:
            said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        self.told(line)
        text = said.decode(errors="replace").rstrip() or "done: it said nothing"
        from tui.screens.output import Output

        await self.push_screen(Output(f"$ pachybox {line}", text))

    async def _line(self, line: Line) -> None:
        """A line of the user's own, in the shell, with what is under the cursor."""
        view = self.view
        if line.changes and (why := self.read_only):
            self.notice(f"{line.help}: {why}", error=True)
            return
        try:
            text = line.filled(view.subject() if view else {})
        except KeyError as e:
            self.notice(f"{line.help}: there is no {e.args[0]} here", error=True)
            return
        from tui.shell import in_shell

        try:
            with self.suspend():  # which holds all else: nothing is painted over the program
                in_shell(text, self.shell_environment())
        except SuspendNotSupported:
            self.notice("there is no shell here: the terminal is not a terminal's")
        self.refresh()
        self.feed.hurry()

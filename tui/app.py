"""The terminal: six modes over one box."""

from __future__ import annotations

import gc
from typing import ClassVar

from textual.binding import BindingType
from textual.screen import Screen

from tui.actions import Actions
from tui.bindings import bindings
from tui.keymap import APP
from tui.places import HOME, INGEST, JOB, LINEAGE, PIPELINE, REPO
from tui.store import LINK, SUMMARY

_TICK_S = 0.1
_SETTLED_S = 2.0


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


class PachyApp(Actions):
    """See ``tui.core.Core`` for the arguments."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(APP)
    MODES = {  # noqa: RUF012 - as App declares it
        HOME: _home,
        REPO: _repo,
        PIPELINE: _pipeline,
        JOB: _job,
        INGEST: _ingest,
        LINEAGE: _lineage,
    }

    _waking = False

    def on_mount(self) -> None:
        """Open the first view, then connect beside it."""
        self.beside(self._open(), "visit")
        self.store.wake = self.wake
        self.wake()
        self.set_timer(_SETTLED_S, self._settled)
        self.follow()

    def _settled(self) -> None:
        """The opening, for which ``tui.run`` holds off the collection of garbage, is over."""
        if not gc.isenabled():
            gc.freeze()  # what was loaded stays for good, and need not be looked through
            gc.enable()

    async def _open(self) -> None:
        await self._go(self._start)
        for problem in self.user_keys.problems:
            self.notice(problem, error=True)

    def wake(self) -> None:
        """Something is to be drawn: within a tenth of a second, with what else comes by then.
        While nothing is, nothing runs."""
        if not self._waking:
            self._waking = True
            self.set_timer(_TICK_S, self._draw)

    def _draw(self) -> None:
        """What changed since the last time, to the view in front."""
        self._waking = False
        view = self.view
        if self.frozen:
            return
        if view is None:
            self.wake()
            return
        topics = self.store.take()
        if not topics:
            return
        try:
            if topics & {LINK, SUMMARY}:
                view.linked()
            view.changed(topics)
        except Exception as e:  # whatever a box may answer, the terminal stays
            self.defect(e)

"""The connection to a box: one client, its events into the store, and reconnecting for ever.

Views read through ``feed.box``; what they read fails with Unreachable while the box is away,
and the store's ``link`` says so on every screen.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from pachybox.errors import Denied, PachyboxError, Unauthenticated
from tui.sound import unsound
from tui.store import CONNECTING, LIVE, LOST, Link, Store

if TYPE_CHECKING:
    from pachybox.client import AsyncClient

T = TypeVar("T")
_PAUSES_S = (1.0, 2.0, 5.0, 10.0)
_BEAT_S = 1.5  # an answer is missed after this and the time-out below: the loss shows within 3 s
_ANSWER_S = 1.0
_SILENT_S = 0.5  # of a first answer that does not come: said on the screen
_FIRST_S = 10.0  # a summary of a large box that wakes up
_SUMMARY_S = 0.5  # the least time between two summaries while things change
_IDLE_SUMMARY_S = 10.0
_REFUSED_S = 30.0  # a token that is not let in is not, however often it is shown


class Feed:
    """One box, followed. ``connect`` makes a client; it is called for every box gone to."""

    def __init__(self, store: Store, connect: Callable[[], AsyncClient]) -> None:
        self.store = store
        self._connect = connect
        self._box: AsyncClient | None = None
        self._stale = asyncio.Event()
        self._again = asyncio.Event()

    @property
    def box(self) -> AsyncClient:
        """The client: awaited calls, and streams by ``async for``."""
        if self._box is None:
            self._box = self._connect()
        return self._box

    @property
    def where(self) -> str:
        """The address of the box."""
        return str(self.box.sync.address)

    async def close(self) -> None:
        """Close the client. What is read afterwards is read by a new one."""
        box, self._box = self._box, None
        if box is not None:
            await box.close()

    async def move(self, connect: Callable[[], AsyncClient]) -> None:
        """To another box. ``run`` must not be running."""
        await self.close()
        self._connect = connect
        self.store.forget()

    async def run(self) -> None:
        """Follow the box until cancelled; never raises for what the box does or answers."""
        tries = 0
        while True:
            try:
                await self._greet()
                tries = 0
                await self._live()
            except asyncio.CancelledError:
                raise
            except Exception as e:  # whatever a box may answer, the terminal stays
                await self._lost(e, _PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
                tries += 1

    def hurry(self) -> None:
        """Try now what would be tried later: to reconnect, or to read the summary."""
        self._again.set()
        self._stale.set()

    async def _greet(self) -> None:
        """The first answers: that it is there, and what there is."""
        box, begun = self.box, time.monotonic()
        silent = asyncio.get_running_loop().call_later(_SILENT_S, self._silent)
        try:
            await self._knock()
        finally:
            silent.cancel()
        ping = (time.monotonic() - begun) * 1000
        summary = _checked(await _soon(box.summary(), _FIRST_S))
        self.store.seq = 0  # another box, or one restored, counts from where it is
        self.store.set_summary(summary)
        self.store.set_link(Link(LIVE, ping))
        self.store.touch("reset")

    def _silent(self) -> None:
        if self.store.summary is None and self.store.link == Link():
            self.store.set_link(Link(CONNECTING, why="no answer yet"))

    async def _knock(self) -> None:
        if not await _soon(self.box.healthy(), _ANSWER_S):
            raise ConnectionError("the box is not ready")

    async def _live(self) -> None:
        """Events, heartbeat and summaries, side by side, until one of them fails."""
        tasks = [asyncio.create_task(c) for c in (self._events(), self._beat(), self._summaries())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                _drop(task)

    async def _events(self) -> None:
        stream = self.box.events(after=self.store.seq, follow=True)
        try:
            async for event in stream:
                self.store.apply(event)
                self._stale.set()
        finally:
            await stream.aclose()
        raise ConnectionError("the box ended the stream of events")

    async def _beat(self) -> None:
        while True:
            begun = time.monotonic()
            await self._knock()
            ping = (time.monotonic() - begun) * 1000
            if abs(ping - self.store.link.ping_ms) > max(5.0, self.store.link.ping_ms / 2):
                self.store.set_link(Link(LIVE, ping))
            await asyncio.sleep(_BEAT_S)

    async def _summaries(self) -> None:
        """A summary soon after something changed, else every ten seconds (the machine's load)."""
        while True:
            try:
                await asyncio.wait_for(self._stale.wait(), _IDLE_SUMMARY_S)
            except TimeoutError:
                pass
            self._stale.clear()
            begun = time.monotonic()
            self.store.set_summary(_checked(await self.box.summary()))
            took = time.monotonic() - begun
            await asyncio.sleep(max(_SUMMARY_S, 10 * took))  # a tenth of a slow box's time

    async def _lost(self, error: Exception, pause_s: float) -> None:
        """Count down to the next try. A box that comes back before is seen within a second: a
        knock on its door costs nothing beside what follows when it is open."""
        why = _why(error)
        refused = isinstance(error, Denied | Unauthenticated)
        pause_s = _REFUSED_S if refused else pause_s
        since = self.store.link.lost_at or datetime.now(UTC)
        until = time.monotonic() + pause_s
        self._again.clear()
        first = True
        while (left := until - time.monotonic()) > 0:
            self.store.set_link(Link(LOST, 0.0, why, float(round(left + 0.49)), since, refused))
            try:
                await asyncio.wait_for(self._again.wait(), min(1.0, left))
                break
            except TimeoutError:
                pass
            if not first and not refused and await self._open():
                break
            first = False
        state = CONNECTING if self.store.summary is None else LOST
        self.store.set_link(Link(state, 0.0, why, 0.0, since, refused))

    async def _open(self) -> bool:
        try:
            await self._knock()
        except Exception:  # of whatever kind: it is not back
            return False
        return True


def _checked(summary: T) -> T:
    """The summary, if all in it is of the kind it should be: views need not ask."""
    if wrong := unsound(summary):
        raise ValueError(f"{wrong} of its summary is of the wrong kind")
    return summary


def _why(error: Exception) -> str:
    if isinstance(error, PachyboxError):
        refused = isinstance(error, Denied | Unauthenticated)
        return str(error) if refused else error.message
    if isinstance(error, OSError):
        return str(error) or repr(error)
    return f"the box's answer is not understood: {error}"


async def _soon(what: Coroutine[Any, Any, T], seconds: float) -> T:
    """The answer, if it comes within ``seconds``. A call that hangs is not waited for."""
    task = asyncio.ensure_future(what)
    done, _ = await asyncio.wait([task], timeout=seconds)
    if not done:
        _drop(task)
        raise ConnectionError(f"no answer within {seconds:.0f} s")
    return task.result()


def _drop(task: asyncio.Future[Any]) -> None:
    """End a task without waiting for it; how it ends is of no interest."""
    task.cancel()
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())

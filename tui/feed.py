"""The connection to a box: one client, its events into the store, and reconnecting for ever.

Views read through ``feed.box``; what they read fails with Unreachable while the box is away,
and the store's ``link`` says so on every screen.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pachybox.errors import PachyboxError
from tui.store import CONNECTING, LIVE, LOST, Link, Store

if TYPE_CHECKING:
    from pachybox.client import AsyncClient

_PAUSES_S = (1.0, 2.0, 5.0, 10.0)
_BEAT_S = 2.0  # an answer is missed after this and the time-out below: the loss shows within 3 s
_ANSWER_S = 1.0
_SUMMARY_S = 0.5  # the least time between two summaries while things change
_IDLE_SUMMARY_S = 10.0


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

    async def run(self) -> None:
        """Follow the box until cancelled; never raises for what the box does or answers."""
        tries = 0
        try:
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
        finally:
            if self._box is not None:
                await self._box.close()

    def hurry(self) -> None:
        """Try now what would be tried later: to reconnect, or to read the summary."""
        self._again.set()
        self._stale.set()

    async def _greet(self) -> None:
        """The first answer: what there is, and from which event on to listen."""
        begun = time.monotonic()
        summary = await self._soon(self.box.summary(), 5.0)
        self.store.set_link(Link(LIVE, (time.monotonic() - begun) * 1000))
        self.store.seq = 0  # another box, or one restored, counts from where it is
        self.store.set_summary(summary)
        self.store.touch("reset")

    async def _live(self) -> None:
        """Events, heartbeat and summaries, side by side, until one of them fails."""
        tasks = [asyncio.create_task(c) for c in (self._events(), self._beat(), self._summaries())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _events(self) -> None:
        stream = self.box.events(after=self.store.seq, follow=True)
        async for event in stream:
            self.store.apply(event)
            self._stale.set()
        raise ConnectionError("the box ended the stream of events")

    async def _beat(self) -> None:
        while True:
            begun = time.monotonic()
            if not await self._soon(self.box.healthy(), _ANSWER_S):
                raise ConnectionError("the box does not answer")
            ping = (time.monotonic() - begun) * 1000
            if abs(ping - self.store.link.ping_ms) > max(2.0, self.store.link.ping_ms / 2):
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
            self.store.set_summary(await self.box.summary())
            took = time.monotonic() - begun
            await asyncio.sleep(max(_SUMMARY_S, 10 * took))  # a tenth of a slow box's time

    @staticmethod
    async def _soon(what: Any, seconds: float) -> Any:
        try:
            return await asyncio.wait_for(what, seconds)
        except TimeoutError as e:
            raise ConnectionError(f"no answer within {seconds:.0f} s") from e

    async def _lost(self, error: Exception, pause_s: float) -> None:
        why = error.message if isinstance(error, PachyboxError) else str(error) or repr(error)
        since = self.store.link.lost_at or datetime.now(UTC)
        until = time.monotonic() + pause_s
        self._again.clear()
        while (left := until - time.monotonic()) > 0:
            self.store.set_link(Link(LOST, 0.0, why, float(round(left + 0.49)), since))
            try:
                await asyncio.wait_for(self._again.wait(), min(1.0, left))
                break
            except TimeoutError:
                continue
        state = CONNECTING if self.store.summary is None else LOST
        self.store.set_link(Link(state, 0.0, why, 0.0, since))

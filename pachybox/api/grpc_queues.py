"""Messages between the event loop, which alone touches gRPC, and the threads of the handlers.

Both queues are bounded: a handler waits until its client has taken what it made, and a client is
not read from until its handler has used what it sent. Neither ever makes the loop wait.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from grpc.aio import EOF

from pachybox.api.transport import Gone

_OUT_BYTES = 2 << 20  # not written yet: of 2 MiB messages one, and the next is made meanwhile
_OUT_MESSAGES = 512
_IN_BYTES = 1 << 20
_IN_MESSAGES = 256
_COUNTED = 32  # messages written before the handler's thread is told


class Wakeup:
    """Lets the loop wait for what a thread does."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future: asyncio.Future[None] | None = None

    def arm(self) -> asyncio.Future[None]:
        """On the loop: a future that the next ``ring`` completes."""
        self._future = self._loop.create_future()
        return self._future

    def ring(self) -> None:
        """From any thread, under the lock that guards ``arm``: end the waiting, if there is any."""
        future, self._future = self._future, None
        if future is not None:
            try:
                self._loop.call_soon_threadsafe(_complete, future)
            except RuntimeError:
                pass  # the loop was closed: nobody waits


def _complete(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Budget:
    """Bounds the bytes of requests that all calls together hold.

    A message counts from when it was read until its handler asks for the next, so whoever holds
    some is at work on it, and room comes without anybody's help.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int) -> None:
        self._most = most
        self._held = 0
        self._lock = threading.Lock()
        self._loop = loop
        self._waiting: deque[Wakeup] = deque()

    def add(self, count: int) -> None:
        """``count`` bytes more are held, or fewer when it is negative."""
        with self._lock:
            self._held += count
            if count < 0 and self._held < self._most:
                while self._waiting:
                    self._waiting.popleft().ring()

    async def room(self) -> None:
        """Return when another message may be read."""
        while True:
            with self._lock:
                if self._held < self._most:
                    return
                wakeup = Wakeup(self._loop)
                waiting = wakeup.arm()
                self._waiting.append(wakeup)
            await waiting


class Inbox(Iterator[Any]):
    """Requests of one call: ``fill`` runs on the loop, the handler's thread iterates."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, budget: Budget, parse: Callable[[bytes], Any]
    ) -> None:
        self._parse = parse
        self._budget = budget
        self._changed = threading.Condition(threading.Lock())
        self._wakeup = Wakeup(loop)
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._used = 0  # bytes of the message the handler has
        self._ended = False
        self._error: BaseException | None = None
        self.telling = False
        """Whether the client is being told something, which is not to be broken off: gRPC would
        not take a status afterwards."""

    # ---- the handler's thread

    def __next__(self) -> Any:
        with self._changed:
            used, self._used = self._used, 0
            while not (self._queue or self._ended):
                if used:  # it may be what room is missing for
                    self._budget.add(-used)
                    used = 0
                self._changed.wait()
            if self._error is not None or not self._queue:
                self._used = used  # `close` gives it back
                raise self._error or StopIteration
            data = self._queue.popleft()
            self._queued -= len(data)
            self._used = len(data)
            self._wakeup.ring()
        if used:
            self._budget.add(-used)
        return self._parse(data)

    # ---- the loop

    async def fill(self, context: Any, *, whole: bool) -> None:
        """Read requests until the client has sent all, or is gone. With ``whole`` the two are
        told apart; nothing may have been sent to the client before."""
        try:
            while True:
                await self._room()
                await self._budget.room()
                data = await context.read()
                if data is EOF:
                    break
                with self._changed:
                    if self._ended:  # nobody takes it, nor gives back what it counts for
                        return
                    self._queue.append(data)
                    self._queued += len(data)
                    self._budget.add(len(data))
                    self._changed.notify()
            if whole:
                # gRPC reports the same whether the client sent all or is gone, and half an upload
                # must not be taken for a whole one. To who is gone nothing can be sent.
                self.telling = True
                await context.send_initial_metadata(())
            self.end()
        except asyncio.CancelledError:
            self.end(Gone())
            raise
        except Exception:  # whatever gRPC says: the handler must not wait for what never comes
            self.end(Gone())

    async def _room(self) -> None:
        while True:
            with self._changed:
                if self._queued < _IN_BYTES and len(self._queue) < _IN_MESSAGES:
                    return
                waiting = self._wakeup.arm()
            await waiting

    def end(self, error: BaseException | None = None) -> None:
        """No more requests come; with ``error``, those that wait are dropped and it is raised."""
        with self._changed:
            if error is not None and not self._ended:
                self._error = error
                self._drop()
            self._ended = True
            self._changed.notify_all()

    def close(self) -> None:
        """The handler is over: what it did not read is dropped."""
        with self._changed:
            self._ended = True
            self._drop()
            self._budget.add(-self._used)
            self._used = 0

    def _drop(self) -> None:
        self._budget.add(-self._queued)
        self._queue.clear()
        self._queued = 0


class Outbox:
    """Responses of one call: the handler's thread puts, ``drain`` runs on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._wakeup = Wakeup(loop)
        self._queue: list[bytes] = []
        self._count = 0  # messages and bytes that are not written yet
        self._bytes = 0
        self._full = False
        self._ended = False
        self._error: BaseException | None = None

    # ---- the handler's thread

    def put(self, data: bytes) -> None:
        """Hand over one response; waits for room. Raises what ``fail`` was given."""
        with self._changed:
            while self._full and self._error is None:
                self._changed.wait()
            if self._error is not None:
                raise self._error
            self._queue.append(data)
            self._count += 1
            self._bytes += len(data)
            self._full = self._bytes >= _OUT_BYTES or self._count >= _OUT_MESSAGES
            self._wakeup.ring()

    def check(self) -> None:
        """Raise what ``fail`` was given, if anything."""
        if self._error is not None:
            raise self._error

    def end(self) -> None:
        """All responses were put."""
        with self._changed:
            self._ended = True
            self._wakeup.ring()

    # ---- the loop

    async def drain(self, context: Any) -> None:
        """Write responses as they come, until ``end``. Raises Gone when the client is."""
        while True:
            with self._changed:
                batch, self._queue = self._queue, []
                if not batch:
                    if self._ended:
                        return
                    waiting = self._wakeup.arm()
            if not batch:
                await waiting
                continue
            count = size = 0
            for data in batch:
                try:
                    await context.write(data)
                except Exception as e:  # whatever gRPC says, it cannot reach the client
                    raise Gone from e
                count += 1
                size += len(data)
                if count >= _COUNTED or size >= _OUT_BYTES // 2:
                    self._written(count, size)
                    count = size = 0
            self._written(count, size)

    def _written(self, count: int, size: int) -> None:
        with self._changed:
            self._count -= count
            self._bytes -= size
            # Only when half is gone: not a change of threads for every message.
            if self._full and self._bytes <= _OUT_BYTES // 2 and self._count <= _OUT_MESSAGES // 2:
                self._full = False
                self._changed.notify()

    def fail(self, error: BaseException) -> None:
        """Have the handler's next ``put`` raise: its client is gone, or is to go."""
        with self._changed:
            if self._error is None:
                self._error = error
            self._queue.clear()
            self._changed.notify_all()

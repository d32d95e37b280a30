"""What ``AsyncClient`` stands on: the sync client's methods run in threads of its own.

Threads rather than a second client on asyncio's streams: reading local files blocks
anyway, descriptors cannot be sent through an asyncio transport, and so there is one
protocol to get right. Cancelling a task cuts the connection its thread waits on. A
stream has a thread that reads ahead by a bounded number of records, so a record costs
no switch of threads while they come fast.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Generic, ParamSpec, TypeVar

from pachybox.client.base import Stream
from pachybox.client.connection import Scope
from pachybox.client.progress import Progress
from pachybox.client.sessions import OpenCommit, Transaction
from pachybox.client.shown import Records
from pachybox.client.sync import Client
from pachybox.client.upload import Put
from pachybox.client.values import PutResult
from pachybox.errors import PachyboxError

P = ParamSpec("P")
T = TypeVar("T")
B = TypeVar("B", OpenCommit, Transaction)

_AHEAD = 1024  # records read before they are asked for
_CANCEL_S = 2.0
_THREADS = 256  # calls under way at once; a thread is made when needed


class _Feed(Generic[T]):
    """Between a stream's thread and the event loop: records, and who waits for which."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.scope = Scope()
        self.ended = False
        self.error: BaseException | None = None
        self.items: deque[T] = deque()
        self.waiter: asyncio.Future[None] | None = None
        self.changed = threading.Condition()
        self._loop = loop

    def fill(self, open_stream: Callable[[], Stream[T]]) -> None:
        """Runs in the thread: read to the end, to an error, or until cancelled."""
        try:
            with self.scope, open_stream() as stream:
                for item in stream:
                    with self.changed:
                        self.changed.wait_for(self._room)
                        if self.scope.cancelled:
                            return
                        self.items.append(item)
                        self._wake()
        except (PachyboxError, OSError, ValueError) as e:
            self.error = e
        finally:
            with self.changed:
                self.ended = True
                self._wake()

    def _room(self) -> bool:
        return len(self.items) < _AHEAD or self.scope.cancelled

    def _wake(self) -> None:
        waiter, self.waiter = self.waiter, None
        if waiter:
            try:
                self._loop.call_soon_threadsafe(_resolve, waiter)
            except RuntimeError:  # the loop has been closed: nobody waits
                self.scope.cancel()

    def close(self) -> None:
        """End the thread; safe to repeat."""
        self.scope.cancel()
        with self.changed:
            self.changed.notify()


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class AsyncStream(Generic[T]):
    """Records as they arrive: ``async for``, and ``async with`` to stop before the end."""

    def __init__(self, threads: ThreadPoolExecutor, open_stream: Callable[[], Stream[T]]) -> None:
        self._threads = threads
        self._open = open_stream
        self._feed: _Feed[T] | None = None

    def __aiter__(self) -> AsyncStream[T]:
        return self

    async def __anext__(self) -> T:
        feed = self._feed
        if feed is None:
            feed = self._feed = _Feed(asyncio.get_running_loop())
            self._threads.submit(feed.fill, self._open)
        while True:
            with feed.changed:
                if feed.items:
                    item = feed.items.popleft()
                    if len(feed.items) == _AHEAD // 2:
                        feed.changed.notify()
                    return item
                if feed.ended:
                    if feed.error and not feed.scope.cancelled:
                        error, feed.error = feed.error, None
                        raise error
                    raise StopAsyncIteration
                waiter = feed.waiter = asyncio.get_running_loop().create_future()
            await waiter

    async def __aenter__(self) -> AsyncStream[T]:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if self._feed:
            self._feed.close()

    async def all(self) -> Records[T]:
        """Every record, to the end: a list that shows as a table in a notebook."""
        return Records([item async for item in self])

    async def aclose(self) -> None:
        """Stop receiving; the box stops sending."""
        if self._feed:
            self._feed.close()


class AsyncBase:
    """A box at an address, for asyncio. The arguments are those of ``Client``."""

    def __init__(
        self,
        address: str | None = None,
        *,
        token: str | None = None,
        ca: str | None = None,
        project: str = "default",
        transaction_id: str = "",
        timeout_s: float | None = None,
        patience_s: float = 5.0,
    ) -> None:
        self._sync = Client(
            address,
            token=token,
            ca=ca,
            project=project,
            transaction_id=transaction_id,
            timeout_s=timeout_s,
            patience_s=patience_s,
        )
        self._threads = ThreadPoolExecutor(_THREADS, "pachybox")

    @property
    def sync(self) -> Client:
        """The client underneath, whose ``project`` and ``transaction_id`` count here too."""
        return self._sync

    async def close(self) -> None:
        """Close the connections; streams still open end."""
        self._sync.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run_in(Scope(), function, *args, **kwargs)

    async def _run_in(
        self, scope: Scope, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """``function`` in a thread.

        When the task is cancelled the connection is cut and the thread waited for, shortly, so
        that nothing of the call goes on behind its back.
        """

        def work() -> T:
            with scope:
                return function(*args, **kwargs)

        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            scope.cancel()
            await asyncio.wait([future], timeout=_CANCEL_S)
            if future.done() and not future.cancelled():
                future.exception()  # retrieved: what a cut call raises is of no interest
            raise

    def _stream(self, open_stream: Callable[[], Stream[T]]) -> AsyncStream[T]:
        return AsyncStream(self._threads, open_stream)


class AsyncBlock(Generic[B]):
    """A sync ``with`` block of the client's, for ``async with``."""

    def __init__(self, client: AsyncBase, block: B) -> None:
        self._client = client
        self._block: B = block

    @property
    def id(self) -> str:
        """The id of what the block stands for, once it was entered."""
        return self._block.id

    async def _open(self) -> None:
        await self._client._run(self._block.__enter__)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self._client._run(self._block.__exit__, kind, error, at)

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._client._run(function, *args, **kwargs)

    def _stream(self, open_stream: Callable[[], Stream[T]]) -> AsyncStream[T]:
        return self._client._stream(open_stream)


class AsyncPutBase:
    """One upload under way; all its steps share a scope, so cancelling one cuts it all."""

    def __init__(
        self, client: AsyncBase, target: str, description: str, progress: Progress | None
    ) -> None:
        self._client = client
        self._scope = Scope()
        self._open_put = partial(
            client.sync.put, target, description=description, progress=progress
        )
        self._put: Put

    @property
    def result(self) -> PutResult | None:
        """What the upload made, once the block has ended well."""
        return self._put.result

    async def _open(self) -> None:
        self._put = await self._run(self._open_put)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self._run(self._put.__exit__, kind, error, at)

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._client._run_in(self._scope, function, *args, **kwargs)

"""The queue of a call's requests: what it counts against the budget of all calls is given back."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from grpc.aio import EOF

from pachybox.api.grpc_queues import Budget, Inbox
from pachybox.api.transport import Gone

_MOST = 100


class _Client:
    """Sends ``count`` messages of 40 bytes; before the last one it waits for ``go_on``."""

    def __init__(self, count: int) -> None:
        self._left = count
        self.go_on = asyncio.Event()

    async def read(self) -> Any:
        """The next message."""
        if self._left == 1:
            await self.go_on.wait()
        self._left -= 1
        return bytes(40) if self._left >= 0 else EOF


async def _there_is_room(budget: Budget) -> None:
    """All that was counted was given back: a byte less than all still leaves room for one."""
    budget.add(_MOST - 1)
    await asyncio.wait_for(budget.room(), 1)
    budget.add(1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(budget.room(), 0.01)


def test_a_client_that_goes_away_leaves_nothing_counted() -> None:
    """The handler has a message in hand when its client goes, and learns of it by the next."""

    async def play() -> None:
        loop = asyncio.get_running_loop()
        budget = Budget(loop, _MOST)
        inbox = Inbox(loop, budget, lambda data: data)
        filling = loop.create_task(inbox.fill(_Client(2), whole=False))
        await asyncio.to_thread(next, inbox)
        filling.cancel()
        await asyncio.wait([filling])
        with pytest.raises(Gone):
            next(inbox)
        inbox.close()
        await _there_is_room(budget)

    asyncio.run(play())


def test_what_comes_after_the_handler_is_over_is_not_counted() -> None:
    """A handler that refuses the first message is over while its client still sends."""

    async def play() -> None:
        loop = asyncio.get_running_loop()
        budget, client = Budget(loop, _MOST), _Client(2)
        inbox = Inbox(loop, budget, lambda data: data)
        filling = loop.create_task(inbox.fill(client, whole=False))
        await asyncio.to_thread(next, inbox)
        over = threading.Thread(target=inbox.close)
        over.start()
        over.join()
        client.go_on.set()
        await asyncio.wait([filling], timeout=1)
        assert filling.done()
        await _there_is_room(budget)

    asyncio.run(play())

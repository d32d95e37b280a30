"""Work that may never begin."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any


class Held:
    """A coroutine handed to a worker. Where the worker is cancelled before its first step, the
    coroutine is closed with it, in silence: Python would warn that it was never awaited."""

    def __init__(self, work: Coroutine[Any, Any, object]) -> None:
        self._work = work

    async def __call__(self) -> object:
        """Await it."""
        return await self._work

    def __del__(self) -> None:
        self._work.close()

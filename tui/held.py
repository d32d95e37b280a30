"""Work that may never begin."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Held(Generic[T]):
    """A coroutine handed to a worker. Where the worker is cancelled before its first step, the
    coroutine is closed with it, in silence: Python would warn that it was never awaited."""

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._work = work

    def __await__(self) -> Generator[Any, Any, T]:
        return self._work.__await__()

    def __del__(self) -> None:
        self._work.close()

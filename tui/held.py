"""Work that may never begin."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

from textual.dom import DOMNode
from textual.worker import Worker

T = TypeVar("T")


class Held(Generic[T]):
    """A coroutine handed to another. Where that one never begins, this is closed with it, in
    silence: Python would warn that it was never awaited."""

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._work = work

    def __await__(self) -> Generator[Any, Any, T]:
        return self._work.__await__()

    def __del__(self) -> None:
        self._work.close()


def work_beside(
    node: DOMNode, work: Coroutine[Any, Any, T], *, group: str = "default", exclusive: bool = False
) -> Worker[T]:
    """``node.run_worker``, whose errors are the caller's to tell. A worker that is cancelled
    before its first step closes its coroutine."""
    worker = node.run_worker(work, group=group, exclusive=exclusive, exit_on_error=False)
    task: asyncio.Task[None] | None = worker._task
    if task is not None:
        task.add_done_callback(lambda _: work.close())
    return worker

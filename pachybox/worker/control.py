"""The worker's end of the conversation: frames in on one descriptor, frames out on another.

Nothing here blocks but ``wait``: a box that is slow to take output must not keep a datum's
clock from being read.
"""

from __future__ import annotations

import os
import select
from collections import deque

from pachybox.worker import wire
from pachybox.worker.frames import Splitter
from pachybox.worker.wire import Code, DatumTask


class Control:
    """Runs and cancels as they come. ``closed`` is set once the box hung up."""

    def __init__(self, fd: int = 0, out: int = 1) -> None:
        self.fd = fd
        self.out = out
        self.closed = False
        self._frames = Splitter()
        self._runs: deque[tuple[int, DatumTask, Code]] = deque()
        self._cancelled: set[int] = set()
        self._pending = bytearray()

    def first(self) -> bytes | None:
        """The body of the first frame, not one byte beyond it; None when there is none."""
        head = _exactly(self.fd, 5)
        if len(head) < 5 or head[4:] != wire.START:
            return None
        body = _exactly(self.fd, int.from_bytes(head[:4], "little") - 1)
        return body or None

    def read(self) -> None:
        """Take what is there to be read; blocks when nothing is."""
        data = os.read(self.fd, 1 << 18)
        self.closed = self.closed or not data
        self._frames.feed(data)
        while (got := self._frames.next()) is not None:
            kind, body = got
            if kind == wire.RUN:
                self._runs.append(wire.run(body))
            elif kind == wire.CANCEL:
                self._cancelled.add(wire.numbered(body)[0])

    def wait(self) -> tuple[int, DatumTask, Code] | None:
        """The next run, waiting for it; None when the box has hung up."""
        while not self._runs:
            if self.closed:
                return None
            poll = select.poll()
            poll.register(self.fd, select.POLLIN)
            if self._pending:
                poll.register(self.out, select.POLLOUT)
            for fd, _ in poll.poll():
                if fd == self.out:
                    self.flush()
                else:
                    self.read()
        number, task, code = self._runs.popleft()
        self._cancelled = {n for n in self._cancelled if n >= number}
        return number, task, code

    def stopped(self, number: int) -> bool:
        """Whether the box has cancelled this run or is gone."""
        return self.closed or number in self._cancelled

    @property
    def pending(self) -> int:
        """Bytes the box has not taken yet."""
        return len(self._pending)

    def send(self, frame: bytes) -> None:
        """Say something, now or as soon as the box takes it."""
        self._pending += frame
        self.flush()

    def flush(self) -> None:
        """Write what can be written; a box that is gone takes everything."""
        os.set_blocking(self.out, False)
        try:
            while self._pending:
                with memoryview(self._pending) as view:
                    written = os.write(self.out, view[: 1 << 16])
                del self._pending[:written]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self.closed = True
            self._pending.clear()

    def drain(self) -> None:
        """Write everything, however long it takes: for the last words."""
        while self._pending:
            select.select([], [self.out], [])
            self.flush()


def _exactly(fd: int, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := os.read(fd, size - len(data))):
        data += more
    return data

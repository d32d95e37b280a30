"""The worker's end of the conversation: messages in on one descriptor, lines out on another."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from pachybox.worker import wire


class Control:
    """Buffered lines from ``fd``. ``closed`` is set once the box hung up."""

    def __init__(self, fd: int = 0, out: int = 1) -> None:
        self.fd = fd
        self._out = out
        self._data = b""
        self.closed = False

    def read(self) -> None:
        """Take what is there to be read; blocks when nothing is."""
        data = os.read(self.fd, 1 << 16)
        self._data += data
        self.closed = self.closed or not data

    def next(self) -> wire.JSON | None:
        """A whole message that has been read already, or None."""
        text, newline, rest = self._data.partition(b"\n")
        if not newline:
            return None
        self._data = rest
        message: wire.JSON = json.loads(text)
        return message

    def wait(self) -> wire.JSON | None:
        """The next message, waiting for it; None when the box has hung up."""
        while (message := self.next()) is None:
            if self.closed:
                return None
            self.read()
        return message

    def send(self, message: Mapping[str, object]) -> None:
        """Write one message; a box that is gone is noticed by the next ``wait``."""
        data = wire.line(message)
        try:
            while data:
                data = data[os.write(self._out, data) :]
        except BrokenPipeError:
            self.closed = True

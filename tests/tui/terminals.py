"""``pachybox`` in a terminal of its own (a pty), for what only a process can show."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from contextlib import suppress

_CODES = re.compile(r"\x1b\[[0-9;:?<>=$]*[ -/]*[@-~]|\x1b[P\]][^\x1b\x07]*(?:\x1b\\|\x07)|\x1b[=>]")


# A terminal's programs heed its hang-up, also where the tests run under nohup.
_AS_IN_A_TERMINAL = ("env", "--default-signal=HUP")


class Pty:
    """A process that has a terminal. ``said`` is all it wrote, ``words`` that without codes."""

    def __init__(
        self, *argv: str, env: Mapping[str, str], size: tuple[int, int] = (100, 30)
    ) -> None:
        self._main, other = pty.openpty()
        width, height = size
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.process = subprocess.Popen(
            [*_AS_IN_A_TERMINAL, sys.executable, "-m", "pachybox.cli", *argv],
            stdin=other, stdout=other, stderr=other, env=dict(env), start_new_session=True,
        )  # fmt: skip
        self.before = termios.tcgetattr(other)
        self._other = other
        self.said = ""

    @property
    def words(self) -> str:
        """What was written, without the codes that place and colour it."""
        return _CODES.sub("", self.said)

    def type(self, text: str) -> None:
        os.write(self._main, text.encode())

    def sees(self, text: str, timeout_s: float = 60.0) -> None:
        """Wait until ``text`` was written."""
        until = time.monotonic() + timeout_s
        while text not in self.words:
            left = until - time.monotonic()
            if left < 0 or not self._read(left):
                raise AssertionError(f"{text!r} was not written in {self.words!r}")

    def ends(self, timeout_s: float = 60.0) -> int:
        """Wait for its end; the exit status."""
        until = time.monotonic() + timeout_s
        while self.process.poll() is None:
            self._read(0.05)
            if time.monotonic() > until:
                raise AssertionError(f"it goes on: {self.words!r}")
        self._read(0.1)
        return self.process.returncode

    @property
    def restored(self) -> bool:
        """Whether the terminal is as it was before."""
        return termios.tcgetattr(self._other)[:4] == self.before[:4]

    def _read(self, seconds: float) -> bool:
        if not select.select([self._main], [], [], seconds)[0]:
            return False
        with suppress(OSError):
            self.said += os.read(self._main, 65536).decode(errors="replace")
            return True
        return False

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)
        os.close(self._main)
        os.close(self._other)

"""A throw-away box: started in a temporary directory, on ports of its own, and removed."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from pachybox.cli.box import await_ready
from pachybox.client.address import Address
from pachybox.client.box import Box

_STOP_S = 30.0
_OURS = ("PACHYBOX_HOME", "PACHYBOX_ADDRESS", "PACHYBOX_TOKEN", "PACHYBOX_CONTEXT")
_PR_SET_PDEATHSIG = 1


class Throwaway:
    """A ``with`` block with a box. ``address`` is its socket.

    It is stopped and its directory removed however the block ends, also by Ctrl-C and SIGTERM;
    a SIGKILL of this process stops it too, and leaves the directory.
    """

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="pachybox-ci-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._before: Any = None

    @property
    def address(self) -> str:
        """Where it listens."""
        return str(self.home / "run" / "box.sock")

    def __enter__(self) -> Self:
        try:
            self._before = signal.signal(signal.SIGTERM, _end)
            self._start()
        except BaseException:
            self._remove()
            raise
        return self

    def _start(self) -> None:
        run = self.home / "run"
        run.mkdir(mode=0o700)
        errors = run / "box.err"
        env = {name: value for name, value in os.environ.items() if name not in _OURS}
        command = [sys.executable, "-m", "pachybox.cli", "up", "--port", "0", "--grpc-port", "0"]
        with open(errors, "w") as said:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,  # Ctrl-C is for us: the box ends when we say so
                cwd="/",
                env={**env, "PACHYBOX_HOME": str(self.home)},
                preexec_fn=_die_with_parent(),
            )
        box = Box(Address(path=self.address), timeout_s=5.0)
        try:
            await_ready(box, self._process, errors)
        finally:
            box.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove()

    def last_words(self) -> list[str]:
        """The end of the box's own log, for when it went away by itself."""
        try:
            return (self.home / "run" / "box.log").read_text(errors="replace").splitlines()[-20:]
        except OSError:
            return []

    def _remove(self) -> None:
        again = signal.signal(signal.SIGINT, signal.SIG_IGN)  # one more Ctrl-C changes nothing
        try:
            if self._process is not None and self._process.poll() is None:
                self._process.terminate()
                try:
                    self._process.wait(_STOP_S)
                except subprocess.TimeoutExpired:
                    os.killpg(self._process.pid, signal.SIGKILL)
                    self._process.wait()
            shutil.rmtree(self.home, onerror=_by_force)
        finally:
            signal.signal(signal.SIGINT, again)
            if self._before is not None:
                signal.signal(signal.SIGTERM, self._before)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _die_with_parent() -> Callable[[], object]:
    """What a child calls so that it gets SIGTERM when this process is gone, however."""
    libc = ctypes.CDLL(None)  # loaded here: the child must not import
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _by_force(function: Callable[..., object], path: str, error: object) -> None:
    """User code may have taken rights away from a directory; what is left then is left."""
    try:
        os.chmod(os.path.dirname(path), 0o700)  # noqa: PTH101, PTH120
        os.chmod(path, 0o700)  # noqa: PTH101
        function(path)
    except OSError:
        pass

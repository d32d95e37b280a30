"""One run of a source's command: a process group of its own that does not outlive the source.

A shell waits at a gate for the source's word and becomes the command then; before that the *leash*
has been put on: a shell that waits for the end of a pipe that only the source holds, and kills the
group. So no way in which the source ends leaves a part of the command running.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

MARKER = "{marker}"
_GATE = 'read -r _ || exit 0; exec "$@" </dev/null'
_LEASH = 'read -r _; kill -KILL -- "-$1"'


class Program:
    """A command that runs. Methods are for any thread."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], folder: str) -> None:
        """Start it. Raises OSError."""
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _GATE, "command", *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            cwd=folder or "/",
            process_group=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.stdout = self._process.stdout.fileno()
        try:
            self._leash = subprocess.Popen(
                ["/bin/sh", "-c", _LEASH, "leash", str(self._process.pid)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                process_group=0,
            )
        except OSError:
            self._process.stdin.close()
            self._process.wait()
            raise
        try:
            self._process.stdin.write(b"\n")
            self._process.stdin.close()
        except BrokenPipeError:
            pass  # it has ended, and says so by its status

    def ended(self) -> int | None:
        """The exit status (negative: the signal it died by); None while it runs."""
        return self._process.poll()

    def wait(self, seconds: float) -> None:
        """Wait for its end, so long at most."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def stop(self, grace_s: float) -> None:
        """Have the whole group end: SIGTERM, and SIGKILL after ``grace_s``."""
        self._signal(signal.SIGTERM)
        until = time.monotonic() + grace_s
        while self.ended() is None and time.monotonic() < until:
            time.sleep(0.01)
        self.kill()

    def kill(self) -> None:
        """End what is left of the group at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # it is gone, or has become another user's

    def close(self) -> int:
        """Take all of it away; the exit status. After this its group's number is another's."""
        self._leash.kill()
        self.kill()
        status = self._process.wait()
        self._leash.wait()
        for pipe in (self._process.stdout, self._leash.stdin):
            if pipe is not None:
                pipe.close()
        return status


def arguments(cmd: str | Sequence[str], marker: str) -> list[str]:
    """The program and its arguments, ``{marker}`` filled in: quoted in a line for the shell. Of a
    list, an argument that asks for it is left out while there is none."""
    if isinstance(cmd, str):
        return ["/bin/sh", "-c", cmd.replace(MARKER, shlex.quote(marker))]
    return [part.replace(MARKER, marker) for part in cmd if marker or MARKER not in part]


def told(status: int) -> str:
    """How a command has ended, in words."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"

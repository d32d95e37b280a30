"""One source's process, seen from the daemon: started, told, listened to, ended.

All of it is for one thread, and nothing here waits: pipes are non-blocking, ends are looked for.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pachybox
from pachybox.model.ids import Branch
from pachybox.model.ingest import Ingest, IngestKind

Json = dict[str, Any]

_CHUNK = 1 << 16
_REPORT_MOST = 1 << 16
_LINE_MOST = 1 << 13
_LAST_WORDS = 16  # chunks read of what a process left when it ended
OWN = b"\x1f"
"""Begins a line of a source's standard error that is its own word, not that of a user's program."""
# Appended, so that nothing there hides the library; no -m, which would look in the directory first.
_BOOT = (
    "import sys; sys.path.append(sys.argv[1]); from spouts.__main__ import main; sys.exit(main())"
)


def source_command() -> tuple[str, ...]:
    """How this installation starts a source; what follows is shown by ``ps`` only."""
    root = str(Path(pachybox.__file__).parent.parent)
    return (sys.executable, "-P", "-X", "utf8", "-c", _BOOT, root)


def source_env(environ: Mapping[str, str]) -> dict[str, str]:
    """The daemon's environment without what is about the box: its token, its address."""
    return {k: v for k, v in environ.items() if not k.startswith(("PACHYBOX_", "PACH_", "PACHD_"))}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A source that is to run, ``made``: see advance.Step. ``fifo`` (of a spout) is the pipe its
    program writes to."""

    ingest: Ingest
    kind: IngestKind
    version: int
    spec: Json
    to: Branch
    made: str
    fifo: str = ""

    def task(self, state: Path, address: Path, batch: int, offset: str) -> bytes:
        """The line the process is given first (see spouts/task.py)."""
        repo = self.to.repo
        task = {
            "project": self.ingest.project,
            "name": self.ingest.name,
            "kind": self.kind.value,
            "version": self.version,
            "made": self.made,
            "spec": self.spec,
            "to": f"{repo.project}/{repo.name}@{self.to.name}",
            "state": str(state),
            "address": str(address),
            "batch": batch,
            "offset": json.loads(offset) if offset else {},
            "fifo": self.fifo,
        }
        return json.dumps(task).encode() + b"\n"


class _Lines:
    """Cuts what comes into lines of at most ``most`` bytes; the rest of a longer one is lost."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._part = bytearray()
        self._skip = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        *whole, rest = data.split(b"\n")
        for piece in whole:
            if not self._skip:
                yield bytes(self._part + piece)[: self._most]
            self._part.clear()
            self._skip = False
        if not self._skip:
            self._part += rest
            if len(self._part) >= self._most:
                yield bytes(self._part[: self._most])
                self._part.clear()
                self._skip = True

    def rest(self) -> Iterator[bytes]:
        """What had no end."""
        if self._part:
            yield bytes(self._part)
            self._part.clear()


class SourceProcess:
    """A process ``python -m spouts`` with its task on the way. Raises OSError when the machine
    has no process to spare."""

    def __init__(self, wanted: Wanted, task: bytes, command: Sequence[str]) -> None:
        self.wanted = wanted
        self._process = subprocess.Popen(
            [*command, wanted.kind.value, f"{wanted.ingest.project}/{wanted.ingest.name}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=source_env(os.environ),
            cwd="/",  # a working directory elsewhere would keep a mount busy
            start_new_session=True,
            bufsize=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self.stdin, self.stdout = self._process.stdin, self._process.stdout
        self.stderr = self._process.stderr
        for pipe in (self.stdin, self.stdout, self.stderr):
            os.set_blocking(pipe.fileno(), False)
        self._unsent = bytearray(task)
        self._reports, self._said = _Lines(_REPORT_MOST), _Lines(_LINE_MOST)
        self.pidfd = _pidfd(self.pid)
        self._over = False

    @property
    def pid(self) -> int:
        """Its process number, which is its group's and session's too."""
        return self._process.pid

    # ---- to it

    def order_run(self) -> None:
        """Have it do now what it would do later."""
        self._unsent += b'{"order": "run"}\n'

    def send(self) -> bool:
        """Write what is to be told; whether some of it is left for later."""
        while self._unsent:
            try:
                del self._unsent[: os.write(self.stdin.fileno(), self._unsent[:_CHUNK])]
            except BlockingIOError:
                return True
            except (OSError, ValueError):  # it has gone, which is noticed elsewhere
                self._unsent.clear()
        return False

    # ---- from it

    def reports(self) -> Iterator[bytes] | None:
        """Lines of standard output, from one read; None at the end of it."""
        return _read(self.stdout, self._reports)

    def said(self) -> Iterator[bytes] | None:
        """Lines of standard error, from one read; None at the end of it."""
        return _read(self.stderr, self._said)

    def last_words(self) -> Iterator[bytes]:
        """What it has left on standard error when it has ended, a bounded part of it."""
        yield from _left(self.stderr, self._said)

    def last_reports(self) -> Iterator[bytes]:
        """The same of standard output."""
        yield from _left(self.stdout, self._reports)

    # ---- its end

    def hear_end(self) -> None:
        """``pidfd`` has become readable."""
        self._over = True

    def ended(self) -> bool:
        """Whether it has ended. It keeps its number until ``close``."""
        if self.pidfd >= 0 and not self._over:
            return False  # perf: a call of the kernel less, for each source at each turn
        try:
            flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
            return os.waitid(os.P_PID, self.pid, flags) is not None
        except ChildProcessError:  # somebody else waited for it
            return True

    def terminate(self) -> None:
        """Ask it to commit what is whole and end."""
        self._signal(os.kill, signal.SIGTERM)

    def hang_up(self) -> None:
        """Tell it, and whatever ignores signals, that nobody takes anything any more."""
        self.stdin.close()

    def kill(self) -> None:
        """End it and all that it has started."""
        self._signal(os.killpg, signal.SIGKILL)

    def close(self) -> int:
        """Of one that has ended: end what it has left running; its exit status, negative when
        a signal ended it."""
        self.kill()  # before its number can be another's
        code = self._process.wait()
        for pipe in (self.stdin, self.stdout, self.stderr):
            pipe.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
        return code

    def _signal(self, send: Callable[[int, int], None], number: int) -> None:
        try:
            send(self.pid, number)
        except (ProcessLookupError, PermissionError):  # it has ended; it became another user's
            return


def _read(pipe: IO[bytes], lines: _Lines) -> Iterator[bytes] | None:
    data = _available(pipe)
    if data is None:
        return iter(())
    return lines.feed(data) if data else None


def _left(pipe: IO[bytes], lines: _Lines) -> Iterator[bytes]:
    for _ in range(_LAST_WORDS):
        data = _available(pipe)
        if not data:
            break
        yield from lines.feed(data)
    yield from lines.rest()


def _available(pipe: IO[bytes]) -> bytes | None:
    """What has come; None: nothing yet, b"": nothing more."""
    try:
        return os.read(pipe.fileno(), _CHUNK)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def _pidfd(pid: int) -> int:
    """A descriptor that becomes readable when the process ends; -1 where there is none."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return -1

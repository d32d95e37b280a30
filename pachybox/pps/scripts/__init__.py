"""Programs of callers, run apart: jq filters, regular expressions and jsonnet templates.

Each may run for ever, eat memory or read files, so each runs in a process of its own that
can open no file, with bounds on time and memory; when it goes over them it is killed and the
caller told. The daemon runs none of it.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pachybox.errors import Exhausted, Internal, InvalidArgument
from pachybox.pfs.wait import Cancelled

WALL_S = 5.0
"""The longest a template, or a filter on one record, may run. Seconds."""
START_S = 30.0
_CHILD = Path(__file__).with_name("child.py")
_SLICE_MS = 200
_AT_ONCE = 32
_LONGEST = 1 << 20
_MESSAGE = 2000

_running = threading.BoundedSemaphore(_AT_ONCE)


def render(template: str, args: Mapping[str, str], cancelled: Cancelled = lambda: False) -> str:
    """The JSON that a jsonnet template gives for string arguments.

    Raises InvalidArgument with jsonnet's words when it is wrong, imports something, or runs for
    too long or in too much memory.
    """
    _check_size(template, "the template")
    with _Child("jsonnet", "the template", cancelled) as child:
        return str(child.ask({"template": template, "args": dict(args)}))


class _Chooser:
    """Tells which records a caller wants. A context manager: its process ends with it."""

    def __init__(self, kind: str, what: str, program: object, cancelled: Cancelled) -> None:
        self._child = _Child(kind, what, cancelled)
        try:
            self._child.ask(program)
        except BaseException:
            self._child.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.close()


class Filter(_Chooser):
    """A jq program applied to records, to keep those for which it says something true.

    Raises InvalidArgument when the program is wrong.
    """

    def __init__(self, program: str, cancelled: Cancelled = lambda: False) -> None:
        _check_size(program, "the jq filter")
        super().__init__("jq", "the jq filter", program, cancelled)

    def keeps(self, record: str) -> bool:
        """Whether the first thing the program gives for a record (JSON, one line) is neither
        false nor null. Raises InvalidArgument when it fails or runs for too long."""
        return bool(self._child.ask_line(record))


class Matcher(_Chooser):
    """Regular expressions in Python's form, applied to texts.

    Raises InvalidArgument when one is wrong.
    """

    def __init__(self, patterns: Sequence[str], cancelled: Cancelled = lambda: False) -> None:
        for one in patterns:
            _check_size(one, "the regular expression")
        super().__init__("regex", "the regular expression", list(patterns), cancelled)

    def matches(self, text: str) -> bool:
        """Whether each of them is found in a text. Raises InvalidArgument when that takes too
        long."""
        return bool(self._child.ask(text))


class _Child:
    """One process of child.py: a line asked, a line answered. A context manager."""

    def __init__(self, kind: str, what: str, cancelled: Callable[[], bool]) -> None:
        self._what = what
        self._cancelled = cancelled
        if not _running.acquire(timeout=START_S):
            raise Exhausted(f"{_AT_ONCE} filters and templates run already", "try again later")
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(_CHILD), kind],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={"PATH": os.defpath},
                cwd="/",
                bufsize=0,
            )
        except BaseException:
            _running.release()
            raise
        self._closed = False
        self._said = b""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin, self._process.stdout
        os.set_blocking(self._to.fileno(), False)
        try:
            self._line(START_S)  # it says when it is ready: its start is no time of the program's
        except BaseException:
            self.close()
            raise

    def ask(self, question: object) -> Any:
        """Its answer to a value."""
        return self.ask_line(json.dumps(question))

    def ask_line(self, line: str) -> Any:
        """Its answer to a value given as one line of JSON."""
        until = time.monotonic() + WALL_S
        left = memoryview(line.encode() + b"\n")
        while left:
            self._wait(self._to.fileno(), select.POLLOUT, until)
            try:
                left = left[os.write(self._to.fileno(), left) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                break  # it is gone: reading tells
        answer = json.loads(self._line(until - time.monotonic()))
        if "error" in answer:
            raise InvalidArgument(f"{self._what}: {answer['error'][:_MESSAGE]}")
        return answer["ok"]

    def _line(self, wait_s: float) -> bytes:
        until = time.monotonic() + wait_s
        while b"\n" not in self._said:
            self._wait(self._from.fileno(), select.POLLIN, until)
            data = os.read(self._from.fileno(), 1 << 16)
            if not data:
                raise self._over(self._process.wait())
            self._said += data
        line, _, self._said = self._said.partition(b"\n")
        return line

    def _wait(self, fd: int, events: int, until: float) -> None:
        poll = select.poll()
        poll.register(fd, events)
        while not poll.poll(_SLICE_MS):
            if time.monotonic() > until:
                raise InvalidArgument(
                    f"{self._what} runs for more than {WALL_S:.0f} s", "make it simpler"
                )
            if self._cancelled():
                raise InvalidArgument(f"{self._what} was given up by its caller")

    def _over(self, status: int) -> Exception:
        if status < 0 or status == 137:
            return InvalidArgument(f"{self._what} needs too much memory or time", "make it simpler")
        return Internal(f"{self._what}: the process that runs it ended with status {status}")

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._process.kill()
        self._process.wait()
        self._to.close()
        self._from.close()
        _running.release()


def _check_size(text: str, what: str) -> None:
    if len(text) > _LONGEST:
        raise InvalidArgument(f"{what} is longer than 1 MiB", "make it shorter")

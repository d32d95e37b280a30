"""The process that reads Parquet (``parquet_query``): started when first needed, kept, replaced
when it ends or takes too long."""

from __future__ import annotations

import asyncio
import atexit
import json
import select
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

SECONDS = 5.0  # for one answer, the start of the process included: only hostile files need more
_PROGRAM = Path(__file__).with_name("parquet_query.py")


class Unreadable(ValueError):
    """What is wrong with a file."""


class _Reader:
    """One question at a time; to be used on threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Have the process ready."""
        with self._lock:
            self._running()

    def ask(self, what: str, *values: object) -> Any:
        """The answer; raises Unreadable for what the reader says of the file."""
        with self._lock:
            process = self._running()
            assert process.stdin is not None
            try:
                process.stdin.write(json.dumps([what, *values]).encode() + b"\n")
                process.stdin.flush()
                line = self._line(process)
            except OSError:
                line = b""
            if not line:
                self._end()
                raise Unreadable("its reader crashed or took too long")
        answer = json.loads(line)
        if "error" in answer:
            raise Unreadable(answer["error"])
        return answer["answer"]

    def _line(self, process: subprocess.Popen[bytes]) -> bytes:
        """The next line, empty when there is none in time."""
        out = process.stdout
        assert out is not None
        if not select.select([out], [], [], SECONDS)[0]:
            return b""
        return out.readline()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(_PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # ctrl+c is for the terminal
            )
        return self._process

    def end(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    pass


_reader = _Reader()
atexit.register(_reader.end)


async def warm() -> None:
    """Have the reader ready: a Parquet file is in sight."""
    await asyncio.to_thread(_reader.start)


async def ask(what: str, *values: object) -> Any:
    """Ask ``parquet_query``."""
    return await asyncio.to_thread(_reader.ask, what, *values)

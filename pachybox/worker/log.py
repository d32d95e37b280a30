"""User code's output, written by the box as bounded JSON lines.

A line is {"ts": RFC3339, "user": true, "message": ...}.

Whatever a program prints, the log of one datum stays below ``cap`` bytes and each line
below ``LINE`` bytes of output, and says how many more it had; what did not fit is counted and named
in one last line.
"""

from __future__ import annotations

import os
import time
from json.encoder import encode_basestring as quoted

CAP = 16 << 20
LINE = 64 << 10
ENDLESS = 1 << 62  # the cap of a log in parts
PART, PARTS = 4 << 20, 4


def stamp(seconds: float) -> str:
    """A point in time as RFC 3339 in UTC with microseconds."""
    whole, micro = divmod(int(seconds * 1_000_000), 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{micro:06d}Z"


class LogFile:
    """A log that stays open from datum to datum. Raises OSError when it cannot be written."""

    def __init__(self, path: str) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self.fd = os.open(path, flags, 0o644)

    @property
    def deleted(self) -> bool:
        """Whether the file has lost its name, so that nobody would read what is added."""
        return not os.fstat(self.fd).st_nlink

    def close(self) -> None:
        """Idempotent."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def wrote(self, size: int) -> None:
        """Told of what was added, in bytes."""


class LogParts(LogFile):
    """A log without an end, in parts: ``NAME.jsonl``, then ``NAME-2.jsonl`` and so on, each begun
    when the one before has ``PART`` bytes. The newest ``PARTS`` are kept. Goes on with the newest
    there is. Raises OSError when it cannot be written."""

    def __init__(self, path: str) -> None:
        self._folder, name = os.path.split(path)
        self._name, self._suffix = os.path.splitext(name)  # noqa: PTH122 (paths are strings here)
        self._number = max(self._numbers(), default=1)
        super().__init__(self._path(self._number))
        self._room = PART - os.fstat(self.fd).st_size

    def wrote(self, size: int) -> None:
        """Begin the next part when this one is full; while that cannot be, this one grows."""
        self._room -= size
        if self._room > 0:
            return
        try:
            fresh = LogFile(self._path(self._number + 1))
        except OSError:
            return
        self.close()
        self.fd, self._number, self._room = fresh.fd, self._number + 1, PART
        for number in self._numbers():
            if number <= self._number - PARTS:
                os.unlink(self._path(number))  # noqa: PTH108 (paths are strings here)

    def _path(self, number: int) -> str:
        part = f"-{number}" if number > 1 else ""
        return f"{self._folder}/{self._name}{part}{self._suffix}"

    def _numbers(self) -> list[int]:
        found = []
        for name in os.listdir(self._folder):
            if name == self._name + self._suffix:
                found.append(1)
            elif name.startswith(f"{self._name}-") and name.endswith(self._suffix):
                number = name[len(self._name) + 1 : len(name) - len(self._suffix)]
                found += [int(number)] if number.isdigit() else []
        return found


class LogWriter:
    """Appends to one datum's log; ``feed`` takes output as it comes, ``close`` ends it.

    ``head`` goes before the output, with the first write. Output itself stays below ``cap``.

    A log that can no longer be written (a full disk) loses lines, never the datum.
    """

    def __init__(self, file: LogFile, cap: int = CAP, head: bytes = b"") -> None:
        self._file = file
        self._head = head
        self._cap = cap
        self._room = cap
        self._rest = b""
        self._dropped = 0
        self._beyond = 0  # of the line that has not ended: bytes that are not in _rest

    def feed(self, data: bytes) -> None:
        """Take the next piece of output; whole lines are in the file on return."""
        if self._room <= 0:
            self._dropped += len(data)
            return
        lines = (self._rest + data).split(b"\n")
        rest = lines.pop()
        # One byte too many is kept, so that the line is seen to be too long when it ends.
        self._rest = rest[: LINE + 1]
        beyond, more = self._beyond, len(rest) - len(self._rest)
        self._dropped += more
        self._beyond = more if lines else beyond + more
        if lines:
            self._write(lines, beyond)

    def close(self, dropped: int = 0) -> None:
        """Write what is left and, when some output was dropped, how much.

        ``dropped`` bytes more never came here.
        """
        self._dropped += dropped
        if self._rest:
            self._write([self._rest], self._beyond)
        if self._dropped:
            message = (
                f"{self._dropped} bytes of output were dropped: the log of one datum holds "
                f"{self._cap} bytes, a line {LINE}"
            )
            self._append(self._record(stamp(time.time()), message.encode()))
        if self._head:
            self._append(b"")

    def _record(self, ts: str, line: bytes, more: int = 0) -> bytes:
        cut = f" ... {more} bytes more" if more else ""
        text = quoted(line.decode("utf-8", "replace") + cut)
        return f'{{"ts": "{ts}", "user": true, "message": {text}}}\n'.encode()

    def _write(self, lines: list[bytes], beyond: int) -> None:
        """``beyond``: bytes that the first line has beside those given."""
        ts = stamp(time.time())
        records: list[bytes] = []
        for line in lines:
            more, beyond = beyond, 0
            if self._room <= 0:
                self._dropped += len(line) + 1
                continue
            if line.endswith(b"\r"):
                line = line[:-1]
            if len(line) > LINE:
                self._dropped += len(line) - LINE
                more += len(line) - LINE
                line = line[:LINE]
            record = self._record(ts, line, more)
            if len(record) > self._room:
                self._dropped += len(line) + 1
                self._room = 0
                continue
            self._room -= len(record)
            records.append(record)
        self._append(b"".join(records))

    def _append(self, records: bytes) -> None:
        records, self._head = self._head + records, b""
        size = len(records)
        try:
            while records:
                records = records[os.write(self._file.fd, records) :]
        except OSError:
            self._dropped += len(records)
        self._file.wrote(size - len(records))

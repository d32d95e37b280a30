"""A stream of JSON values in a request's body: one after the other, with or without lines.

grpc-gateway reads a client's stream with Go's decoder, so an object may span lines and several
may share one. Only where values end is found here; reading them is the parser's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pachybox.api.http import Body, too_large

_PIECE = 64 << 10
_SOLID = re.compile(rb"[^ \t\r\n]")
_OUTSIDE = re.compile(rb'["{}\[\]]')


def values(body: Body, limit: int) -> Iterator[bytes]:
    """The text of each value, as soon as it is whole; what is cut off at the end comes too.

    Raises Rejected (413) when a value passes ``limit`` bytes.
    """
    splitter = _Splitter()
    piece = bytearray(_PIECE)
    while n := body.readinto(memoryview(piece)):
        yield from splitter.feed(piece[:n])
        if len(splitter.held) > limit:
            raise too_large(limit)
    if rest := bytes(splitter.held).strip():
        yield rest


class _Splitter:
    """Where the scan stands: ``held`` begins with the value that is not whole yet."""

    def __init__(self) -> None:
        self.held = bytearray()
        self._at = 0  # scanned up to here
        self._depth = 0
        self._inside = False

    def feed(self, piece: bytearray) -> Iterator[bytes]:
        """The values that ``piece`` completes."""
        held = self.held
        held += piece
        start = 0
        while True:
            if not self._depth:
                solid = _SOLID.search(held, self._at)
                start = solid.start() if solid else len(held)
                self._at = start
                if solid and solid[0] not in b"{[":  # no object: up to the line's end
                    self._at = held.find(b"\n", start)
                    if self._at < 0:
                        self._at = start
                        break
                    yield bytes(held[start : self._at])
                    continue
            if not self._step():
                break
            if not self._depth:
                yield bytes(held[start : self._at])
        del held[:start]
        self._at -= start

    def _step(self) -> bool:
        """On to the next character that counts; False when there is none yet."""
        if self._inside:
            return self._string()
        found = _OUTSIDE.search(self.held, self._at)
        if found is None:
            self._at = max(self._at, len(self.held))
            return False
        self._at = found.end()
        mark = found[0]
        if mark == b'"':
            self._inside = True
        else:
            self._depth += 1 if mark in b"{[" else -1
        return True

    def _string(self) -> bool:
        """On within a string: past what is escaped, or past its end."""
        # perf: find runs at the speed of memory, where a class of two signs would not
        end = self.held.find(b'"', self._at)
        escape = self.held.find(b"\\", self._at, end if end >= 0 else len(self.held))
        if escape >= 0:
            self._at = escape + 2  # whatever it escapes, here already or not
        elif end >= 0:
            self._at, self._inside = end + 1, False
        else:
            self._at = max(self._at, len(self.held))
            return False
        return True
